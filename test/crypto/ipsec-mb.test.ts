/** Where libIPSec_MB is called, and where not. */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { expect, test } from "vitest";

import { chooseCrypto } from "../../src/crypto/choose.ts";
import { roomFor } from "../../src/crypto/foreign-aead.ts";
import { checkedCipher, IpsecMbCipher } from "../../src/crypto/ipsec-mb-aead.ts";
import { hasVectorAes, loadIpsecMb, openIpsecMb } from "../../src/crypto/ipsec-mb.ts";
import { sameRuntime } from "../../src/runtime/same-runtime.ts";
import { hasVectorAesHere, IPSEC_MB_FILE, isIpsecMbOfUse } from "../support/ipsec-mb.ts";

const canCall = process.versions["bun"] !== undefined || process.versions["deno"] !== undefined;
const isUsed = canCall && isIpsecMbOfUse;

test.skipIf(!isUsed)("Bun and Deno seal with it where the processor has vector AES", () => {
  const ipsecMb = loadIpsecMb();
  expect(ipsecMb?.name).toMatch(/^ipsec-mb [12]\.\d+\.\d+$/);
  expect(chooseCrypto().name).toMatch(new RegExp(` \\+ ${ipsecMb!.name}$`));
  // With it AES is the cheapest everywhere.
  expect(chooseCrypto({ runtime: "deno", openssl: null }).aeads[0]).toBe("aes-128-gcm");
  expect(openIpsecMb(IPSEC_MB_FILE)!.name).toBe(ipsecMb!.name);
});

test.skipIf(canCall && hasVectorAesHere)("elsewhere it is not called", () => {
  expect(loadIpsecMb()).toBeUndefined();
  expect(chooseCrypto().name).not.toContain("ipsec-mb");
});

test("it wants each of ten features, and that they may be used", () => {
  const all = [0, 0xd0230100 | 1 << 30, 0x700, 0];
  const leaf = (active: number[]) => Uint32Array.of(~0, ~0, ~0, ~0, ...active);
  expect(hasVectorAes(leaf(all))).toBe(true);
  const needed = [1, 2].flatMap((word) =>
    Array.from({ length: 32 }, (_, bit) => [word, bit] as const).filter(([word, bit]) => {
      const without = all.with(word, all[word]! & ~(1 << bit));
      return !hasVectorAes(leaf(without));
    })
  );
  expect(needed.length).toBe(10);
});

test("a file that is none is refused by name", () => {
  expect(() => openIpsecMb("/nowhere/libIPSec_MB.so.1")).toThrow(
    /^Cannot call \/nowhere\/libIPSec_MB\.so\.1 of libIPSec_MB: .*\. Name another file/,
  );
  expect(() => openIpsecMb(import.meta.filename)).toThrow(RangeError);
});

test.skipIf(!isUsed).each([
  ["", true],
  ["off", false],
  ["native", false],
  ["openssl", false],
])("crypto chosen by %j: the library is in the process: %s", (how, isLoaded) => {
  const program = join(import.meta.dirname, "../support/maps-library.ts");
  const { command, args } = sameRuntime(program, ["/libIPSec_MB.so", how]);
  expect(execFileSync(command, args, { encoding: "utf8" }).trim()).toBe(String(isLoaded));
});

/** A library that does nothing. */
const LAZY = {
  pre() {},
  seal() {},
  open() {},
  init() {},
  sealPart() {},
  sealEnd() {},
  addressOf: () => 16,
};
const nonce = new Uint8Array(12);

test("a library that computes something else is not used", () => {
  expect(() => checkedCipher("aes-128-gcm", LAZY)).toThrow(
    "libIPSec_MB computes another aes-128-gcm",
  );
});

test("what no library has said yes to is not opened, and nothing of it stays", () => {
  const aead = new IpsecMbCipher("aes-128-gcm", {
    ...LAZY,
    open: (_key, _context, out) => void out.fill(7),
  }).aead(new Uint8Array(16));
  for (const byte of [0, 0xff]) {
    expect(aead.open(nonce, nonce, new Uint8Array(48).fill(byte))).toBeUndefined();
  }
  expect(roomFor(32)).toEqual(new Uint8Array(32));
});

test("a key is expanded anew only after another one", () => {
  const expanded: number[] = [];
  const pre = ([first]: Uint8Array, { byteOffset, length }: Uint8Array) => {
    expect([byteOffset, length >= 1280]).toEqual([48, true]); // as the library wants its place
    expanded.push(first!);
  };
  const cipher = new IpsecMbCipher("aes-128-gcm", { ...LAZY, pre });
  const [a, b] = [1, 2].map((first) => cipher.aead(new Uint8Array(16).fill(first)));
  const sealed = new Uint8Array(32);
  for (const aead of [a!, a!, b!, a!]) aead.seal(nonce, nonce, nonce, sealed, 0);
  expect(expanded).toEqual([1, 2, 1]);
  // The other direction has a place of its own.
  a!.open(nonce, nonce, sealed);
  a!.seal(nonce, nonce, nonce, sealed, 0);
  expect(expanded).toEqual([1, 2, 1, 1]);
});
