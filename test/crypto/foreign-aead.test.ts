/** Ciphers of shared libraries are called without anybody checking bounds: here is what has to be seen to before the call. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { chooseCrypto } from "../../src/crypto/choose.ts";
import type { AeadName } from "../../src/crypto/crypto.ts";
import { checkKey, checkNonce, checkRoom } from "../../src/crypto/foreign-aead.ts";
import { loadIpsecMb } from "../../src/crypto/ipsec-mb.ts";
import { loadOpenssl } from "../../src/crypto/openssl.ts";
import type { Primitives } from "../../src/crypto/primitives.ts";

const NAMES = ["aes-128-gcm", "aes-256-gcm", "chacha20-poly1305"] as const;

/** What this machine has of them: openssl.test.ts and ipsec-mb.test.ts say what it must have. */
const LIBRARIES: readonly {
  readonly name: string;
  readonly primitives: Partial<Pick<Primitives, "aes-gcm" | "chacha20-poly1305">>;
}[] = [loadOpenssl(), loadIpsecMb()].filter((one) => one !== undefined);

function primitiveOf(name: AeadName): "aes-gcm" | "chacha20-poly1305" {
  return name === "chacha20-poly1305" ? name : "aes-gcm";
}

test("room is looked for before and behind what is sealed", () => {
  const out = new Uint8Array(48);
  expect(checkRoom(out, 0, 32)).toBeUndefined();
  expect(checkRoom(out, 32, 32)).toBeUndefined();
  expect(() => checkRoom(out, -1, 16)).toThrow(RangeError);
  expect(() => checkRoom(out, 0, 33)).toThrow(RangeError);
});

test("keys and nonces have the length that their cipher reads", () => {
  expect(checkKey("aes-128-gcm", new Uint8Array(16))).toBeUndefined();
  expect(() => checkKey("aes-256-gcm", new Uint8Array(16))).toThrow(RangeError);
  expect(checkNonce(new Uint8Array(12))).toBeUndefined();
  expect(() => checkNonce(new Uint8Array(11))).toThrow(RangeError);
});

describe.each(LIBRARIES)("$name", ({ primitives }) => {
  const AEADS = NAMES.filter((name) => primitiveOf(name) in primitives);
  const makeAead = (name: AeadName, key: Uint8Array) => primitives[primitiveOf(name)]!(key);
  const keyOf = (name: AeadName) => new Uint8Array(name === "aes-128-gcm" ? 16 : 32).fill(7);
  const nonce = new Uint8Array(12).fill(1);

  test.each(AEADS)("%s: a key or nonce of another length is never read beyond its end", (name) => {
    for (const length of [0, 15, 17, 31, 33]) {
      expect(() => makeAead(name, new Uint8Array(length))).toThrow(RangeError);
    }
    const aead = makeAead(name, keyOf(name));
    const sealed = new Uint8Array(32);
    for (const length of [0, 11, 13]) {
      const short = new Uint8Array(length);
      expect(() => aead.seal(short, short, new Uint8Array(16), sealed, 0)).toThrow(RangeError);
      expect(() => aead.open(short, short, sealed)).toThrow(RangeError);
    }
  });

  test.each(AEADS)("%s: nothing is written where there is no room for all of it", (name) => {
    const aead = makeAead(name, keyOf(name));
    const memory = new Uint8Array(128).fill(0xaa);
    const out = memory.subarray(32, 64);
    const text = new Uint8Array(17);
    expect(() => aead.seal(nonce, nonce, text, out, 0)).toThrow(RangeError);
    expect(() => aead.seal(nonce, nonce, text.subarray(1), out, 1)).toThrow(RangeError);
    expect(() => aead.seal(nonce, nonce, text.subarray(1), out, -1)).toThrow(RangeError);
    expect(() => aead.sealJoined!(nonce, nonce, text.subarray(1), text.subarray(16), out, 0))
      .toThrow(RangeError);
    expect(memory.every((byte) => byte === 0xaa)).toBe(true);
    expect(aead.seal(nonce, nonce, text.subarray(1), out, 0)).toBe(32);
    expect(memory.subarray(0, 32).every((byte) => byte === 0xaa)).toBe(true);
    expect(memory.subarray(64).every((byte) => byte === 0xaa)).toBe(true);
  });

  test.each(AEADS)("%s: texts longer than any record are opened too", (name) => {
    const aead = makeAead(name, keyOf(name));
    for (const length of [0, 1, 16_640, 16_641, 100_000]) {
      const text = new Uint8Array(length).map((_, i) => i);
      const sealed = new Uint8Array(length + 16);
      aead.seal(nonce, nonce, text, sealed, 0);
      expect(aead.open(nonce, nonce, sealed)).toEqual(text);
      sealed[length + 15]! ^= 1;
      expect(aead.open(nonce, nonce, sealed)).toBeUndefined();
    }
  });

  test("keys, ciphers and directions in any order do not get into one another's way", () => {
    const oracle = chooseCrypto({ force: "noble" });
    const steps = fc.array(
      fc.tuple(
        fc.constantFrom(...AEADS),
        fc.nat(3),
        fc.constantFrom("seal", "join", "open", "forge"),
        fc.uint8Array({ minLength: 12, maxLength: 12 }),
        fc.uint8Array({ maxLength: 40 }),
        fc.uint8Array({ maxLength: 300 }),
      ),
      { maxLength: 40 },
    );
    const keys = AEADS.flatMap((name) =>
      [0, 1, 2, 3].map((i) => {
        const key = keyOf(name).fill(i, 3, 9);
        return { name, i, ours: makeAead(name, key), theirs: oracle.aead(name, key) };
      })
    );
    fc.assert(
      fc.property(steps, (steps) => {
        for (const [name, i, what, nonce, aad, text] of steps) {
          const { ours, theirs } = keys.find((key) => key.name === name && key.i === i)!;
          const expected = new Uint8Array(text.length + 16);
          theirs.seal(nonce, aad, text, expected, 0);
          const sealed = new Uint8Array(text.length + 16);
          if (what === "seal") ours.seal(nonce, aad, text, sealed, 0);
          else if (what === "join") {
            const half = text.length >> 1;
            ours.sealJoined!(nonce, aad, text.subarray(0, half), text.subarray(half), sealed, 0);
          } else if (what === "open") {
            expect(ours.open(nonce, aad, expected)).toEqual(text);
            continue;
          } else {
            expected[text.length]! ^= 0x80;
            expect(ours.open(nonce, aad, expected)).toBeUndefined();
            continue;
          }
          expect(sealed).toEqual(expected);
        }
      }),
      { numRuns: 60 },
    );
  });
});
