import fc from "fast-check";
import { expect, test } from "vitest";

import { smallArray, smallCopy } from "../../src/crypto/small-array.ts";

test("small arrays are of zeros, and none is a part of another", () => {
  fc.assert(fc.property(fc.array(fc.nat(200), { maxLength: 200 }), (lengths) => {
    const arrays = lengths.map((length, i) => {
      const array = smallArray(length);
      expect(array).toEqual(new Uint8Array(length));
      return array.fill(i);
    });
    arrays.forEach((array, i) => expect(array).toEqual(new Uint8Array(lengths[i]!).fill(i)));
  }));
});

test("a small copy is one", () => {
  const bytes = Uint8Array.of(1, 2, 3, 4);
  const copy = smallCopy(bytes, 1, 3);
  bytes.fill(9);
  expect(copy).toEqual(Uint8Array.of(2, 3));
});
