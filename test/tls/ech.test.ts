import { x25519 } from "@noble/curves/ed25519.js";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { chooseCrypto } from "../../src/crypto/choose.ts";
import type { AlertName } from "../../src/tls/alert.ts";
import { type EchKey, echKey, EchKeySet, type EchResult, openEch } from "../../src/tls/ech.ts";
import type { Reason } from "../../src/tls/error.ts";
import { DEFAULT_LIMITS } from "../../src/tls/limits.ts";
import { parseClientHello } from "../../src/tls/wire/client-hello.ts";
import {
  AEADS,
  ascii,
  bytes,
  concat,
  ECH,
  echConfig,
  echOuter,
  EchSender,
  encodedInner,
  type Ext,
  hello,
  type HelloParts,
  HERE,
  INNER_MARK,
  OUTER_EXTENSIONS,
  outerExtensions,
  privateKey,
  publicKeyOf,
  serverName,
  supportedVersions,
  type Tweak,
  withEch,
} from "../support/ech-sender.ts";
import { expectTlsError, unlessTlsError } from "../support/expect-tls-error.ts";

const crypto = chooseCrypto();

const INNER_RANDOM = new Uint8Array(32).fill(0x33);
const SESSION_ID = new Uint8Array(32).fill(0x1d);
const INNER_EXTENSIONS = [INNER_MARK, serverName("secret.example"), supportedVersions(0x0304)];
const INNER: HelloParts = { random: INNER_RANDOM, extensions: INNER_EXTENSIONS };
const OUTER: HelloParts = {
  sessionId: SESSION_ID,
  extensions: [serverName("public.example"), HERE, supportedVersions(0x0304)],
};
const CONFIG = configFor(0, { configId: 7 });
const KEY = keyFor(0, CONFIG);
const KEYS = new EchKeySet([KEY], "active");

function configFor(
  seed: number,
  parts: Omit<Parameters<typeof echConfig>[0], "publicKey">,
): Uint8Array {
  return echConfig({ ...parts, publicKey: publicKeyOf(privateKey(seed)) });
}

function keyFor(seed: number, config: Uint8Array, retry: boolean = true): EchKey {
  return echKey(crypto, { privateKey: privateKey(seed), config, retry });
}

function open(
  message: Uint8Array,
  keys: EchKeySet = KEYS,
  options: { strictOuterSni?: boolean; maxEchCandidates?: number } = {},
): EchResult {
  const { strictOuterSni = false, maxEchCandidates = DEFAULT_LIMITS.maxEchCandidates } = options;
  const limits = { ...DEFAULT_LIMITS, maxEchCandidates };
  return openEch(parseClientHello(message), keys, { limits, strictOuterSni });
}

/** A hello sealed to CONFIG. */
async function sealed(
  parts: {
    config?: Uint8Array;
    aeadId?: number;
    inner?: HelloParts;
    encoded?: Uint8Array;
    outer?: HelloParts;
    tweak?: Tweak;
  } = {},
): Promise<Uint8Array> {
  const sender = await EchSender.to(parts.config ?? CONFIG, parts.aeadId);
  const encoded = parts.encoded ?? encodedInner(parts.inner ?? INNER);
  return sender.seal(encoded, parts.outer ?? OUTER, parts.tweak);
}

function accepted(result: EchResult): Extract<EchResult, { outcome: "accepted" }> {
  if (result.outcome !== "accepted") expect.fail(`outcome: ${result.outcome}`);
  return result;
}

/** A hello with this as the body of its ECH extension. */
function withBody(body: Uint8Array): Uint8Array {
  return hello(withEch(OUTER, body));
}

describe("openEch accepts", () => {
  for (const [name, aeadId] of Object.entries(AEADS)) {
    test(`ech 3: what is sealed with ${name}, and gives the hello that was meant`, async () => {
      const message = await sealed({ aeadId, encoded: encodedInner(INNER, 13) });
      const { inner, session } = accepted(open(message));
      expect(inner.bytes).toEqual(hello({ ...INNER, sessionId: SESSION_ID }));
      expect(session).toMatchObject({ key: KEY, kdfId: 1, aeadId });
      expect(session.outerRandom).toEqual(parseClientHello(message).random);
    });
  }

  test("ech 3: a key of another KEM under the same config_id is passed over", async () => {
    const p256 = crypto.hpkeKeyPair(0x0010);
    const config = echConfig({ configId: 7, kemId: 0x0010, publicKey: p256.publicKey });
    const key = echKey(crypto, { privateKey: p256.privateKey, config, retry: true });
    expect(open(await sealed(), new EchKeySet([key], "active")).outcome).toBe("rejected");
    expect(open(await sealed(), new EchKeySet([key, KEY], "active")).outcome).toBe("accepted");
  });

  test("ech 3: every field of the inner hello, none of the outer's but its session id", async () => {
    const inner: HelloParts = {
      random: INNER_RANDOM,
      cipherSuites: bytes(0x13, 0x02, 0x13, 0x03),
      extensions: [INNER_MARK, supportedVersions(0x0304), serverName("secret.example")],
    };
    const result = accepted(open(await sealed({ inner })));
    expect(result.inner.random).toEqual(INNER_RANDOM);
    expect(result.inner.sessionId).toEqual(SESSION_ID);
    expect(result.inner.offersCipherSuite(0x1301)).toBe(false);
    expect(result.inner.offersCipherSuite(0x1303)).toBe(true);
  });

  test("ech 3: an outer hello with no extension but ECH", async () => {
    const outer = { extensions: [HERE], cipherSuites: bytes(0x0a, 0x0a) };
    expect(open(await sealed({ outer })).outcome).toBe("accepted");
  });

  test("ech 3: with the second of two keys of one config_id", async () => {
    const other = keyFor(1, configFor(1, { configId: 7 }));
    const message = await sealed();
    expect(accepted(open(message, new EchKeySet([other, KEY], "active"))).session.key).toBe(KEY);
    expect(accepted(open(message, new EchKeySet([KEY, other], "active"))).session.key).toBe(KEY);
  });

  test("ech 3: with a key that is kept for decryption alone, and with a set that is withdrawing", async () => {
    const old = keyFor(0, CONFIG, false);
    const current = keyFor(1, configFor(1, { configId: 8 }));
    const message = await sealed();
    expect(accepted(open(message, new EchKeySet([current, old], "active"))).session.key).toBe(old);
    expect(open(message, new EchKeySet([KEY], "withdrawing")).outcome).toBe("accepted");
  });

  test("ech 4: references to the outer hello", async () => {
    const shared: Ext = [0x000a, bytes(0, 2, 0, 29)];
    const other: Ext = [0x7777, ascii("between")];
    const second: Ext = [0x000d, bytes(0, 2, 4, 3)];
    const message = await sealed({
      inner: {
        random: INNER_RANDOM,
        extensions: [INNER_MARK, outerExtensions(shared[0], second[0]), supportedVersions(0x0304)],
      },
      outer: { sessionId: SESSION_ID, extensions: [shared, other, HERE, second] },
    });
    expect(accepted(open(message)).inner.bytes).toEqual(hello({
      random: INNER_RANDOM,
      sessionId: SESSION_ID,
      extensions: [INNER_MARK, shared, second, supportedVersions(0x0304)],
    }));
  });

  test("ech 3: into memory of its own", async () => {
    const message = await sealed();
    const { inner, session } = accepted(open(message));
    const before = { hello: inner.bytes.slice(), random: session.outerRandom.slice() };
    message.fill(0xff);
    expect({ hello: inner.bytes, random: session.outerRandom }).toEqual(before);
  });
});

describe("openEch rejects without an error", () => {
  test("ech 3: a hello without the extension is not an offer", () => {
    expect(open(hello({ extensions: [supportedVersions(0x0304)] }))).toEqual({
      outcome: "not-offered",
    });
    expect(open(hello({ extensions: undefined }))).toEqual({ outcome: "not-offered" });
  });

  const held: EchResult = { outcome: "rejected", configId: 7, heldId: true };
  const unknown: EchResult = { outcome: "rejected", configId: 8, heldId: false };
  const rows: readonly [what: string, tweak: Tweak, result: EchResult][] = [
    ["an unknown config_id", { configId: 8 }, unknown],
    ["an unknown KDF", { kdfId: 0x0a0a }, held],
    ["a KDF that we have but for another suite", { kdfId: 2 }, held],
    ["an unknown AEAD", { aeadId: 0x0a0a }, held],
    ["the export-only AEAD", { aeadId: 0xffff }, held],
    ["another AEAD than it was sealed with", { aeadId: 2 }, held],
    ["an empty enc", { enc: bytes() }, held],
    ["a short enc", { enc: new Uint8Array(31).fill(9) }, held],
    ["a long enc", { enc: new Uint8Array(33).fill(9) }, held],
    ["an enc of low order", { enc: new Uint8Array(32) }, held],
    ["another enc", { enc: new Uint8Array(32).fill(9) }, held],
    ["a payload of one byte", { payload: () => bytes(0) }, held],
    ["a payload shorter than a tag", { payload: (p) => p.slice(0, 15) }, held],
    ["a payload of a tag's length", { payload: (p) => p.slice(-16) }, held],
    ["a payload without its last byte", { payload: (p) => p.slice(0, -1) }, held],
    ["a payload with a byte more", { payload: (p) => concat(p, bytes(0)) }, held],
    [
      "a bad tag",
      { payload: (p) => concat(p.slice(0, -1), bytes(p.at(-1)! ^ 1)) },
      held,
    ],
    ["another AAD", { aad: (aad) => concat(bytes(aad[0]! ^ 1), aad.slice(1)) }, held],
    ["an AAD without its last byte", { aad: (aad) => aad.slice(0, -1) }, held],
  ];
  for (const [what, tweak, result] of rows) {
    test(`ech 13: never an alert: ${what}`, async () => {
      expect(open(await sealed({ tweak }))).toEqual(result);
    });
  }

  test("ech 3: a suite that we have but that this config does not list", async () => {
    const config = configFor(0, { configId: 7, suites: [[1, 1], [1, 3]] });
    const keys = new EchKeySet([keyFor(0, config)], "active");
    expect(open(await sealed({ config, aeadId: 2 }), keys)).toEqual(held);
    expect(open(await sealed({ config, aeadId: 3 }), keys).outcome).toBe("accepted");
  });

  test("ech 3: a hello whose config differs from ours in one byte of its public name", async () => {
    const config = configFor(0, { configId: 7, publicName: "public.examplf" });
    expect(open(await sealed({ config }))).toEqual(held);
  });

  test("ech 3: a hello of which anything outside the payload was changed", async () => {
    const message = await sealed();
    const whole = parseClientHello(message);
    for (
      const at of [whole.randomAt, whole.sessionIdAt, whole.cipherSuitesAt, message.length - 1]
    ) {
      const changed = message.slice();
      changed[at]! ^= 1;
      expect(open(changed)).toEqual(held);
    }
  });
});

describe("openEch does no more than it must", () => {
  interface Counted {
    readonly key: EchKey;
    readonly calls: string[];
  }

  /** A key that counts its key agreements; what they give opens nothing. */
  function counted(suites: readonly (readonly [number, number])[] = [[1, 1]]): Counted {
    const calls: string[] = [];
    const { config } = keyFor(0, configFor(0, { configId: 7, suites }));
    const recipient = {
      publicKey: config.publicKey,
      setup(aead: number) {
        calls.push(`setup ${aead}`);
        return { open: () => undefined, sharedSecret: new Uint8Array(32) };
      },
    };
    return { key: { configId: 7, config, retry: true, recipient }, calls };
  }

  test("ech 3: no key agreement for another config_id or a suite that is not listed", async () => {
    const { key, calls } = counted();
    const keys = new EchKeySet([key], "active");
    open(await sealed({ tweak: { configId: 8 } }), keys);
    open(await sealed({ tweak: { aeadId: 2 } }), keys);
    open(await sealed({ tweak: { kdfId: 2 } }), keys);
    expect(calls).toEqual([]);
    open(await sealed(), keys);
    expect(calls).toEqual(["setup 1"]);
  });

  test("ech 3: one key agreement per candidate, as many candidates as the limit says", async () => {
    const all = Array.from({ length: 6 }, () => counted());
    const keys = new EchKeySet([...all.map(({ key }) => key), KEY], "active");
    const message = await sealed();
    expect(open(message, keys, { maxEchCandidates: 4 }).outcome).toBe("rejected");
    expect(all.map(({ calls }) => calls.length)).toEqual([1, 1, 1, 1, 0, 0]);
    expect(open(message, keys, { maxEchCandidates: 7 }).outcome).toBe("accepted");
  });

  test("ech 3: a key without the suite does not count as a candidate", async () => {
    const others = Array.from({ length: 4 }, () => counted([[1, 2]]).key);
    const keys = new EchKeySet([...others, KEY], "active");
    expect(open(await sealed(), keys, { maxEchCandidates: 1 }).outcome).toBe("accepted");
  });
});

describe("openEch makes the AAD", () => {
  /** A key whose context shows what it was asked to open. */
  function showing(): { keys: EchKeySet; seen: { aad: Uint8Array; ciphertext: Uint8Array }[] } {
    const seen: { aad: Uint8Array; ciphertext: Uint8Array }[] = [];
    const recipient = {
      publicKey: KEY.recipient.publicKey,
      setup: () => ({
        open(aad: Uint8Array, ciphertext: Uint8Array) {
          seen.push({ aad: aad.slice(), ciphertext: ciphertext.slice() });
          return undefined;
        },
        sharedSecret: new Uint8Array(32),
      }),
    };
    return { keys: new EchKeySet([{ ...KEY, recipient }], "active"), seen };
  }

  test("ech 2: of the hello as it came, the payload blank by offset though it occurs earlier as well", () => {
    const { keys, seen } = showing();
    const payload = Uint8Array.from({ length: 40 }, (_, i) => 100 + i);
    const outer = { ...OUTER, extensions: [[0x7777, payload] as Ext, ...OUTER.extensions!] };
    const offer = { configId: 7, enc: new Uint8Array(32).fill(9) };
    open(hello(withEch(outer, echOuter({ ...offer, payload }))), keys);
    const blank = hello(withEch(outer, echOuter({ ...offer, payload: new Uint8Array(40) })));
    expect(seen).toEqual([{ aad: blank.slice(4), ciphertext: payload }]);
  });

  test("ech 2: of this hello alone, after a longer one", () => {
    const { keys, seen } = showing();
    const offer = { configId: 7, enc: new Uint8Array(32).fill(9) };
    for (const length of [3000, 16]) {
      open(withBody(echOuter({ ...offer, payload: new Uint8Array(length).fill(5) })), keys);
      const blank = withBody(echOuter({ ...offer, payload: new Uint8Array(length) }));
      expect(seen.pop()!.aad).toEqual(blank.slice(4));
    }
  });
});

describe("openEch refuses, before the tag", () => {
  for (const type of [2, 3, 0x0a, 0xff]) {
    test(`ech 13: an ECHClientHelloType of ${type}: illegal_parameter`, async () => {
      const message = await sealed({ tweak: { type } });
      expectTlsError(() => open(message), "bad ECHClientHelloType", "illegal_parameter");
    });
  }

  test("ech 13: type inner from the network: illegal_parameter", () => {
    expectTlsError(
      () => open(withBody(bytes(1))),
      "ECH of type inner from the network",
      "illegal_parameter",
    );
  });

  test("ech 13: type inner with a byte behind it: decode_error", () => {
    expectTlsError(() => open(withBody(bytes(1, 0))), "trailing bytes", "decode_error");
  });

  const body = echOuter({ configId: 7, enc: new Uint8Array(32), payload: new Uint8Array(20) });
  test("ech 3: every prefix of the structure: decode_error", () => {
    for (let length = 0; length < body.length; length++) {
      expectTlsError(
        () => open(withBody(body.slice(0, length))),
        "message too short",
        "decode_error",
      );
    }
  });

  test("ech 3: a byte more than the structure, or no payload: decode_error", () => {
    expectTlsError(() => open(withBody(concat(body, bytes(0)))), "trailing bytes", "decode_error");
    const empty = echOuter({ configId: 7, enc: new Uint8Array(32), payload: bytes() });
    expectTlsError(() => open(withBody(empty)), "vector too short", "decode_error");
  });

  test("ech 3: bad syntax even under a config_id that nobody holds", () => {
    const other = echOuter({ configId: 8, enc: bytes(), payload: bytes() });
    expectTlsError(() => open(withBody(other)), "vector too short", "decode_error");
  });
});

describe("openEch refuses, after the tag, and never falls back", () => {
  const versions = supportedVersions(0x0304);
  const rows: readonly (readonly [what: string, inner: Uint8Array, Reason, AlertName])[] = [
    [
      "an empty plaintext",
      bytes(),
      "message too short",
      "decode_error",
    ],
    [
      "an inner hello without extensions",
      encodedInner({ extensions: [] }),
      "inner hello without its ECH mark",
      "illegal_parameter",
    ],
    [
      "an inner hello without its mark",
      encodedInner({ extensions: [versions] }),
      "inner hello without its ECH mark",
      "illegal_parameter",
    ],
    [
      "a mark of no bytes",
      encodedInner({ extensions: [[ECH, bytes()], versions] }),
      "inner hello without its ECH mark",
      "illegal_parameter",
    ],
    [
      "a mark of two bytes",
      encodedInner({ extensions: [[ECH, bytes(1, 0)], versions] }),
      "inner hello without its ECH mark",
      "illegal_parameter",
    ],
    [
      "a mark of type outer",
      encodedInner({ extensions: [[ECH, bytes(0)], versions] }),
      "inner hello without its ECH mark",
      "illegal_parameter",
    ],
    [
      "a whole outer structure as the mark",
      encodedInner({
        extensions: [
          [ECH, echOuter({ configId: 7, enc: new Uint8Array(32), payload: new Uint8Array(20) })],
          versions,
        ],
      }),
      "inner hello without its ECH mark",
      "illegal_parameter",
    ],
    [
      "no supported_versions, which is an offer of 1.2",
      encodedInner({ extensions: [INNER_MARK] }),
      "inner hello offers TLS 1.2",
      "illegal_parameter",
    ],
    ...[0x0303, 0x0302, 0x0301, 0x0300, 0x0002].map((version) =>
      [
        `an offer of 0x0${version.toString(16)} beside 1.3`,
        encodedInner({ extensions: [INNER_MARK, supportedVersions(0x0304, version)] }),
        "inner hello offers TLS 1.2",
        "illegal_parameter",
      ] as const
    ),
    [
      "an offer of 1.2 alone",
      encodedInner({ extensions: [INNER_MARK, supportedVersions(0x0303)] }),
      "inner hello offers TLS 1.2",
      "illegal_parameter",
    ],
    [
      "supported_versions without a version",
      encodedInner({ extensions: [INNER_MARK, [43, bytes(0)]] }),
      "vector too short",
      "decode_error",
    ],
    [
      "supported_versions of odd length",
      encodedInner({ extensions: [INNER_MARK, [43, bytes(3, 3, 4, 3)]] }),
      "odd vector length",
      "decode_error",
    ],
    [
      "supported_versions with a byte behind it",
      encodedInner({ extensions: [INNER_MARK, [43, bytes(2, 3, 4, 0)]] }),
      "trailing bytes",
      "decode_error",
    ],
    [
      "the same extension twice",
      encodedInner({ extensions: [INNER_MARK, versions, versions] }),
      "duplicate extension",
      "decode_error",
    ],
    [
      "an extension both written out and referenced",
      encodedInner({ extensions: [INNER_MARK, versions, outerExtensions(43)] }),
      "duplicate extension",
      "decode_error",
    ],
    [
      "no cipher suites",
      encodedInner({ cipherSuites: bytes(), extensions: [INNER_MARK, versions] }),
      "vector too short",
      "decode_error",
    ],
    [
      "padding that is not zero",
      concat(encodedInner(INNER), bytes(0, 1)),
      "inner hello not zero-padded",
      "illegal_parameter",
    ],
    [
      "a session id",
      encodedInner(INNER).fill(1, 34, 35),
      "inner hello with a session id",
      "decode_error",
    ],
    [
      "a reference to ECH itself",
      encodedInner({ extensions: [INNER_MARK, versions, outerExtensions(ECH)] }),
      "bad ech_outer_extensions",
      "illegal_parameter",
    ],
    [
      "a reference to what is not there",
      encodedInner({ extensions: [INNER_MARK, versions, outerExtensions(0x7777)] }),
      "bad ech_outer_extensions",
      "illegal_parameter",
    ],
    [
      "references twice",
      encodedInner({ extensions: [INNER_MARK, outerExtensions(0), outerExtensions(43)] }),
      "bad ech_outer_extensions",
      "illegal_parameter",
    ],
    [
      "empty references",
      encodedInner({ extensions: [INNER_MARK, versions, [OUTER_EXTENSIONS, bytes(0)]] }),
      "vector too short",
      "decode_error",
    ],
  ];
  for (const [what, encoded, reason, alert] of rows) {
    test(`ech 13: ${what}: ${alert}`, async () => {
      const message = await sealed({ encoded });
      expectTlsError(() => open(message), reason, alert);
    });
  }

  test("ech 4: ech_outer_extensions in the outer hello: illegal_parameter", async () => {
    const outer = { extensions: [outerExtensions(0), ...OUTER.extensions!] };
    const message = await sealed({ outer });
    expectTlsError(() => open(message), "bad ech_outer_extensions", "illegal_parameter");
  });

  test("ech 4: GREASE versions are no offer of an old one", async () => {
    const extensions = [INNER_MARK, supportedVersions(0x0a0a, 0x0304, 0xfafa)];
    expect(open(await sealed({ inner: { extensions } })).outcome).toBe("accepted");
  });

  test("ech 4: without 1.3 among its versions it fails later, as any hello does: protocol_version", async () => {
    const extensions = [INNER_MARK, supportedVersions(0x0305)];
    const { inner } = accepted(open(await sealed({ inner: { extensions } })));
    expectTlsError(() => inner.checkExtensions(), "no TLS version in common", "protocol_version");
  });
});

describe("openEch with strictOuterSni", () => {
  const strict = { strictOuterSni: true };
  const reason = "outer server_name is not the public name";
  const named = (name: string): HelloParts => ({ extensions: [serverName(name), HERE] });

  test("ech 3: takes the public name of any of our keys, in any case", async () => {
    const other = keyFor(1, configFor(1, { configId: 9, publicName: "second.example" }));
    const keys = new EchKeySet([KEY, other], "active");
    for (const name of ["public.example", "PUBLIC.Example", "second.example"]) {
      expect(open(await sealed({ outer: named(name) }), keys, strict).outcome).toBe("accepted");
    }
  });

  test("ech 13: refuses another name, and none: illegal_parameter", async () => {
    for (const name of ["other.example", "public.example.", "a.public.example"]) {
      const message = await sealed({ outer: named(name) });
      expectTlsError(() => open(message, KEYS, strict), reason, "illegal_parameter");
    }
    const unnamed = await sealed({ outer: { extensions: [HERE] } });
    expectTlsError(() => open(unnamed, KEYS, strict), reason, "illegal_parameter");
  });

  test("ech 3: does not look at the name of a hello that it rejects", async () => {
    const message = await sealed({ outer: named("other.example"), tweak: { configId: 8 } });
    expect(open(message, KEYS, strict).outcome).toBe("rejected");
  });

  test("ech 3: without it no name is compared", async () => {
    expect(open(await sealed({ outer: named("other.example") })).outcome).toBe("accepted");
  });
});

describe("openEch, whatever it is given", () => {
  /** A key that opens every payload to itself without the tag: plaintexts may be chosen freely. */
  const transparent: EchKey = {
    ...KEY,
    recipient: {
      publicKey: KEY.recipient.publicKey,
      setup: () => ({
        open: (_aad, ciphertext) => ciphertext.subarray(0, -16),
        sharedSecret: new Uint8Array(32),
      }),
    },
  };
  const keys = new EchKeySet([transparent], "active");
  const whole = encodedInner({
    ...INNER,
    extensions: [...INNER_EXTENSIONS.slice(0, 2), outerExtensions(43)],
  }, 3);

  function holds(encoded: Uint8Array): void {
    const payload = concat(encoded, new Uint8Array(16));
    const message = withBody(echOuter({ configId: 7, enc: new Uint8Array(32), payload }));
    const result = unlessTlsError(() => open(message, keys));
    if (result === undefined) return;
    const { inner } = accepted(result);
    expect(inner.bytes.length).toBeLessThan(message.length);
    unlessTlsError(() => inner.checkExtensions());
  }

  test("throws nothing but TlsError, on arbitrary plaintexts", () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), holds), { numRuns: 300 });
  });

  test("throws nothing but TlsError, on mutated plaintexts", () => {
    holds(whole);
    const flip = fc.record({ at: fc.nat(whole.length - 1), value: fc.nat(255) });
    fc.assert(
      fc.property(fc.array(flip, { minLength: 1, maxLength: 3 }), (flips) => {
        const encoded = whole.slice();
        for (const { at, value } of flips) encoded[at] = value;
        holds(encoded);
      }),
      { numRuns: 500 },
    );
  });

  test("throws nothing but TlsError, on mutated outer hellos", async () => {
    const message = await sealed();
    const flip = fc.record({ at: fc.nat(message.length - 1), value: fc.nat(255) });
    fc.assert(
      fc.property(fc.array(flip, { minLength: 1, maxLength: 3 }), (flips) => {
        const changed = message.slice();
        for (const { at, value } of flips) changed[at] = value;
        unlessTlsError(() => open(changed));
      }),
      { numRuns: 300 },
    );
  });

  test("ech 11: opens a hello of the size limit, whose inner hello is as large as can be", async () => {
    const padding = DEFAULT_LIMITS.maxClientHello - 200;
    const inner: HelloParts = {
      ...INNER,
      extensions: [...INNER_EXTENSIONS, [21, new Uint8Array(padding - 300)]],
    };
    const message = await sealed({ inner });
    expect(message.length).toBeLessThanOrEqual(DEFAULT_LIMITS.maxClientHello + 4);
    expect(accepted(open(message)).inner.bytes).toEqual(hello({ ...inner, sessionId: SESSION_ID }));
  });
});

test("The sender of these tests agrees with an independent X25519", () => {
  expect(KEY.recipient.publicKey).toEqual(x25519.getPublicKey(privateKey(0)));
});
