import { expect, test } from "vitest";

import type { PrivateKeyBlock, SigningKey } from "../../src/crypto/crypto.ts";
import { SigningKeys } from "../../src/snapshot/signing-keys.ts";

const SCHEME = "ecdsa_secp256r1_sha256";
const CONTENT = Uint8Array.of(1, 2, 3);

/** A key that signs with its name. */
function keyOf(name: string): SigningKey {
  return { sign: () => new TextEncoder().encode(name) } as unknown as SigningKey;
}

function text(signature: Uint8Array): string {
  return new TextDecoder().decode(signature);
}

test("Keys are read when they are needed, and those not used lately are let go", () => {
  const read: string[] = [];
  const keys = new SigningKeys({
    signingKey: (pem) => (read.push(pem as string), keyOf(pem as string)),
  }, 2);
  const [a, b, c] = [{}, {}, {}];
  const sign = (owner: object, pem: string) => text(keys.sign(owner, pem, SCHEME, CONTENT));
  expect(sign(a, "a")).toBe("a");
  expect(sign(a, "a")).toBe("a");
  expect(sign(b, "b")).toBe("b");
  sign(a, "a");
  expect(read).toEqual(["a", "b"]);
  sign(c, "c"); // b goes
  sign(a, "a");
  expect(read).toEqual(["a", "b", "c"]);
  sign(b, "b"); // c goes
  expect(read).toEqual(["a", "b", "c", "b"]);
  expect(keys.size).toBe(2);
});

test("A key that is ready is not read", () => {
  const keys = new SigningKeys({
    signingKey: () => expect.unreachable(),
    signOnce: () => expect.unreachable(),
  });
  const owner = {};
  keys.put(owner, keyOf("ready"));
  expect(text(keys.sign(owner, p256Block(1), SCHEME, CONTENT))).toBe("ready");
});

test("A P-256 key is made ready when it signs for the second time, where once is cheaper without", () => {
  const read: PrivateKeyBlock[] = [];
  const once: number[] = [];
  const keys = new SigningKeys({
    signingKey: (block) => (read.push(block as PrivateKeyBlock), keyOf("ready")),
    signOnce: ({ scalar }, content) => {
      expect(content).toBe(CONTENT);
      once.push(scalar[31]!);
      return new TextEncoder().encode("once");
    },
  }, 2);
  const sign = (owner: number, scheme: typeof SCHEME | "ed25519" = SCHEME) =>
    text(keys.sign(owner, p256Block(owner), scheme, CONTENT));
  expect([sign(1), sign(1), sign(1)]).toEqual(["once", "ready", "ready"]);
  expect(read).toHaveLength(1);
  // Forgotten, it may do so again.
  expect([sign(2), sign(3), sign(4), sign(1)]).toEqual(["once", "once", "once", "once"]);
  expect(once).toEqual([1, 2, 3, 4, 1]);
  // Another scheme is for the key itself to refuse.
  expect(sign(5, "ed25519")).toBe("ready");
  // Nor is it for keys of which the numbers are not known.
  const other = { label: "PRIVATE KEY", der: new Uint8Array(48) };
  expect(text(keys.sign(6, other, SCHEME, CONTENT))).toBe("ready");
  expect(text(keys.sign(7, "PEM", SCHEME, CONTENT))).toBe("ready");
  expect(once).toHaveLength(5);
});

function p256Block(scalar: number): PrivateKeyBlock {
  const numbers = { scalar: new Uint8Array(32).fill(scalar, 31), point: new Uint8Array(65) };
  return { label: "PRIVATE KEY", der: new Uint8Array(0), p256: numbers };
}
