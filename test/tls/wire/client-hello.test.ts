import { describe, expect, test } from "vitest";
import { parseClientHello } from "../../../src/tls/wire/client-hello.ts";
import {
  alpn,
  ascii,
  change,
  compression,
  filled,
  groups,
  helloBytes,
  modes,
  PLAIN,
  psks,
  read,
  readExtensions,
  recordSizeLimit,
  reframe,
  refusal,
  schemes,
  shares,
  sni,
  u16,
  u32,
  vector16,
  vector8,
  versions,
  WITH_PSK,
  without,
} from "./hello.ts";
import type { Ext, HelloParts } from "./hello.ts";

const FULL = [
  sni("www.Example.com"),
  groups(0x11ec, 0x1d, 0x17),
  schemes(0x0403, 0x0804),
  alpn("h2", "http/1.1"),
  [5, [1, 0, 0, 0, 0]],
  [18, []],
  compression(2, 3),
  recordSizeLimit(0x4001),
  [42, []],
  versions(0x0304, 0x0303),
  modes(0, 1),
  shares([0x11ec, filled(1216, 3)], [0x1d, filled(32, 9)]),
  [58, [4, 1]],
  psks([[filled(20, 1), 0xfffefdfc], [filled(70, 2), 7]], [filled(32, 3), filled(48, 4)]),
] satisfies Ext[];

describe("a whole hello", () => {
  const bytes = helloBytes({ extensions: FULL });
  const hello = read(bytes);

  test("has its fields where they stand", () => {
    expect(hello.bytes).toBe(bytes);
    expect(hello.legacyVersion).toBe(0x0303);
    expect(hello.random).toEqual(new Uint8Array(filled(32, 0x77)));
    expect(hello.sessionId).toEqual(new Uint8Array(filled(32, 0x55)));
    expect(bytes.subarray(hello.cipherSuitesAt, hello.cipherSuitesEnd))
      .toEqual(new Uint8Array([0x13, 1, 0x13, 2, 0x13, 3]));
    expect(bytes.subarray(hello.compressionAt, hello.compressionEnd)).toEqual(new Uint8Array([0]));
    expect(hello.extensionsEnd).toBe(bytes.length);
    expect(hello.extensionsEnd - hello.extensionsAt).toBe(
      FULL.reduce((sum, [, body]) => sum + 4 + body.length, 0),
    );
  });

  test("answers what it offers", () => {
    expect(hello.serverNameText).toBe("www.example.com");
    expect(hello.serverName).toEqual(new Uint8Array(ascii("www.Example.com")));
    expect([0x1301, 0x1302, 0x1303, 0x1304].map((code) => hello.offersCipherSuite(code)))
      .toEqual([true, true, true, false]);
    expect([0x11ec, 0x1d, 0x17, 0x18].map((code) => hello.offersGroup(code)))
      .toEqual([true, true, true, false]);
    expect(hello.hasSignatureAlgorithms).toBe(true);
    expect([0x0403, 0x0804, 0x0807].map((code) => hello.offersSignatureScheme(code)))
      .toEqual([true, true, false]);
    expect([1, 2, 3].map((code) => hello.offersCertificateCompression(code)))
      .toEqual([false, true, true]);
    expect([0x0304, 0x0303, 0x0302].map((code) => hello.offersVersion(code)))
      .toEqual([true, true, false]);
    expect(hello.recordSizeLimit).toBe(0x4001);
    expect(hello.offersPskDheKe).toBe(true);
    expect(hello.offersEarlyData).toBe(true);
    expect(hello.wantsOcsp).toBe(true);
    expect(hello.wantsSct).toBe(true);
    expect(hello.ticketRequest).toEqual({ newSessionCount: 4, resumptionCount: 1 });
    expect([hello.echAt, hello.echEnd]).toEqual([-1, -1]);
  });

  test("gives the shares by group", () => {
    hello.checkKeyShares();
    expect(hello.keyShareCount).toBe(2);
    expect(hello.keyShare(0x11ec)).toEqual(new Uint8Array(filled(1216, 3)));
    expect(hello.keyShare(0x1d)).toEqual(new Uint8Array(filled(32, 9)));
    expect(hello.keyShare(0x17)).toBeUndefined();
  });

  test("gives protocols by our order", () => {
    expect(hello.offersAlpn).toBe(true);
    expect(hello.alpnProtocols()).toEqual(["h2", "http/1.1"]);
    expect(hello.selectAlpn(["http/1.1", "h2"])).toBe("http/1.1");
    expect(hello.selectAlpn(["h3", "h2"])).toBe("h2");
    expect(hello.selectAlpn(["h", "http/1.10", "http/1."])).toBeUndefined();
    expect(hello.selectAlpn([])).toBeUndefined();
    expect(hello.offersAlpnAlone("h2")).toBe(false);
  });

  test("gives the PSKs in any order of asking", () => {
    expect(hello.pskCount).toBe(2);
    for (const index of [1, 0, 0, 1, 1]) {
      expect(hello.pskIdentity(index))
        .toEqual(new Uint8Array(index === 0 ? filled(20, 1) : filled(70, 2)));
      expect(hello.pskObfuscatedAge(index)).toBe(index === 0 ? 0xfffefdfc : 7);
      expect(hello.pskBinder(index))
        .toEqual(new Uint8Array(index === 0 ? filled(32, 3) : filled(48, 4)));
    }
    expect(hello.bindersAt).toBe(bytes.length - 2 - 33 - 49);
    expect(() => hello.pskIdentity(2)).toThrow(RangeError);
    expect(() => hello.pskBinder(-1)).toThrow(RangeError);
  });

  test("gives the bodies of extensions that it knows, and no others", () => {
    for (const [type, body] of FULL) {
      expect(hello.has(type)).toBe(true);
      expect(hello.body(type)).toEqual(new Uint8Array(body));
    }
    for (const type of [1, 21, 0x0a0a, 0xfd00, 0xfe0d, 0xffff]) {
      expect(hello.has(type)).toBe(false);
      expect(hello.body(type)).toBeUndefined();
    }
  });

  test("can be cut loose from the caller's bytes", () => {
    const borrowed = helloBytes({ extensions: FULL });
    const kept = read(borrowed);
    kept.detach();
    borrowed.fill(0);
    expect(kept.bytes).toEqual(bytes);
    expect(kept.serverNameText).toBe("www.example.com");
    expect(kept.pskBinder(1)).toEqual(new Uint8Array(filled(48, 4)));
  });

  test("is read at any place of a larger buffer", () => {
    const arena = new Uint8Array(bytes.length + 20).fill(0xee);
    arena.set(bytes, 7);
    const inside = read(arena.subarray(7, 7 + bytes.length));
    expect(inside.serverNameText).toBe("www.example.com");
    expect(inside.keyShare(0x1d)).toEqual(new Uint8Array(filled(32, 9)));
  });

  test("is refused at every prefix", () => {
    for (let n = 0; n < bytes.length; n++) {
      expect(refusal(() => parseClientHello(bytes.subarray(0, n))))
        .toBe("message too short -> decode_error");
    }
  });

  test("is refused at every prefix that says its own length", () => {
    for (let n = 4; n < bytes.length; n++) {
      const prefix = reframe(bytes.subarray(0, n));
      const expected = n === hello.compressionEnd
        ? "no TLS version in common -> protocol_version" // a hello of old, without extensions
        : "message too short -> decode_error";
      expect(refusal(() => read(prefix)), `${n} bytes`).toBe(expected);
    }
  });

  test("tls13 2: is refused with one byte more", () => {
    const longer = new Uint8Array([...bytes, 0]);
    expect(refusal(() => parseClientHello(longer))).toBe("trailing bytes -> decode_error");
    expect(refusal(() => parseClientHello(reframe(longer)))).toBe("trailing bytes -> decode_error");
  });
});

describe("a hello with little in it", () => {
  test("answers no to everything", () => {
    const hello = parseClientHello(helloBytes({ extensions: null, sessionId: [] }));
    expect([hello.extensionsAt, hello.extensionsEnd])
      .toEqual([hello.bytes.length, hello.bytes.length]);
    expect(hello.sessionId.length).toBe(0);
    expect(hello.serverName).toBeUndefined();
    expect(hello.serverNameText).toBeUndefined();
    expect(hello.offersVersion(0x0304)).toBe(false);
    expect(hello.offersGroup(0x1d)).toBe(false);
    expect(hello.keyShare(0x1d)).toBeUndefined();
    expect(hello.keyShareCount).toBe(0);
    expect(hello.hasSignatureAlgorithms).toBe(false);
    expect(hello.offersAlpn).toBe(false);
    expect(hello.alpnProtocols()).toEqual([]);
    expect(hello.selectAlpn(["h2"])).toBeUndefined();
    expect(hello.recordSizeLimit).toBeUndefined();
    expect(hello.offersPskDheKe).toBe(false);
    expect(hello.offersEarlyData).toBe(false);
    expect(hello.wantsOcsp).toBe(false);
    expect(hello.wantsSct).toBe(false);
    expect(hello.ticketRequest).toBeUndefined();
    expect(hello.pskCount).toBe(0);
    expect(hello.bindersAt).toBe(-1);
    hello.checkKeyShares();
  });

  test("may have an empty extensions block, as TLS 1.2 had", () => {
    expect(refusal(() => readExtensions())).toBe("no TLS version in common -> protocol_version");
  });

  test("is no other message", () => {
    const bytes = helloBytes();
    bytes[0] = 2;
    expect(refusal(() => parseClientHello(bytes))).toBe("unexpected message -> unexpected_message");
  });
});

/** What is wrong, the hello, the answer. */
type Row = readonly [what: string, hello: HelloParts, answer: string];

const only = (...extensions: Ext[]): HelloParts => ({ extensions });
const changed = (...extensions: Ext[]): HelloParts => ({
  extensions: change(PLAIN, ...extensions),
});
const changedPsk = (...extensions: Ext[]): HelloParts => ({
  extensions: change(WITH_PSK, ...extensions),
});

describe("the body", () => {
  test.each<Row>([
    ["a session id of 33 bytes", { sessionId: filled(33) }, "vector too long -> decode_error"],
    ["no cipher suite", { suites: [] }, "vector too short -> decode_error"],
    ["no compression method", { compression: [] }, "vector too short -> decode_error"],
    [
      "a duplicate known extension",
      only(...PLAIN, sni("b.example")),
      "duplicate extension -> decode_error",
    ],
    [
      "a duplicate unknown extension",
      only(...PLAIN, [0xeeee, []], [0xeeee, []]),
      "duplicate extension -> decode_error",
    ],
    [
      "a duplicate of an extension that is passed over",
      only([21, []], ...PLAIN, [21, [0]]),
      "duplicate extension -> decode_error",
    ],
  ])("tls13 2: %s", (_, parts, answer) => {
    expect(refusal(() => parseClientHello(helloBytes(parts)))).toBe(answer);
  });

  test("tls13 2: an odd cipher suite list", () => {
    const bytes = helloBytes({ sessionId: [] });
    const odd = reframe(new Uint8Array([...bytes.slice(0, 39), 0, 3, 0x13, 1, 0x13, 1, 0, 0, 0]));
    expect(refusal(() => parseClientHello(odd))).toBe("odd vector length -> decode_error");
  });

  test("a refused hello leaves no mark on the next one", () => {
    const good = helloBytes({ extensions: [...PLAIN, [0xeeee, []]] });
    const twice = helloBytes({ extensions: [...PLAIN, [0xeeee, []], [0xeeee, []]] });
    const cut = reframe(good.subarray(0, good.length - 1));
    for (const bad of [twice, cut]) {
      expect(refusal(() => parseClientHello(bad))).not.toBe("no refusal");
      read(good);
    }
    const groupsTwice = read(helloBytes({ extensions: change(PLAIN, groups(0x1d, 0x17, 0x17)) }));
    const stranger = readExtensions(...change(PLAIN, shares([0x1d, [1]], [0x18, [1]])));
    for (const bad of [groupsTwice, stranger]) {
      expect(refusal(() => bad.checkKeyShares())).not.toBe("no refusal");
      read(good).checkKeyShares();
    }
  });
});

describe("versions and compression", () => {
  const noVersion = "no TLS version in common -> protocol_version";
  test.each<Row>([
    ["no supported_versions", only(...without(PLAIN, 43)), noVersion],
    ["only older versions", changed(versions(0x0303, 0x0302)), noVersion],
    ["only drafts and GREASE", changed(versions(0x7f1c, 0x2a2a)), noVersion],
    ["0x0304 across two entries", changed(versions(0x0003, 0x0400)), noVersion],
    ["an empty list of versions", changed([43, [0]]), "vector too short -> decode_error"],
    ["an odd list of versions", changed([43, [3, 3, 4, 3]]), "odd vector length -> decode_error"],
    [
      "a list of versions that is cut",
      changed([43, [4, 3, 4]]),
      "message too short -> decode_error",
    ],
    ["supported_versions of no bytes", changed([43, []]), "message too short -> decode_error"],
    ["bytes behind the versions", changed([43, [2, 3, 4, 0]]), "trailing bytes -> decode_error"],
    [
      "legacy_version 0x0302",
      { legacyVersion: 0x0302 },
      "legacy_version is not 0x0303 -> protocol_version",
    ],
    [
      "legacy_version 0x0304",
      { legacyVersion: 0x0304 },
      "legacy_version is not 0x0303 -> protocol_version",
    ],
    [
      "compression without null",
      { compression: [1] },
      "bad compression methods -> illegal_parameter",
    ],
    [
      "compression with one more",
      { compression: [0, 1] },
      "bad compression methods -> illegal_parameter",
    ],
    [
      "compression with null second",
      { compression: [1, 0] },
      "bad compression methods -> illegal_parameter",
    ],
    [
      "null compression twice",
      { compression: [0, 0] },
      "bad compression methods -> illegal_parameter",
    ],
  ])("tls13 2: %s", (_, parts, answer) => {
    expect(refusal(() => read(helloBytes(parts)))).toBe(answer);
  });
});

describe("extensions", () => {
  const short = "message too short -> decode_error";
  const empty = "vector too short -> decode_error";
  const odd = "odd vector length -> decode_error";
  test.each<Row>([
    ["an empty group list", changed([10, [0, 0]]), empty],
    ["an odd group list", changed([10, [0, 3, 0, 0x1d, 0]]), odd],
    ["an empty list of schemes", changed([13, [0, 0]]), empty],
    ["an odd list of schemes", changed([13, [0, 1, 4]]), odd],
    ["an empty signature_algorithms_cert", changed([50, [0, 0]]), empty],
    ["an empty list of protocols", changed([16, [0, 0]]), empty],
    ["an empty protocol name", changed(alpn("h2", "")), empty],
    ["a protocol name that is cut", changed([16, [0, 3, 3, 0x68, 0x32]]), short],
    ["a key_exchange of no bytes", changed(shares([0x1d, filled(32)], [0x17, []])), empty],
    ["a share that is cut", changed([51, [0, 5, 0, 0x1d, 0, 2, 1]]), short],
    ["no PSK mode", changed([45, [0]]), empty],
    ["an empty list of compression algorithms", changed([27, [0]]), empty],
    ["an odd list of compression algorithms", changed([27, [3, 0, 2, 0]]), odd],
    [
      "a compression algorithm twice",
      changed(compression(2, 1, 2)),
      "duplicate compression algorithm -> decode_error",
    ],
    ["a responder id of no bytes", changed([5, [1, 0, 2, 0, 0, 0, 0]]), empty],
    [
      "a non-empty signed_certificate_timestamp",
      changed([18, [0]]),
      "trailing bytes -> decode_error",
    ],
    ["a non-empty early_data", changed([42, [0]]), "trailing bytes -> decode_error"],
    ["oid_filters", changed([48, [0, 0]]), "extension not allowed here -> illegal_parameter"],
    [
      "ech_outer_extensions",
      changed([0xfd00, [2, 0, 10]]),
      "extension not allowed here -> illegal_parameter",
    ],
    [
      "pre_shared_key before another",
      only(...WITH_PSK, [0xeeee, []]),
      "pre_shared_key is not last -> illegal_parameter",
    ],
  ])("tls13 2: %s", (_, parts, answer) => {
    expect(refusal(() => read(helloBytes(parts)))).toBe(answer);
  });

  test.each<Row>([
    [
      "tls13 10: a record_size_limit of 63",
      changed(recordSizeLimit(63)),
      "bad record_size_limit -> illegal_parameter",
    ],
    ["tls13 10: a record_size_limit of 1 byte", changed([28, [64]]), short],
    [
      "tls13 10: a record_size_limit of 3 bytes",
      changed([28, [0x40, 1, 0]]),
      "trailing bytes -> decode_error",
    ],
    ["tls13 10: a record_size_limit of 64", changed(recordSizeLimit(64)), "no refusal"],
    [
      "tls13 10: a record_size_limit above all that we know",
      changed(recordSizeLimit(0xffff)),
      "no refusal",
    ],
    [
      "tls13 10: max_fragment_length is not looked at",
      changed([1, [9, 9]], recordSizeLimit(100)),
      "no refusal",
    ],
    ["tls13 11: compression algorithms of no bytes", changed([27, []]), short],
    ["tls13 7: a ticket_request of 1 byte", changed([58, [1]]), short],
    [
      "tls13 7: a ticket_request of 3 bytes",
      changed([58, [1, 1, 1]]),
      "trailing bytes -> decode_error",
    ],
  ])("%s", (_, parts, answer) => {
    expect(refusal(() => read(helloBytes(parts)))).toBe(answer);
  });

  const withSyntax = [
    ...FULL,
    [50, vector16([4, 3])],
    [5, [1, ...vector16(vector16([1, 2])), ...vector16([9])]],
  ] satisfies Ext[];
  for (const [type, body] of withSyntax) {
    const using = (bytes: readonly number[]) =>
      helloBytes({ extensions: change(FULL, [type, bytes]) });

    test(`tls13 2: extension ${type} is refused at every prefix`, () => {
      for (let n = 0; n < body.length; n++) {
        expect(refusal(() => read(using(body.slice(0, n)))), `${n} bytes`)
          .toMatch(/ -> decode_error$/);
      }
    });

    test(`tls13 2: extension ${type} is refused with one byte more`, () => {
      expect(refusal(() => read(using([...body, 0])))).toBe("trailing bytes -> decode_error");
    });
  }

  test("tls13 2: what we do not implement is not parsed", () => {
    const passedOver = [
      1,
      11,
      14,
      15,
      17,
      19,
      20,
      21,
      22,
      23,
      24,
      34,
      35,
      44,
      47,
      49,
      57,
      62,
      0xca34,
      0x4469,
      0xff01,
    ];
    for (const type of passedOver) {
      for (const body of [[], [0xff], [0xff, 0xff, 0xff]]) {
        expect(refusal(() => readExtensions(...PLAIN, [type, body])), `${type}`).toBe("no refusal");
      }
    }
  });

  test("tls13 2: a status type other than ocsp has a body of its own", () => {
    const hello = readExtensions(...change(PLAIN, [5, [2, 0xff]]));
    expect(hello.wantsOcsp).toBe(false);
  });

  test("tls13 2: early_data without a PSK is no fault", () => {
    expect(readExtensions(...PLAIN, [42, []]).offersEarlyData).toBe(true);
  });
});

describe("missing extensions", () => {
  const bare = without(PLAIN, 10, 13, 51);
  const psk = psks([[[1], 0]], [filled(32)]);
  test.each<Row>([
    [
      "neither PSK nor signature_algorithms",
      only(...without(PLAIN, 13)),
      "missing signature_algorithms -> missing_extension",
    ],
    [
      "neither PSK nor supported_groups",
      only(...without(PLAIN, 10)),
      "missing supported_groups -> missing_extension",
    ],
    [
      "neither PSK nor groups nor shares",
      only(...without(PLAIN, 10, 51)),
      "missing supported_groups -> missing_extension",
    ],
    [
      "supported_groups without key_share",
      only(...without(PLAIN, 51)),
      "missing key_share -> missing_extension",
    ],
    [
      "the same with a PSK",
      only(...without(WITH_PSK, 51)),
      "missing key_share -> missing_extension",
    ],
    [
      "key_share without supported_groups, with a PSK",
      only(...without(WITH_PSK, 10)),
      "missing supported_groups -> missing_extension",
    ],
    ["an empty key_share is there", changed(shares()), "no refusal"],
    [
      "a PSK without psk_key_exchange_modes",
      only(...without(WITH_PSK, 45)),
      "missing psk_key_exchange_modes -> missing_extension",
    ],
    ["a PSK needs neither groups nor schemes", only(...bare, modes(0), psk), "no refusal"],
  ])("tls13 2: %s", (_, parts, answer) => {
    expect(refusal(() => read(helloBytes(parts)))).toBe(answer);
  });
});

describe("PSKs", () => {
  const one = [[filled(20, 1), 0]] as const;
  const differ = "identities and binders differ in number -> illegal_parameter";
  test.each<Row>([
    ["an identity without a binder", changedPsk(psks([...one, ...one], [filled(32)])), differ],
    ["a binder without an identity", changedPsk(psks(one, [filled(32), filled(32)])), differ],
    [
      "no identities",
      changedPsk([41, [0, 0, ...vector16(vector8(filled(32)))]]),
      "vector too short -> decode_error",
    ],
    ["no binders at all", changedPsk(psks(one, [])), "vector too short -> decode_error"],
    [
      "an identity of no bytes",
      changedPsk(psks([[[], 0]], [filled(32)])),
      "vector too short -> decode_error",
    ],
    [
      "an identity without its age",
      changedPsk([41, [...vector16([0, 1, 7, 0, 0, 0]), ...vector16(vector8(filled(32)))]]),
      "message too short -> decode_error",
    ],
    [
      "a binder that is cut",
      changedPsk([41, [...vector16([0, 1, 7, ...u32(0)]), ...vector16([32, 1])]]),
      "message too short -> decode_error",
    ],
    [
      "a binder of 31 bytes is for its comparison to refuse",
      changedPsk(psks(one, [filled(31)])),
      "no refusal",
    ],
    ["a binder of no bytes as well", changedPsk(psks(one, [[]])), "no refusal"],
  ])("tls13 7: %s", (_, parts, answer) => {
    expect(refusal(() => read(helloBytes(parts)))).toBe(answer);
  });

  test("tls13 7: only psk_dhe_ke counts, unknown modes are ignored", () => {
    const offers = (...list: number[]) => readExtensions(...PLAIN, modes(...list)).offersPskDheKe;
    expect([offers(0), offers(0x0b, 0xff), offers(1), offers(0x0b, 0, 1)])
      .toEqual([false, false, true, true]);
  });
});

describe("server_name", () => {
  const bad = "bad server_name -> unrecognized_name";
  test.each<Row>([
    ["an empty list", changed([0, [0, 0]]), "vector too short -> decode_error"],
    [
      "two names",
      changed([0, vector16([0, ...vector16([97]), 0, ...vector16([98])])]),
      "trailing bytes -> decode_error",
    ],
    ["a name that is cut", changed([0, [0, 4, 0, 0, 2, 97]]), "message too short -> decode_error"],
    ["a list of half an entry", changed([0, [0, 2, 0, 0]]), "message too short -> decode_error"],
    ["another name type", changed([0, vector16([1, ...vector16([97])])]), bad],
    ["an empty name", changed(sni("")), bad],
    ["a name of 256 bytes", changed(sni(`${"a".repeat(63)}.`.repeat(4))), bad],
    ["a NUL", changed(sni("a.example\0.evil.example")), bad],
  ])("tls13 2: %s", (_, parts, answer) => {
    expect(refusal(() => read(helloBytes(parts)))).toBe(answer);
  });

  test("policy 6.4: an IP literal, or what is no host name, is as if absent", () => {
    const ip = ["127.0.0.1", "1", "0x7f.1", "a.0x", "a.0XfF", "a.123", "::1", "[::1]"];
    const odd = ["a..b", ".a", "a b", "a/b", "*.example", "\u00e9.example", ".", "a..", "a:443"];
    const long = [`${"a".repeat(64)}.example`, `${"a".repeat(63)}.`.repeat(3) + "b".repeat(62)];
    for (const name of [...ip, ...odd, ...long]) {
      const hello = readExtensions(...change(PLAIN, sni(name)));
      expect(hello.serverName, name).toBeUndefined();
      expect(hello.serverNameText, name).toBeUndefined();
    }
  });

  test("tls13 2: a trailing dot is dropped", () => {
    expect(readExtensions(...change(PLAIN, sni("A.Example."))).serverNameText).toBe("a.example");
  });

  test("names of every legal shape are taken", () => {
    const longest = `${"a".repeat(63)}.`.repeat(3) + "b".repeat(61);
    for (
      const name of [
        "localhost",
        "xn--mnchen-3ya.de",
        "_dmarc.a.example",
        "1.a",
        "4.3.2.1.in-addr.arpa",
        "a-.b",
        "x.0xg",
        longest,
      ]
    ) {
      expect(readExtensions(...change(PLAIN, sni(name))).serverNameText).toBe(name);
    }
  });
});

describe("key shares", () => {
  const check = (...extensions: Ext[]) =>
    refusal(() => readExtensions(...change(PLAIN, ...extensions)).checkKeyShares());

  test("tls13 2: duplicate groups", () => {
    expect(check(groups(0x1d, 0x17, 0x1d))).toBe("duplicate group -> illegal_parameter");
  });

  test("tls13 2: a second share of a group", () => {
    expect(check(shares([0x1d, [1]], [0x17, [2]], [0x1d, [1]])))
      .toBe("duplicate key share -> illegal_parameter");
  });

  test("tls13 2: a share for an unlisted group", () => {
    expect(check(shares([0x1d, [1]], [0x18, [1]])))
      .toBe("key share for an unlisted group -> illegal_parameter");
  });

  test("tls13 2: shares in another order than their groups are let pass", () => {
    expect(check(shares([0x17, [1]], [0x1d, [1]]))).toBe("no refusal");
  });

  test("no shares at all", () => {
    expect(check(shares())).toBe("no refusal");
  });
});

test("ChaCha20 is preferred where it stands before every AES suite", () => {
  const prefers = (...suites: number[]) => parseClientHello(helloBytes({ suites })).prefersChaCha20;
  expect(prefers(0x1303, 0x1301, 0x1302)).toBe(true);
  expect(prefers(0x0a0a, 0xc02b, 0x1303, 0x1302)).toBe(true);
  expect(prefers(0x1303)).toBe(true);
  expect(prefers(0x1301, 0x1303)).toBe(false);
  expect(prefers(0x1302, 0x1303)).toBe(false);
  expect(prefers(0x1304, 0x1303)).toBe(false);
  expect(prefers(0x1301)).toBe(false);
  expect(prefers(0x0a0a)).toBe(false);
});

test("tls13 13: GREASE is tolerated wherever it may stand", () => {
  const grease = 0x5a5a;
  const hello = read(helloBytes({
    suites: [grease, 0x1301],
    extensions: [
      [grease, []],
      sni("a.example"),
      groups(grease, 0x1d),
      schemes(grease, 0x0403),
      [16, vector16([...vector8(u16(grease)), ...vector8(ascii("h2"))])],
      compression(grease, 2),
      versions(grease, 0x0304),
      modes(0x2a, 1),
      shares([grease, [0]], [0x1d, filled(32)]),
      [0x8a8a, [0]],
    ],
  }));
  hello.checkKeyShares();
  expect(hello.offersCipherSuite(0x1301)).toBe(true);
  expect(hello.selectAlpn(["h2"])).toBe("h2");
  expect(hello.alpnProtocols()).toEqual(["ZZ", "h2"]);
  expect(hello.keyShare(0x1d)?.length).toBe(32);
  expect(hello.offersPskDheKe).toBe(true);
});

test("tls13 2.1: a hello with every fault answers for the first step it fails", () => {
  const faults: Ext[] = [
    [0, [0]],
    [43, [0]],
    [10, [0, 0]],
    [48, []],
    [41, [...vector16([0, 1, 7, ...u32(0)]), ...vector16([...vector8([1]), ...vector8([1])])]],
    [0xeeee, []],
    [0xeeee, []],
  ];
  let parts: HelloParts = { legacyVersion: 0x0302, compression: [1], extensions: faults };
  const answers: string[] = [];
  const mend = (next: HelloParts) => {
    answers.push(refusal(() => read(helloBytes(parts))));
    parts = { ...parts, ...next };
  };
  const swap = (...changes: Ext[]) => ({
    extensions: parts.extensions!.map((ext) => changes.find(([type]) => type === ext[0]) ?? ext),
  });
  mend({ extensions: faults.slice(0, -1) });
  mend(swap([0, vector16([1, ...vector16([97])])]));
  mend(swap(sni("a.example")));
  mend(swap(versions(0x0303)));
  mend(swap(versions(0x0304)));
  mend({ legacyVersion: 0x0303 });
  mend({ compression: [0] });
  mend(swap(groups(0x1d)));
  mend({ extensions: without(parts.extensions!, 48) });
  mend({ extensions: without(parts.extensions!, 0xeeee) });
  mend(swap(psks([[[7], 0]], [[1]])));
  mend({ extensions: change(parts.extensions!, shares()) });
  mend({ extensions: change(parts.extensions!, modes(1)) });
  mend({});
  expect(answers).toEqual([
    "duplicate extension -> decode_error",
    "message too short -> decode_error",
    "bad server_name -> unrecognized_name",
    "vector too short -> decode_error",
    "no TLS version in common -> protocol_version",
    "legacy_version is not 0x0303 -> protocol_version",
    "bad compression methods -> illegal_parameter",
    "vector too short -> decode_error",
    "extension not allowed here -> illegal_parameter",
    "pre_shared_key is not last -> illegal_parameter",
    "identities and binders differ in number -> illegal_parameter",
    "missing key_share -> missing_extension",
    "missing psk_key_exchange_modes -> missing_extension",
    "no refusal",
  ]);
});
