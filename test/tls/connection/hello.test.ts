import { describe, expect, test } from "vitest";
import type { AlertName } from "../../../src/tls/alert.ts";
import type { Reason } from "../../../src/tls/error.ts";
import { decodeServerHello } from "../../../src/tls/wire/server-hello.ts";
import {
  CipherSuite,
  ExtensionType,
  NamedGroup,
  SignatureScheme,
} from "../../../src/tls/wire/code-points.ts";
import {
  BASE_POINT_X25519,
  ext,
  type Extension,
  hello,
  type HelloOverrides,
  joined,
  plaintextRecords,
} from "../../support/hello-builder.ts";
import { Pair } from "../../support/pair.ts";
import { feed } from "../../support/raw-server.ts";
import { testCrypto, testServer } from "../../support/server-config.ts";
import { echo, expectRefusal, firstMessage } from "./kit.ts";

const { x25519, secp256r1, secp384r1, secp521r1, X25519MLKEM768 } = NamedGroup;
const filled = (length: number, byte = 1) => new Uint8Array(length).fill(byte);

/** 04 ‖ X ‖ Y of P-256's base point. */
const BASE_POINT_P256 = Uint8Array.from(
  ("046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296" +
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5").match(/../g)!,
  (hex) => parseInt(hex, 16),
);

const psk = (identities: number, binders: number): Extension =>
  ext.preSharedKey(
    Array.from({ length: identities }, () => ({ identity: filled(240), obfuscatedAge: 0 })),
    Array.from({ length: binders }, () => filled(32)),
  );
const modes = ext.pskKeyExchangeModes([1]);
const share = (group: number, bytes: Uint8Array): HelloOverrides => ({
  groups: [group],
  keyShares: [[group, bytes]],
});

type Row = readonly [name: string, HelloOverrides, Reason, AlertName];

const rows: readonly Row[] = [
  ["tls13 2: trailing bytes", { trailing: filled(1) }, "trailing bytes", "decode_error"],
  [
    "tls13 2: a session id of 33 bytes",
    { sessionId: filled(33) },
    "vector too long",
    "decode_error",
  ],
  ["tls13 2: no cipher suites", { cipherSuites: [] }, "vector too short", "decode_error"],
  ["tls13 2: no compression", { compressionMethods: [] }, "vector too short", "decode_error"],
  [
    "tls13 2: legacy_version 0x0302",
    { legacyVersion: 0x0302 },
    "legacy_version is not 0x0303",
    "protocol_version",
  ],
  [
    "tls13 2: legacy_version 0x0304",
    { legacyVersion: 0x0304 },
    "legacy_version is not 0x0303",
    "protocol_version",
  ],
  [
    "tls13 2: supported_versions without 1.3",
    { versions: [0x0303, 0x0302] },
    "no TLS version in common",
    "protocol_version",
  ],
  [
    "tls13 2: no supported_versions",
    { without: [ExtensionType.supported_versions] },
    "no TLS version in common",
    "protocol_version",
  ],
  ["tls13 2: an empty version list", { versions: [] }, "vector too short", "decode_error"],
  [
    "tls13 2: a second compression method",
    { compressionMethods: [0, 1] },
    "bad compression methods",
    "illegal_parameter",
  ],
  [
    "tls13 2: no null compression",
    { compressionMethods: [1] },
    "bad compression methods",
    "illegal_parameter",
  ],
  [
    "tls13 2: a duplicate extension, even one that nobody knows",
    { extensions: [[0x7777, filled(0)], [0x7777, filled(0)]] },
    "duplicate extension",
    "decode_error",
  ],
  [
    "tls13 2: trailing data in server_name",
    { replace: [[0, joined([ext.serverName("a.example")[1], filled(1)])]] },
    "trailing bytes",
    "decode_error",
  ],
  [
    "tls13 2: oid_filters",
    { replace: [[ExtensionType.oid_filters, filled(2, 0)]] },
    "extension not allowed here",
    "illegal_parameter",
  ],
  [
    "tls13 2: ech_outer_extensions",
    { replace: [ext.echOuterExtensions([10])] },
    "extension not allowed here",
    "illegal_parameter",
  ],
  [
    "tls13 2: no cipher suite in common",
    { cipherSuites: [0x1304, 0xc02b] },
    "no cipher suite in common",
    "handshake_failure",
  ],
  [
    "tls13 2: no group in common",
    share(secp521r1, filled(133, 4)),
    "no group in common",
    "handshake_failure",
  ],
  [
    "tls13 2: no signature scheme in common",
    { signatureSchemes: [SignatureScheme.ecdsa_secp521r1_sha512] },
    "no signature scheme in common",
    "handshake_failure",
  ],
  [
    "tls13 3: SHA-1 and PKCS#1 alone are nothing in common",
    { signatureSchemes: [0x0201, 0x0203, 0x0401, 0x0501, 0x0601] },
    "no signature scheme in common",
    "handshake_failure",
  ],
  [
    "tls13 3: a P-256 key does not sign for another curve",
    { signatureSchemes: [SignatureScheme.ecdsa_secp384r1_sha384, 0x0807, 0x0804] },
    "no signature scheme in common",
    "handshake_failure",
  ],
  [
    "tls13 2: no signature_algorithms",
    { without: [ExtensionType.signature_algorithms] },
    "missing signature_algorithms",
    "missing_extension",
  ],
  [
    "tls13 2: no signature_algorithms, and a PSK that is none of ours",
    { without: [ExtensionType.signature_algorithms], replace: [modes, psk(1, 1)] },
    "missing signature_algorithms",
    "missing_extension",
  ],
  [
    "tls13 2: key_share without supported_groups",
    { without: [ExtensionType.supported_groups] },
    "missing supported_groups",
    "missing_extension",
  ],
  [
    "tls13 2: supported_groups without key_share",
    { without: [ExtensionType.key_share] },
    "missing key_share",
    "missing_extension",
  ],
  [
    "tls13 2: neither groups nor shares, and a PSK that is none of ours",
    {
      without: [ExtensionType.supported_groups, ExtensionType.key_share],
      replace: [modes, psk(1, 1)],
    },
    "missing supported_groups",
    "missing_extension",
  ],
  [
    "tls13 2: pre_shared_key is not last",
    { replace: [modes, psk(1, 1), [0x7777, filled(0)]] },
    "pre_shared_key is not last",
    "illegal_parameter",
  ],
  [
    "tls13 2: pre_shared_key without modes",
    { replace: [psk(1, 1)] },
    "missing psk_key_exchange_modes",
    "missing_extension",
  ],
  [
    "tls13 2: a group listed twice",
    { groups: [x25519, secp256r1, x25519] },
    "duplicate group",
    "illegal_parameter",
  ],
  [
    "tls13 2: two shares of a group",
    { keyShares: [[x25519, BASE_POINT_X25519], [x25519, BASE_POINT_X25519]] },
    "duplicate key share",
    "illegal_parameter",
  ],
  [
    "tls13 2: a share for an unlisted group",
    { groups: [x25519], keyShares: [[x25519, BASE_POINT_X25519], [secp256r1, BASE_POINT_P256]] },
    "key share for an unlisted group",
    "illegal_parameter",
  ],
  ["tls13 2: an empty share", share(x25519, filled(0)), "vector too short", "decode_error"],
  [
    "tls13 2: an empty server name",
    { serverName: "" },
    "bad server_name",
    "unrecognized_name",
  ],
  [
    "tls13 2: a server name of another type",
    { replace: [[0, Uint8Array.of(0, 4, 1, 0, 1, 0x61)]] },
    "bad server_name",
    "unrecognized_name",
  ],
  ["tls13 2: an empty protocol list", { alpn: [] }, "vector too short", "decode_error"],
  ["tls13 2: an empty protocol name", { alpn: ["h2", ""] }, "vector too short", "decode_error"],
  [
    "tls13 2: no protocol in common",
    { alpn: ["spdy/1"] },
    "no application protocol in common",
    "no_application_protocol",
  ],
  [
    "tls13 7: no identities",
    { replace: [modes, psk(0, 1)] },
    "vector too short",
    "decode_error",
  ],
  ["tls13 7: no binders", { replace: [modes, psk(1, 0)] }, "vector too short", "decode_error"],
  [
    "tls13 7: more identities than binders",
    { replace: [modes, psk(2, 1)] },
    "identities and binders differ in number",
    "illegal_parameter",
  ],
  [
    "tls13 7: more binders than identities",
    { replace: [modes, psk(1, 2)] },
    "identities and binders differ in number",
    "illegal_parameter",
  ],
  [
    "tls13 10: record_size_limit 63",
    { replace: [ext.recordSizeLimit(63)] },
    "bad record_size_limit",
    "illegal_parameter",
  ],
  [
    "tls13 10: a record_size_limit of one byte",
    { replace: [[ExtensionType.record_size_limit, filled(1)]] },
    "message too short",
    "decode_error",
  ],
  [
    "tls13 11: a compression algorithm listed twice",
    { replace: [ext.compressCertificate([1, 2, 1])] },
    "duplicate compression algorithm",
    "decode_error",
  ],
  [
    "tls13 11: an odd compression list",
    { replace: [[ExtensionType.compress_certificate, Uint8Array.of(3, 0, 1, 0)]] },
    "odd vector length",
    "decode_error",
  ],
  [
    "tls13 7: a ticket_request of three bytes",
    { replace: [[ExtensionType.ticket_request, filled(3)]] },
    "trailing bytes",
    "decode_error",
  ],
  [
    "tls13 3: 31 bytes of X25519",
    share(x25519, filled(31, 9)),
    "bad key share",
    "illegal_parameter",
  ],
  [
    "tls13 3: 33 bytes of X25519",
    share(x25519, filled(33, 9)),
    "bad key share",
    "illegal_parameter",
  ],
  [
    "tls13 3: a low-order X25519 point",
    share(x25519, filled(32, 0)),
    "bad key share",
    "illegal_parameter",
  ],
  [
    "tls13 3: 64 bytes of P-256",
    share(secp256r1, BASE_POINT_P256.subarray(0, 64)),
    "bad key share",
    "illegal_parameter",
  ],
  [
    "tls13 3: 66 bytes of P-256",
    share(secp256r1, joined([BASE_POINT_P256, filled(1)])),
    "bad key share",
    "illegal_parameter",
  ],
  [
    "tls13 3: a compressed P-256 point",
    share(secp256r1, joined([filled(1, 3), BASE_POINT_P256.subarray(1, 33)])),
    "bad key share",
    "illegal_parameter",
  ],
  [
    "tls13 3: a point that is not on P-256",
    share(secp256r1, BASE_POINT_P256.map((byte, i) => i === 64 ? byte ^ 1 : byte)),
    "bad key share",
    "illegal_parameter",
  ],
  [
    "tls13 3: P-384's infinity",
    share(secp384r1, filled(1, 0)),
    "bad key share",
    "illegal_parameter",
  ],
  [
    "tls13 3: a point that is not on P-384",
    share(secp384r1, filled(97, 4)),
    "bad key share",
    "illegal_parameter",
  ],
  [
    "tls13 3: 1215 bytes of X25519MLKEM768",
    share(X25519MLKEM768, filled(1215, 0)),
    "bad key share",
    "illegal_parameter",
  ],
  [
    "tls13 3: 1217 bytes of X25519MLKEM768",
    share(X25519MLKEM768, filled(1217, 0)),
    "bad key share",
    "illegal_parameter",
  ],
  [
    "tls13 3: an encapsulation key that is not reduced",
    share(X25519MLKEM768, joined([filled(1184, 0xff), BASE_POINT_X25519])),
    "bad key share",
    "illegal_parameter",
  ],
  [
    "tls13 3: a low-order X25519 point beside a good encapsulation key",
    share(X25519MLKEM768, filled(1216, 0)),
    "bad key share",
    "illegal_parameter",
  ],
  [
    "ech 13: an ECHClientHelloType that nobody knows",
    { replace: [[ExtensionType.encrypted_client_hello, filled(20, 2)]] },
    "bad ECHClientHelloType",
    "illegal_parameter",
  ],
  [
    "ech 13: type inner from the network",
    { replace: [ext.echInner()] },
    "ECH of type inner from the network",
    "illegal_parameter",
  ],
  [
    "ech 3: half an offer",
    { replace: [[ExtensionType.encrypted_client_hello, Uint8Array.of(0, 0, 1)]] },
    "message too short",
    "decode_error",
  ],
];

describe("a first hello that is refused", () => {
  const options = {
    alpn: ["h2"],
    groups: [x25519, secp256r1, secp384r1, X25519MLKEM768],
    ech: true,
  };
  for (const [name, overrides, reason, alert] of rows) {
    test(`${name}: ${alert}, in clear, however it comes`, async () => {
      const server = await testServer(options);
      const bytes = hello(overrides);
      expectRefusal(feed(server, plaintextRecords(bytes)), reason, alert);
      expectRefusal(feed(server, plaintextRecords(bytes), { chunkBytes: 1 }), reason, alert);
      const inBytes = plaintextRecords(bytes, { fragmentBytes: 1 });
      expectRefusal(feed(server, inBytes), reason, alert);
    });
  }

  test("ech 3: type inner is illegal_parameter without any key, too", async () => {
    const fed = feed(await testServer(), plaintextRecords(hello({ replace: [ext.echInner()] })));
    expectRefusal(fed, "ECH of type inner from the network", "illegal_parameter");
  });

  test("tls13 2: bytes after the hello in its record are unexpected_message", async () => {
    const server = await testServer();
    for (const more of [Uint8Array.of(1), Uint8Array.of(20, 0, 0), hello()]) {
      const fed = feed(server, plaintextRecords(joined([hello(), more])));
      expectRefusal(fed, "excess handshake bytes", "unexpected_message");
    }
  });

  test("tls13 2: bytes after a hello that came in pieces are, too", async () => {
    const bytes = hello();
    const fed = feed(await testServer(), [
      plaintextRecords(bytes.subarray(0, 100)),
      plaintextRecords(joined([bytes.subarray(100), Uint8Array.of(1, 0)])),
    ]);
    expectRefusal(fed, "excess handshake bytes", "unexpected_message");
  });

  test.each([
    ["HTTP", "GET / HTTP/1.0\r\n\r\n"],
    ["a proxy's request", "CONNECT a.example:443 HTTP/1.0\r\n\r\n"],
    ["SSLv2", "\x80\x2e\x01\x00\x02"],
    ["garbage", "\xff\xfe\xfd\xfc\xfb\xfa"],
    ["a version of another kind", "\x16\x17\x01\x00\x05"],
  ])("tls13 1.1: %s is refused by its first bytes", async (_, text) => {
    const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0));
    expectRefusal(feed(await testServer(), bytes), "not a TLS record", "unexpected_message");
    const fed = feed(await testServer(), bytes.subarray(0, 2));
    expectRefusal(fed, "not a TLS record", "unexpected_message");
  });

  test("tls13 2.1: a fault of the hello alone comes before any name is asked for", async () => {
    const server = await testServer();
    for (const overrides of [{ versions: [0x0303] }, { without: [51] }, { alpn: [""] }]) {
      expect(feed(server, plaintextRecords(hello(overrides))).output.asked).toEqual([]);
    }
  });

  test("policy 6: a name that is not served is its refusal's alert", async () => {
    const server = await testServer();
    const cases: readonly [Reason, AlertName][] = [
      ["unrecognized name", "unrecognized_name"],
      ["missing server_name", "missing_extension"],
      ["no application protocol in common", "no_application_protocol"],
      ["access denied", "access_denied"],
      ["site lookup failed", "internal_error"],
    ];
    for (const [reason, alert] of cases) {
      const refuse = reason as "unrecognized name";
      const fed = feed(server, plaintextRecords(hello()), { chooseSite: () => ({ refuse }) });
      expectRefusal(fed, reason, alert);
    }
  });

  test("tls13 2.1: the suite is decided before the name's own fault", async () => {
    const fed = feed(await testServer(), plaintextRecords(hello({ cipherSuites: [0xc02b] })), {
      chooseSite: () => ({ refuse: "unrecognized name" }),
    });
    expectRefusal(fed, "no cipher suite in common", "handshake_failure");
  });
});

describe("a first hello that is taken", () => {
  const taken: readonly (readonly [string, HelloOverrides])[] = [
    ["tls13 13: without a session id", { sessionId: filled(0) }],
    ["tls13 13: with a session id of 16 bytes", { sessionId: filled(16) }],
    ["tls13 13: with a session id of 32 bytes", { sessionId: filled(32) }],
    [
      "tls13 2: with unknown suites and both signalling values",
      { cipherSuites: [0x0a0a, 0xc02b, 0x00ff, 0x5600, 0x1301] },
    ],
    [
      "tls13 2: with extensions that 1.3 has no use for",
      {
        replace: [
          [0xff01, Uint8Array.of(0)], // renegotiation_info
          [23, filled(0)], // extended_main_secret
          [35, filled(0)], // session_ticket
          [11, Uint8Array.of(1, 0)], // ec_point_formats
          [22, filled(0)], // encrypt_then_mac
          [15, filled(1)], // heartbeat
          [3, filled(0)], // trusted_ca_keys
          [17, filled(7)], // status_request_v2
          [ExtensionType.padding, filled(100, 0)],
          [ExtensionType.post_handshake_auth, filled(0)],
          ext.cookie(filled(8)),
        ],
      },
    ],
    ["tls13 2: with early_data and no PSK", { replace: [ext.earlyData()] }],
    ["tls13 2: with trust anchors, whose syntax nobody looks at", {
      replace: [[0xca34, filled(5)]],
    }],
    ["tls13 10: with max_fragment_length, whose value nobody looks at", {
      replace: [[ExtensionType.max_fragment_length, filled(1, 99)]],
    }],
    ["tls13 10: with record_size_limit 64", { replace: [ext.recordSizeLimit(64)] }],
    ["tls13 10: with record_size_limit 65535", { replace: [ext.recordSizeLimit(65535)] }],
    ["tls13 2: with versions in any order and unknown ones", {
      versions: [0x0303, 0x7a7a, 0x0304],
    }],
    ["tls13 3: with the high bit of X25519MLKEM768 set", {
      groups: [X25519MLKEM768],
      keyShares: [[
        X25519MLKEM768,
        testCrypto.keyPair("X25519MLKEM768").share.map((byte, i) =>
          i === 1215 ? byte | 0x80 : byte
        ),
      ]],
    }],
    ["tls13 3: with the high bit of X25519 set", {
      keyShares: [[x25519, BASE_POINT_X25519.map((byte, i) => i === 31 ? 0x80 : byte)]],
    }],
    ["policy 6.4: with an IP literal as its name", { serverName: "192.0.2.1" }],
    ["policy 6.4: with a trailing dot", { serverName: "a.example." }],
  ];
  for (const [name, overrides] of taken) {
    test(name, async () => {
      const bytes = hello(overrides);
      const server = await testServer({ groups: [x25519, X25519MLKEM768] });
      const fed = feed(server, plaintextRecords(bytes));
      expect(fed.error).toBeUndefined();
      expect(fed.server.state).toBe("ExpectFinished");
      const answer = decodeServerHello(firstMessage(fed.output.sent[0]!));
      const { sessionId } = { sessionId: filled(32, 0x53), ...overrides };
      expect([...answer.sessionId]).toEqual([...sessionId]);
      expect(fed.output.sent.length).toBe(1);
    });
  }

  test.each([0x0300, 0x0301, 0x0303, 0x03ff])(
    "tls13 13: in a record of version %i",
    async (version) => {
      const fed = feed(await testServer(), plaintextRecords(hello(), { version }));
      expect(fed.error).toBeUndefined();
    },
  );

  test("tls13 5: the answer is ServerHello, change_cipher_spec and sealed records, in one piece", async () => {
    const fed = feed(await testServer(), plaintextRecords(hello()));
    expect(fed.records).toEqual([22, 20, 23]);
    expect(fed.output.sent.length).toBe(1);
  });

  test("tls13 5: ServerHello has versions, a share, and nothing else", async () => {
    const fed = feed(await testServer(), plaintextRecords(hello()));
    const answer = decodeServerHello(firstMessage(fed.output.sent[0]!));
    expect([...answer.extensionTypes].sort((a, b) => a - b)).toEqual([43, 51]);
    expect(answer.keyShare?.group).toBe(x25519);
    expect(answer.cipherSuite).toBe(0x1301);
  });

  test("tls13 3: key shares and randoms are fresh for each connection", async () => {
    const server = await testServer();
    const [a, b] = [1, 2].map(() =>
      decodeServerHello(
        firstMessage(feed(server, plaintextRecords(hello())).output.sent[0]!),
      )
    );
    expect(a!.random).not.toEqual(b!.random);
    expect(a!.keyShare!.keyExchange).not.toEqual(b!.keyShare!.keyExchange);
  });
});

describe("what is chosen", () => {
  const { TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384, TLS_CHACHA20_POLY1305_SHA256 } =
    CipherSuite;

  test.each([
    [[0x1301, 0x1302, 0x1303], 0x1301],
    [[0x1302, 0x1301], 0x1301],
    [[0x1303, 0x1301, 0x1302], 0x1303],
    [[0x1301, 0x1303], 0x1301],
    [[0x0a0a, 0x1303, 0x1301], 0x1303],
    [[0x1302], 0x1302],
  ])("policy 5: of suites %j it is %i", async (suites, chosen) => {
    const pair = await Pair.connect({ client: { suites } });
    expect(pair.negotiated?.cipherSuite).toBe(chosen);
  });

  test("policy 5: our order holds, where ChaCha20 is none of ours", async () => {
    const pair = await Pair.connect({
      server: { suites: [TLS_AES_256_GCM_SHA384, TLS_AES_128_GCM_SHA256] },
      client: { suites: [TLS_CHACHA20_POLY1305_SHA256, 0x1301, 0x1302] },
    });
    expect(pair.negotiated?.cipherSuite).toBe(0x1302);
  });

  test.each([
    ["our first group with a share", [x25519, secp256r1], [secp256r1], secp256r1, false],
    ["our first of two with shares", [secp256r1, x25519], [secp256r1, x25519], x25519, false],
    [
      "a post-quantum group, even at the price of a retry",
      [x25519, X25519MLKEM768],
      [
        x25519,
      ],
      X25519MLKEM768,
      true,
    ],
    [
      "a post-quantum group with its share",
      [X25519MLKEM768, x25519],
      [
        X25519MLKEM768,
        x25519,
      ],
      X25519MLKEM768,
      false,
    ],
    ["our first where none has a share", [secp384r1, secp256r1], [], secp256r1, true],
  ])("tls13 3: of groups it is %s", async (_, groups, keyShares, group, helloRetried) => {
    const pair = await Pair.connect({
      server: { groups: [X25519MLKEM768, x25519, secp256r1, secp384r1] },
      client: { groups, keyShares },
    });
    expect(pair.negotiated).toMatchObject({ group, helloRetried });
    expect(pair.client.negotiated).toMatchObject({ group, helloRetried });
  });

  test.each(
    [
      [["p256", "rsa"], [0x0804, 0x0403], 0x0403],
      [["rsa", "p256"], [0x0403, 0x0804], 0x0804],
      [["p256", "rsa"], [0x0804], 0x0804],
      [["p256", "p384"], [0x0503], 0x0503],
      [["p256", "ed25519"], [0x0807], 0x0807],
      [["rsa"], [0x0805], 0x0805],
      [["rsa"], [0x0806], 0x0806],
      [["p256", "p384"], [0x0603, 0x0503], 0x0503],
    ] as const,
  )("tls13 3: of %j for %j it is %i", async (credentials, signatureSchemes, scheme) => {
    const pair = await Pair.connect({ server: { credentials }, client: { signatureSchemes } });
    expect(pair.negotiated?.signatureScheme).toBe(scheme);
    expect(pair.client.negotiated.signatureScheme).toBe(scheme);
  });

  test("tls13 3: groups say nothing about the curve of a certificate", async () => {
    const pair = await Pair.connect({
      server: { credentials: ["p384"] },
      client: { groups: [x25519], signatureSchemes: [0x0503] },
    });
    expect(pair.negotiated?.signatureScheme).toBe(0x0503);
  });

  test.each([
    [["h2", "http/1.1"], ["http/1.1", "h2"], "h2"],
    [["h2", "http/1.1"], ["http/1.1"], "http/1.1"],
    [["h2"], undefined, undefined],
    [undefined, ["h2"], undefined],
  ])("tls13 2: of protocols %j for %j it is %s", async (ours, theirs, chosen) => {
    const pair = await Pair.connect({
      server: ours === undefined ? {} : { alpn: ours },
      client: theirs === undefined ? {} : { alpn: theirs },
    });
    expect(pair.negotiated?.alpn).toBe(chosen);
    expect(pair.client.negotiated.alpn).toBe(chosen);
  });

  test("tls13 2: server_name is acknowledged where it was used, and only there", async () => {
    expect((await Pair.connect()).client.negotiated.serverNameUsed).toBe(true);
    const nameless = await Pair.connect({ client: { serverName: undefined } });
    expect(nameless.client.negotiated.serverNameUsed).toBe(false);
    expect(nameless.negotiated?.serverName).toBeUndefined();
    const address = await Pair.connect({
      client: { serverName: undefined, extensions: [ext.serverName("192.0.2.1")] },
    });
    expect(address.client.negotiated.serverNameUsed).toBe(false);
  });

  test("tls13 5: EncryptedExtensions is empty where nothing was asked", async () => {
    const pair = await Pair.connect({ client: { serverName: undefined } });
    expect(pair.client.negotiated.encryptedExtensions).toEqual([]);
    await echo(pair);
  });

  test("tls13 18: nothing is answered but what was asked", async () => {
    const pair = await Pair.connect({
      server: { alpn: ["h2"], compression: [1], ocspResponse: filled(4), ech: true },
    });
    expect(pair.client.negotiated).toMatchObject({
      encryptedExtensions: [0],
      certificateCompression: undefined,
      ocspResponse: undefined,
      scts: undefined,
    });
  });
});
