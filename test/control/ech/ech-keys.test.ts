import { describe, expect, test } from "vitest";
import {
  freshConfigId,
  generateEchKey,
  maximumNameLength,
  publishedConfigList,
} from "../../../src/control/ech/ech-keys.ts";
import { chooseCrypto } from "../../../src/crypto/choose.ts";
import type { Crypto } from "../../../src/crypto/crypto.ts";
import { echKey, EchKeySet, openEch } from "../../../src/tls/ech.ts";
import { DEFAULT_LIMITS } from "../../../src/tls/limits.ts";
import { parseClientHello } from "../../../src/tls/wire/client-hello.ts";
import { decodeEchConfigList } from "../../../src/tls/wire/ech-config.ts";
import {
  AEADS,
  EchSender,
  encodedInner,
  HERE,
  INNER_MARK,
  supportedVersions,
} from "../../support/ech-sender.ts";

const crypto = chooseCrypto();
const WISH = {
  publicName: "public.example",
  maximumNameLength: 64,
  knownIds: new Set<number>(),
  nowMs: 1_700_000_000_000,
};

/** A source of randomness that gives these bytes, one by one. */
function withRandom(bytes: readonly number[]): Pick<Crypto, "random"> {
  const left = [...bytes];
  return { random: () => Uint8Array.of(left.shift()!) };
}

describe("generateEchKey", () => {
  test("ech-publication 1.1: makes an X25519 config with three suites, AES-128-GCM first", () => {
    const record = generateEchKey(crypto, WISH);
    expect(record).toMatchObject({ retry: true, createdMs: WISH.nowMs });
    const { config } = echKey(crypto, record);
    expect(config).toMatchObject({
      version: 0xfe0d,
      kemId: 0x0020,
      suites: [{ kdfId: 1, aeadId: 1 }, { kdfId: 1, aeadId: 2 }, { kdfId: 1, aeadId: 3 }],
      maximumNameLength: 64,
      publicName: "public.example",
      extensions: [],
    });
  });

  for (const [name, aeadId] of Object.entries(AEADS)) {
    test(`A client can use it with ${name}`, async () => {
      const record = generateEchKey(crypto, WISH);
      const sender = await EchSender.to(record.config, aeadId);
      const inner = encodedInner({ extensions: [INNER_MARK, supportedVersions(0x0304)] });
      const message = await sender.seal(inner, { extensions: [HERE] });
      const keys = new EchKeySet([echKey(crypto, record)], "active");
      const options = { limits: DEFAULT_LIMITS, strictOuterSni: false };
      expect(openEch(parseClientHello(message), keys, options).outcome).toBe("accepted");
    });
  }

  test("Two keys are two keys", () => {
    const [a, b] = [generateEchKey(crypto, WISH), generateEchKey(crypto, WISH)];
    expect(a.privateKey).not.toEqual(b.privateKey);
  });

  test("ech-publication 1.4: the public name is lower-cased", () => {
    const record = generateEchKey(crypto, { ...WISH, publicName: "Public.EXAMPLE" });
    expect(echKey(crypto, record).config.publicName).toBe("public.example");
  });

  const longest = `${"a".repeat(63)}.${"b".repeat(63)}.${"c".repeat(63)}.${"d".repeat(61)}`;
  for (
    const publicName of ["a", "localhost", "xn--bcher-kva.example", "1.2.3.4.example", longest]
  ) {
    test(`ech 11: ${publicName.slice(0, 30)} may be a public name`, () => {
      expect(echKey(crypto, generateEchKey(crypto, { ...WISH, publicName })).config.publicName)
        .toBe(publicName);
    });
  }

  const refused = [
    "",
    ".",
    ".public.example",
    "public.example.",
    "public..example",
    "-a.example",
    "a-.example",
    "a_b.example",
    "bücher.example",
    "a b.example",
    "*.example",
    "192.0.2.1",
    "[2001:db8::1]",
    "2001:db8::1",
    "example.1",
    "example.0x",
    "example.0X1f",
    "0x7f000001",
    `${"a".repeat(64)}.example`,
    `${longest}e`,
  ];
  for (const publicName of refused) {
    test(`ech 11: ${JSON.stringify(publicName.slice(0, 30))} may not be a public name`, () => {
      expect(() => generateEchKey(crypto, { ...WISH, publicName })).toThrow(RangeError);
    });
  }

  test("maximum_name_length is a byte", () => {
    for (const maximumNameLength of [-1, 256, 1.5, NaN]) {
      expect(() => generateEchKey(crypto, { ...WISH, maximumNameLength })).toThrow(RangeError);
    }
    for (const maximumNameLength of [0, 255]) {
      const record = generateEchKey(crypto, { ...WISH, maximumNameLength });
      expect(echKey(crypto, record).config.maximumNameLength).toBe(maximumNameLength);
    }
  });
});

describe("freshConfigId", () => {
  test("ech 11: draws again while the byte is known", () => {
    expect(freshConfigId(withRandom([5, 6, 5, 9]), new Set([5, 6]))).toBe(9);
    expect(freshConfigId(withRandom([0]), new Set())).toBe(0);
  });

  test("ech 11: finds the last one that is free, and refuses when none is", () => {
    const all = new Set(Array.from({ length: 256 }, (_, i) => i));
    expect(() => freshConfigId(crypto, all)).toThrow(RangeError);
    all.delete(200);
    all.add(1000); // nothing that a config_id could be
    expect(freshConfigId(crypto, all)).toBe(200);
  });
});

test("ech-publication 1.3: maximum_name_length is the longest name, rounded up", () => {
  expect(maximumNameLength(["a.example", "longer.example"], false)).toBe(16);
  expect(maximumNameLength(["a".repeat(16)], false)).toBe(16);
  expect(maximumNameLength(["a".repeat(17)], false)).toBe(32);
  expect(maximumNameLength(["a".repeat(253)], false)).toBe(255);
  expect(maximumNameLength(["a.example"], true)).toBe(64);
  expect(maximumNameLength(["a".repeat(70)], true)).toBe(80);
  expect(maximumNameLength([], false)).toBe(0);
});

test("publishedConfigList is the base64 of the retry configs, undefined while withdrawing", () => {
  const current = generateEchKey(crypto, WISH);
  const old = { ...generateEchKey(crypto, WISH), retry: false };
  const keys = [current, old].map((record) => echKey(crypto, record));
  const list = publishedConfigList(new EchKeySet(keys, "active"))!;
  const configs = decodeEchConfigList(Uint8Array.from(atob(list), (char) => char.charCodeAt(0)));
  expect(configs.map(({ raw }) => raw)).toEqual([current.config]);
  expect(publishedConfigList(new EchKeySet(keys, "withdrawing"))).toBeUndefined();
});
