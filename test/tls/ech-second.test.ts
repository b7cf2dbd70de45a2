import { describe, expect, test } from "vitest";
import { chooseCrypto } from "../../src/crypto/choose.ts";
import type { AlertName } from "../../src/tls/alert.ts";
import { echKey, EchKeySet, type EchSession, openEch, openSecondEch } from "../../src/tls/ech.ts";
import type { Reason } from "../../src/tls/error.ts";
import { DEFAULT_LIMITS } from "../../src/tls/limits.ts";
import { type ClientHello, parseClientHello } from "../../src/tls/wire/client-hello.ts";
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
  outerExtensions,
  privateKey,
  publicKeyOf,
  supportedVersions,
  type Tweak,
  withEch,
} from "../support/ech-sender.ts";
import { expectTlsError } from "../support/expect-tls-error.ts";

const crypto = chooseCrypto();

const CONFIG = echConfig({ configId: 7, publicKey: publicKeyOf(privateKey(0)) });
const KEY = echKey(crypto, { privateKey: privateKey(0), config: CONFIG, retry: true });
const KEYS = new EchKeySet([KEY], "active");

const SESSION_ID = new Uint8Array(32).fill(0x1d);
const OUTER: HelloParts = { sessionId: SESSION_ID, extensions: [HERE, supportedVersions(0x0304)] };
const INNER: HelloParts = {
  random: new Uint8Array(32).fill(0x33),
  extensions: [INNER_MARK, supportedVersions(0x0304)],
};
const SECOND_INNER: HelloParts = {
  ...INNER,
  extensions: [...INNER.extensions!, [44, ascii("a cookie")]],
};

interface Retried {
  readonly sender: EchSender;
  readonly session: EchSession;
}

/** A first hello, accepted. */
async function afterFirst(aeadId: number = 1): Promise<Retried> {
  const sender = await EchSender.to(CONFIG, aeadId);
  const first = parseClientHello(await sender.seal(encodedInner(INNER), OUTER));
  const result = openEch(first, KEYS, { limits: DEFAULT_LIMITS, strictOuterSni: false });
  if (result.outcome !== "accepted") expect.fail(result.outcome);
  return { sender, session: result.session };
}

async function second(
  parts: { encoded?: Uint8Array; outer?: HelloParts; tweak?: Tweak } = {},
): Promise<{ outer: ClientHello; session: EchSession }> {
  const { sender, session } = await afterFirst();
  const encoded = parts.encoded ?? encodedInner(SECOND_INNER);
  const message = await sender.seal(encoded, parts.outer ?? OUTER, parts.tweak);
  return { outer: parseClientHello(message), session };
}

describe("openSecondEch", () => {
  for (const [name, aeadId] of Object.entries(AEADS)) {
    test(`ech 7: opens with the context of the first hello, ${name}`, async () => {
      const { sender, session } = await afterFirst(aeadId);
      const message = await sender.seal(encodedInner(SECOND_INNER, 9), OUTER);
      expect(openSecondEch(parseClientHello(message), session).bytes).toEqual(
        hello({ ...SECOND_INNER, sessionId: SESSION_ID }),
      );
    });
  }

  test("ech 7: follows references into the second outer hello and takes its session id", async () => {
    const ours = (value: string): Ext => [0x1234, ascii(value)];
    const { outer, session } = await second({
      encoded: encodedInner({ extensions: [...INNER.extensions!, outerExtensions(0x1234)] }),
      outer: { sessionId: bytes(1, 2, 3), extensions: [ours("second"), HERE] },
    });
    expect(openSecondEch(outer, session).bytes).toEqual(
      hello({
        sessionId: bytes(1, 2, 3),
        extensions: [...INNER.extensions!, ours("second")],
      }),
    );
  });

  test("ech 7: its result has memory of its own", async () => {
    const { outer, session } = await second();
    const inner = openSecondEch(outer, session);
    const before = inner.bytes.slice();
    outer.bytes.fill(0xff);
    expect(inner.bytes).toEqual(before);
  });

  test("ech 7: a failed try does not move the context on", async () => {
    const { sender, session } = await afterFirst();
    const good = await sender.seal(encodedInner(SECOND_INNER), OUTER);
    const bad = good.slice();
    bad[bad.length - 1]! ^= 1;
    expectTlsError(
      () => openSecondEch(parseClientHello(bad), session),
      "second ClientHello does not decrypt",
      "decrypt_error",
    );
    expect(openSecondEch(parseClientHello(good), session).bytes.length).toBeGreaterThan(0);
  });
});

describe("openSecondEch refuses", () => {
  test("ech 7: a second hello without ECH: missing_extension", async () => {
    const { session } = await afterFirst();
    const outer = parseClientHello(hello({ extensions: [supportedVersions(0x0304)] }));
    expectTlsError(
      () => openSecondEch(outer, session),
      "second ClientHello without ECH",
      "missing_extension",
    );
  });

  const rows: readonly [what: string, tweak: Tweak, reason: Reason, alert: AlertName][] = [
    ["type inner", { type: 1 }, "second ClientHello with another ECH type", "illegal_parameter"],
    [
      "an unknown type",
      { type: 2 },
      "second ClientHello with another ECH type",
      "illegal_parameter",
    ],
    [
      "another KDF",
      { kdfId: 2 },
      "second ClientHello with another ECH config",
      "illegal_parameter",
    ],
    [
      "another AEAD",
      { aeadId: 2 },
      "second ClientHello with another ECH config",
      "illegal_parameter",
    ],
    [
      "another config_id",
      { configId: 8 },
      "second ClientHello with another ECH config",
      "illegal_parameter",
    ],
    [
      "an enc of 32 bytes",
      { enc: new Uint8Array(32) },
      "second ClientHello with another ECH config",
      "illegal_parameter",
    ],
    [
      "an enc of one byte",
      { enc: bytes(0) },
      "second ClientHello with another ECH config",
      "illegal_parameter",
    ],
    [
      "a bad tag",
      { payload: (p) => concat(p.slice(0, -1), bytes(p.at(-1)! ^ 1)) },
      "second ClientHello does not decrypt",
      "decrypt_error",
    ],
    [
      "a payload shorter than a tag",
      { payload: (p) => p.slice(0, 15) },
      "second ClientHello does not decrypt",
      "decrypt_error",
    ],
    [
      "another AAD",
      { aad: (aad) => aad.slice(1) },
      "second ClientHello does not decrypt",
      "decrypt_error",
    ],
    [
      "another suite and a bad tag: the suite is seen first",
      { aeadId: 2, payload: () => bytes(0) },
      "second ClientHello with another ECH config",
      "illegal_parameter",
    ],
    ["no payload", { payload: () => bytes() }, "vector too short", "decode_error"],
    [
      "another suite and no payload: the syntax is seen first",
      { aeadId: 2, payload: () => bytes() },
      "vector too short",
      "decode_error",
    ],
  ];
  for (const [what, tweak, reason, alert] of rows) {
    test(`ech 7: ${what}: ${alert}`, async () => {
      const { outer, session } = await second({ tweak });
      expectTlsError(() => openSecondEch(outer, session), reason, alert);
    });
  }

  test("ech 7: type inner of one byte: illegal_parameter", async () => {
    const { session } = await afterFirst();
    const outer = parseClientHello(hello(withEch(OUTER, bytes(1))));
    expectTlsError(
      () => openSecondEch(outer, session),
      "second ClientHello with another ECH type",
      "illegal_parameter",
    );
  });

  test("ech 7: every prefix of the structure, and a byte more: decode_error", async () => {
    const { session } = await afterFirst();
    const body = echOuter({ configId: 7, enc: bytes(), payload: new Uint8Array(30) });
    const opened = (body: Uint8Array): unknown =>
      openSecondEch(parseClientHello(hello(withEch(OUTER, body))), session);
    for (let length = 0; length < body.length; length++) {
      expectTlsError(() => opened(body.slice(0, length)), "message too short", "decode_error");
    }
    expectTlsError(() => opened(concat(body, bytes(0))), "trailing bytes", "decode_error");
  });

  test("ech 7: a repetition of the first hello's offer: illegal_parameter", async () => {
    const sender = await EchSender.to(CONFIG);
    const first = parseClientHello(await sender.seal(encodedInner(INNER), OUTER));
    const result = openEch(first, KEYS, { limits: DEFAULT_LIMITS, strictOuterSni: false });
    if (result.outcome !== "accepted") expect.fail(result.outcome);
    expectTlsError(
      () => openSecondEch(first, result.session),
      "second ClientHello with another ECH config",
      "illegal_parameter",
    );
  });

  test("ech 7: an offer sealed anew instead of with the first context: decrypt_error", async () => {
    const { session } = await afterFirst();
    const sender = await EchSender.to(CONFIG);
    const message = await sender.seal(encodedInner(SECOND_INNER), OUTER, { enc: bytes() });
    expectTlsError(
      () => openSecondEch(parseClientHello(message), session),
      "second ClientHello does not decrypt",
      "decrypt_error",
    );
  });

  const inners: readonly [what: string, encoded: Uint8Array, reason: Reason, alert: AlertName][] = [
    [
      "an inner hello without its mark",
      encodedInner({ extensions: [supportedVersions(0x0304)] }),
      "inner hello without its ECH mark",
      "illegal_parameter",
    ],
    [
      "an offer of TLS 1.2",
      encodedInner({ extensions: [INNER_MARK, supportedVersions(0x0304, 0x0303)] }),
      "inner hello offers TLS 1.2",
      "illegal_parameter",
    ],
    [
      "no supported_versions",
      encodedInner({ extensions: [INNER_MARK] }),
      "inner hello offers TLS 1.2",
      "illegal_parameter",
    ],
    [
      "padding that is not zero",
      concat(encodedInner(SECOND_INNER), bytes(1)),
      "inner hello not zero-padded",
      "illegal_parameter",
    ],
    [
      "a session id",
      encodedInner(SECOND_INNER).fill(1, 34, 35),
      "inner hello with a session id",
      "decode_error",
    ],
    [
      "a reference that leads nowhere",
      encodedInner({ extensions: [INNER_MARK, outerExtensions(0x7777)] }),
      "bad ech_outer_extensions",
      "illegal_parameter",
    ],
    [
      "a reference to ECH",
      encodedInner({ extensions: [INNER_MARK, outerExtensions(ECH)] }),
      "bad ech_outer_extensions",
      "illegal_parameter",
    ],
    [
      "an extension twice",
      encodedInner({ extensions: [...INNER.extensions!, supportedVersions(0x0304)] }),
      "duplicate extension",
      "decode_error",
    ],
  ];
  for (const [what, encoded, reason, alert] of inners) {
    test(`ech 7: ${what}, in the second inner hello: ${alert}`, async () => {
      const { outer, session } = await second({ encoded });
      expectTlsError(() => openSecondEch(outer, session), reason, alert);
    });
  }
});
