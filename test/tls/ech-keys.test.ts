import { describe, expect, test } from "vitest";
import { chooseCrypto } from "../../src/crypto/choose.ts";
import { type EchKey, echKey, EchKeySet } from "../../src/tls/ech.ts";
import {
  ascii,
  bytes,
  concat,
  echConfig,
  type Ext,
  privateKey,
  publicKeyOf,
  u16,
} from "../support/ech-sender.ts";

const crypto = chooseCrypto();

type ConfigParts = Partial<Parameters<typeof echConfig>[0]>;

function config(parts: ConfigParts = {}): Uint8Array {
  return echConfig({ configId: 7, publicKey: publicKeyOf(privateKey(0)), ...parts });
}

function load(bytes: Uint8Array, retry: boolean = true): EchKey {
  return echKey(crypto, { privateKey: privateKey(0), config: bytes, retry });
}

describe("echKey", () => {
  test("loads a config with its key, and keeps a copy", () => {
    const raw = config();
    const key = load(raw, false);
    const copy = raw.slice();
    raw.fill(0);
    expect(key).toMatchObject({ configId: 7, retry: false });
    expect(key.config.raw).toEqual(copy);
    expect(key.recipient.publicKey).toEqual(publicKeyOf(privateKey(0)));
  });

  test("loads a P-256 key", () => {
    const { privateKey, publicKey } = crypto.hpkeKeyPair(0x0010);
    const raw = config({ kemId: 0x0010, publicKey });
    expect(echKey(crypto, { privateKey, config: raw, retry: true }).config.kemId).toBe(0x0010);
  });

  const grease = [0, ...Array.from({ length: 15 }, (_, i) => 0x1a1a + i * 0x1010)];
  test("ech 1: takes all sixteen GREASE extensions of an ECHConfig", () => {
    expect(grease).toHaveLength(16);
    expect(grease.at(-1)).toBe(0xfafa);
    for (const type of grease) {
      const key = load(config({ extensions: [[type, ascii("anything")]] }));
      expect(key.config.hasUnknownMandatory).toBe(type >= 0x8000);
    }
  });

  const real: readonly number[] = [
    1,
    0x000a,
    0x0a0a,
    0x1a2a,
    0x1b1b,
    0x2a1a,
    0x8001,
    0xfafb,
    0xfe0d,
  ];
  for (const type of real) {
    test(`ech 1: refuses extension ${type} of an ECHConfig, which it does not implement`, () => {
      const extensions: readonly Ext[] = [[0x1a1a, bytes()], [type, bytes()]];
      expect(() => load(config({ extensions }))).toThrow(
        new RangeError(`Cannot use ECHConfig 7: its extension ${type} is unknown`),
      );
    });
  }

  const rows: readonly (readonly [what: string, config: Uint8Array, message: string])[] = [
    ["another key's config", config({ publicKey: publicKeyOf(privateKey(1)) }), "another key"],
    ["an unknown version", config({ version: 0xfe0a }), "version is unknown"],
    ["an unknown KEM", config({ kemId: 0x0012 }), "KEM"],
    ["a suite of another KDF", config({ suites: [[1, 1], [2, 1]] }), "suite 2/1 is unknown"],
    ["a suite of an unknown AEAD", config({ suites: [[1, 0xffff]] }), "suite 1/65535 is unknown"],
    ["a public name with an empty label", config({ publicName: "public..example" }), "public_name"],
    ["an IP address as public name", config({ publicName: "127.0.0.1" }), "public_name"],
    ["a config cut short", config().slice(0, -1), "cannot be parsed"],
    ["a byte behind the config", concat(config(), bytes(0)), "cannot be parsed"],
    ["two configs", concat(config(), config()), "cannot be parsed"],
    ["a list of configs", concat(u16(config().length), config()), "cannot be parsed"],
    ["nothing", bytes(), "cannot be parsed"],
  ];
  for (const [what, raw, message] of rows) {
    test(`refuses ${what}`, () => {
      expect(() => load(raw)).toThrow(RangeError);
      expect(() => load(raw)).toThrow(message);
    });
  }

  test("refuses a private key of another length", () => {
    const parts = { privateKey: new Uint8Array(31).fill(1), config: config(), retry: true };
    expect(() => echKey(crypto, parts)).toThrow(RangeError);
  });
});

describe("EchKeySet", () => {
  const first = load(config({ configId: 1, publicName: "One.example" }));
  const second = load(config({ configId: 2, publicName: "two.example" }));
  const old = load(config({ configId: 3, publicName: "old.example" }), false);
  const again = load(config({ configId: 1, publicName: "again.example" }), false);

  test("ech 6: hands out the retry keys alone, in their order", () => {
    const list = concat(second.config.raw, first.config.raw);
    expect(new EchKeySet([second, old, first], "active").retryConfigs).toEqual(
      concat(u16(list.length), list),
    );
  });

  test("ech 6: hands out nothing while withdrawing, whatever the flags say", () => {
    const keys = new EchKeySet([first, old], "withdrawing");
    expect(keys.state).toBe("withdrawing");
    expect(keys.retryConfigs).toBeUndefined();
    expect(keys.candidates(1)).toEqual([first]);
    expect(new EchKeySet([old], "withdrawing").retryConfigs).toBeUndefined();
  });

  test("ech 6: an active set needs a retry key", () => {
    expect(() => new EchKeySet([], "active")).toThrow(RangeError);
    expect(() => new EchKeySet([old], "active")).toThrow(RangeError);
  });

  test("ech 12: a retry key that every client must skip does not count as one", () => {
    const grease = load(config({ configId: 9, extensions: [[0x8a8a, bytes()]] }));
    expect(() => new EchKeySet([grease], "active")).toThrow(RangeError);
    const list = concat(first.config.raw, grease.config.raw);
    expect(new EchKeySet([first, grease], "active").retryConfigs).toEqual(
      concat(u16(list.length), list),
    );
  });

  test("ech 3: candidates are all keys of a config_id, in the set's order", () => {
    const keys = new EchKeySet([old, again, second, first], "active");
    expect(keys.candidates(1)).toEqual([again, first]);
    expect(keys.candidates(2)).toEqual([second]);
    expect(keys.candidates(0)).toEqual([]);
  });

  test("ech 3: knows the public names of all its keys, in any case", () => {
    const keys = new EchKeySet([first, old], "active");
    for (const name of ["one.example", "ONE.EXAMPLE", "Old.Example"]) {
      expect(keys.isPublicName(ascii(name))).toBe(true);
    }
    for (const name of ["", "one.exampl", "one.example.", "two.example", "one@example"]) {
      expect(keys.isPublicName(ascii(name))).toBe(false);
    }
  });
});
