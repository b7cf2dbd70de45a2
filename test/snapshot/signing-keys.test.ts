import { expect, test } from "vitest";

import type { SigningKey } from "../../src/crypto/crypto.ts";
import { SigningKeys } from "../../src/snapshot/signing-keys.ts";

test("Keys are read when they are needed, and those not used lately are let go", () => {
  const read: string[] = [];
  const keys = new SigningKeys({
    signingKey: (pem) => (read.push(pem as string), { pem } as unknown as SigningKey),
  }, 2);
  const [a, b, c] = [{}, {}, {}];
  const get = (owner: object, pem: string) => keys.get(owner, pem);
  expect(get(a, "a")).toBe(get(a, "a"));
  get(b, "b");
  get(a, "a");
  expect(read).toEqual(["a", "b"]);
  get(c, "c"); // b goes
  get(a, "a");
  expect(read).toEqual(["a", "b", "c"]);
  get(b, "b"); // c goes
  expect(read).toEqual(["a", "b", "c", "b"]);
  expect(keys.size).toBe(2);
});

test("A key that is ready is not read", () => {
  const keys = new SigningKeys({ signingKey: () => expect.unreachable() });
  const [owner, key] = [{}, {} as SigningKey];
  keys.put(owner, key);
  expect(keys.get(owner, "")).toBe(key);
});
