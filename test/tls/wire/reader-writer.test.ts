import { describe, expect, test } from "vitest";
import { Reader } from "../../../src/tls/wire/reader.ts";
import { Writer } from "../../../src/tls/wire/writer.ts";
import { filled, refusal } from "./hello.ts";

function sample(capacity: number): Uint8Array {
  const w = new Writer(capacity);
  w.u8(1).u16(0x0303).u24(0x010203).u32(0xfffefdfc).zeros(2);
  w.vector8(() => w.u8(7)).vector16(() => w.vector24(() => w.bytes(new Uint8Array([8, 9]))));
  return w.copy();
}

function decode(bytes: Uint8Array): unknown[] {
  const r = new Reader(bytes);
  const seen: unknown[] = [r.u8(), r.u16(), r.u24(), r.u32(), r.bytes(2), r.vector8().u8()];
  const outer = r.vector16();
  seen.push(outer.vector24().rest());
  outer.finish("outer");
  r.finish("sample");
  return seen;
}

describe("Reader", () => {
  const whole = sample(64);

  test("reads what Writer wrote", () => {
    expect(decode(whole)).toEqual([
      1,
      0x0303,
      0x010203,
      0xfffefdfc,
      new Uint8Array(2),
      7,
      new Uint8Array([8, 9]),
    ]);
  });

  test("refuses every prefix of a structure", () => {
    for (let n = 0; n < whole.length; n++) {
      expect(refusal(() => decode(whole.subarray(0, n)))).toBe("message too short -> decode_error");
    }
  });

  test("refuses one byte more", () => {
    expect(refusal(() => decode(new Uint8Array([...whole, 0]))))
      .toBe("trailing bytes -> decode_error");
  });

  test("refuses a vector below its minimum, or beyond what is there", () => {
    expect(refusal(() => new Reader(new Uint8Array([1, 1])).vector8(2)))
      .toBe("vector too short -> decode_error");
    expect(refusal(() => new Reader(new Uint8Array([0, 2, 1])).vector16()))
      .toBe("message too short -> decode_error");
  });

  test("keeps inside its range of a larger buffer", () => {
    const r = new Reader(new Uint8Array([9, 1, 2, 9]), 1, 3);
    expect([r.at, r.left, r.u16(), r.at, r.left]).toEqual([1, 2, 0x0102, 3, 0]);
    expect(refusal(() => r.u8())).toBe("message too short -> decode_error");
  });
});

describe("Writer", () => {
  test("writes the same at every capacity it has to grow from", () => {
    for (let capacity = 0; capacity < 40; capacity++) {
      expect(sample(capacity), `${capacity}`).toEqual(sample(64));
    }
  });

  test("forgets what was written and keeps the memory", () => {
    const w = new Writer(4);
    w.bytes(new Uint8Array(filled(10)));
    const memory = w.view().buffer;
    expect(w.reset().length).toBe(0);
    expect(w.u16(0x0102).zeros(3).copy()).toEqual(new Uint8Array([1, 2, 0, 0, 0]));
    expect(w.view().buffer).toBe(memory);
  });

  test("refuses a body that does not fit its prefix", () => {
    const w = new Writer();
    const mark = w.begin(1);
    expect(() => w.zeros(256).end(mark, 1)).toThrow(RangeError);
  });

  test("writes bytes behind a length of one, two or three bytes", () => {
    const value = new Uint8Array([7, 8]);
    expect(new Writer(0).opaque8(value).opaque16(value).opaque24(value).copy())
      .toEqual(new Uint8Array([2, 7, 8, 0, 2, 7, 8, 0, 0, 2, 7, 8]));
    expect(() => new Writer().opaque16(new Uint8Array(65536))).toThrow(RangeError);
  });

  test("leaves an unpatched prefix that does not parse", () => {
    const w = new Writer();
    w.begin(2);
    expect(refusal(() => new Reader(w.copy()).vector16())).toBe(
      "message too short -> decode_error",
    );
  });
});
