import { generateKeyPairSync } from "node:crypto";
import { beforeAll, expect, test } from "vitest";

import type { PrivateKeyBlock } from "../../src/crypto/crypto.ts";
import { P256Key, splitP256Key } from "../../src/snapshot/p256-key.ts";
import { keyDerOf } from "../../src/snapshot/site-bytes.ts";
import { type Made, make } from "../x509/make.ts";

let leaf: Made, other: Made;
let key: PrivateKeyBlock;
beforeAll(async () => {
  [leaf, other] = await Promise.all([make({ subject: "CN=a" }), make({ subject: "CN=b" })]);
  key = keyDerOf({ key: leaf.keyPem });
});

test("A P-256 key is the same again from its number and its certificate", () => {
  const parts = splitP256Key(key, leaf.certificate.der)!;
  expect(parts.scalar.length).toBe(32);
  const again = new P256Key(parts, leaf.certificate.der);
  expect(again.label).toBe(key.label);
  expect(Buffer.from(again.der)).toEqual(Buffer.from(key.der));
});

test("A key is kept whole where anything about it is otherwise", () => {
  const der = leaf.certificate.der;
  expect(splitP256Key(key, other.certificate.der), "another's certificate").toBeUndefined();
  expect(splitP256Key({ ...key, label: "EC PRIVATE KEY" }, der)).toBeUndefined();
  expect(splitP256Key({ ...key, der: key.der.subarray(1) }, der)).toBeUndefined();
  const isScalar = (at: number) => at >= 36 && at < 68;
  for (let at = 0; at < key.der.length; at++) {
    const changed = key.der.slice();
    changed[at]! ^= 1;
    const parts = splitP256Key({ ...key, der: changed }, der);
    expect(parts !== undefined, `byte ${at}`).toBe(isScalar(at));
  }
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-384" });
  const p384 = privateKey.export({ format: "pem", type: "pkcs8" }) as string;
  expect(splitP256Key(keyDerOf({ key: p384 }), der)).toBeUndefined();
});

test("Parts that reach over the end of the certificate are no key", () => {
  const der = leaf.certificate.der;
  const { scalar, pointAt } = splitP256Key(key, der)!;
  expect(() => new P256Key({ scalar, pointAt: der.length - 64 }, der)).toThrow(RangeError);
  expect(() => new P256Key({ scalar: scalar.subarray(1), pointAt }, der)).toThrow(RangeError);
});
