/** OpenSSL's ciphers are called without anybody checking bounds: here is what has to be seen to before the call. */
import fc from "fast-check";
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { describe, expect, test } from "vitest";

import { chooseCrypto } from "../../src/crypto/choose.ts";
import type { AeadName } from "../../src/crypto/crypto.ts";
import { LIBCRYPTO, openLibcrypto } from "../../src/crypto/libcrypto.ts";
import { opensslAeads } from "../../src/crypto/openssl-aead.ts";
import { loadOpenssl, openOpenssl } from "../../src/crypto/openssl.ts";
import { sameRuntime } from "../../src/runtime/same-runtime.ts";

const AEADS = ["aes-128-gcm", "aes-256-gcm", "chacha20-poly1305"] as const;
const canCall = process.platform === "linux" &&
  (process.versions["bun"] !== undefined || process.versions["deno"] !== undefined);
/** Where distributions keep it. In CI a missing one is a failure. */
const isInstalled = process.env["CI"] !== undefined ||
  ["/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu", "/lib64", "/usr/lib64", "/usr/lib", "/lib"]
    .some((folder) => existsSync(`${folder}/${LIBCRYPTO}`));

test.skipIf(!canCall || !isInstalled)("on Linux, Bun and Deno call the system's OpenSSL", () => {
  const openssl = loadOpenssl();
  expect(openssl?.name).toMatch(/^openssl 3\.\d+\.\d+$/);
  expect(chooseCrypto().name).toMatch(new RegExp(` \\+ ${openssl!.name}$`));
  expect(chooseCrypto({ force: "openssl" }).name).toMatch(
    new RegExp(`^${openssl!.name} \\+ native`),
  );
  // With it AES is the cheapest everywhere.
  expect(chooseCrypto({ runtime: "deno" }).aeads[0]).toBe("aes-128-gcm");
  expect(chooseCrypto({ runtime: "deno", openssl: null }).aeads[0]).toBe("chacha20-poly1305");
});

test.skipIf(canCall)("elsewhere it is not called, and asking for it says why", () => {
  expect(loadOpenssl()).toBeUndefined();
  expect(() => chooseCrypto({ force: "openssl" })).toThrow(
    `Cannot call ${LIBCRYPTO} of OpenSSL 3: Only Bun and Deno can call it. Name another file`,
  );
});

test("a file that is no libcrypto is refused by name", () => {
  expect(() => openOpenssl("/nowhere/libcrypto.so.3")).toThrow(
    /^Cannot call \/nowhere\/libcrypto\.so\.3 of OpenSSL 3: ./,
  );
  expect(() => openOpenssl(import.meta.filename)).toThrow(RangeError);
});

test("forced, and turned off: a contradiction", () => {
  expect(() => chooseCrypto({ force: "openssl", openssl: null })).toThrow(RangeError);
});

test.skipIf(!canCall || !isInstalled).each([
  ["", true],
  ["off", false],
  ["native", false],
  ["wasm", false],
  ["noble", false],
])("crypto chosen by %j: the library is in the process: %s", (how, isLoaded) => {
  const program = join(import.meta.dirname, "../support/maps-libcrypto.ts");
  const { command, args } = sameRuntime(program, [how]);
  expect(execFileSync(command, args, { encoding: "utf8" }).trim()).toBe(String(isLoaded));
});

const loaded = loadOpenssl();
describe.skipIf(loaded === undefined)("its ciphers", () => {
  const makeAead = (name: AeadName, key: Uint8Array) =>
    loaded!.primitives[name === "chacha20-poly1305" ? name : "aes-gcm"](key);
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

  test("a library that computes something else is not used", () => {
    const { version, functions } = openLibcrypto();
    const tagless = { ...functions, EVP_CIPHER_CTX_ctrl: () => 1 };
    expect(() => opensslAeads({ version, functions: tagless })).toThrow(/computes another aes-128/);
    const credulous = { ...functions, EVP_DecryptFinal_ex: () => 1 };
    expect(() => opensslAeads({ version, functions: credulous })).toThrow(/another aes-128/);
    const failing = { ...functions, EVP_EncryptInit_ex: () => 0 };
    expect(() => opensslAeads({ version, functions: failing })).toThrow(/OpenSSL failed/);
    const lacking = { ...functions, EVP_CIPHER_fetch: () => null };
    expect(() => opensslAeads({ version, functions: lacking })).toThrow(/OpenSSL failed/);
  });
});
