import { Buffer } from "node:buffer";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DerReader, Tag } from "../../src/x509/der.ts";
import { X509Error } from "../../src/x509/error.ts";

const reader = (hex: string): DerReader => new DerReader(Uint8Array.from(Buffer.from(hex, "hex")));

/** A text as the content of an element. */
const ascii = (tag: number, text: string): DerReader =>
  new DerReader(Uint8Array.of(tag, text.length, ...Buffer.from(text)));

describe("DerReader reads", () => {
  test("elements in short and long form", () => {
    expect(reader("0400").enter(Tag.OCTET_STRING, "x").done).toBe(true);
    const long = new DerReader(Uint8Array.of(4, 0x81, 0x80, ...new Uint8Array(128).fill(7), 9));
    expect(long.enter(Tag.OCTET_STRING, "x").rest()).toEqual(new Uint8Array(128).fill(7));
    expect([...long.rest()]).toEqual([9]);
    const longer = new DerReader(Uint8Array.of(4, 0x82, 1, 0, ...new Uint8Array(256)));
    expect(longer.element("x").length).toBe(260);
  });

  test("optional elements, or leaves them", () => {
    const r = reader("020105");
    expect(r.enterOptional(Tag.BOOLEAN, "x")).toBeUndefined();
    expect(r.nextTag).toBe(Tag.INTEGER);
    expect(r.count("x")).toBe(5);
    expect(r.nextTag).toBeUndefined();
    expect(r.enterOptional(Tag.INTEGER, "x")).toBeUndefined();
  });

  test.each([
    ["06032a0304", "1.2.3.4"],
    ["0603551d11", "2.5.29.17"],
    ["06092a864886f70d01010b", "1.2.840.113549.1.1.11"],
    ["0602883c", "2.1004"],
    ["060127", "0.39"],
    ["060128", "1.0"],
    ["060150", "2.0"],
    ["060a6983ffffffffffffff7f", "0x6983ffffffffffffff7f"],
  ])("object identifier %s", (hex, text) => {
    expect(reader(hex).oid("x")).toBe(text);
  });

  test("integers, counts and booleans", () => {
    expect([...reader("02020080").integer("x")]).toEqual([0, 0x80]);
    expect(reader("02020080").count("x")).toBe(128);
    expect(reader("02047fffffff").count("x")).toBe(0x7fffffff);
    expect([reader("0101ff").boolean("x"), reader("010100").boolean("x")]).toEqual([true, false]);
  });

  test("named bits, the first one highest", () => {
    expect(reader("03020780").namedBits("x")).toBe(1);
    expect(reader("030201a6").namedBits("x")).toBe(0b1100101);
    expect(reader("0303078080").namedBits("x")).toBe(0b1_0000_0001);
    expect(reader("030100").namedBits("x")).toBe(0);
  });

  test.each<[number, string, string]>([
    [Tag.UTC_TIME, "491231235959Z", "2049-12-31T23:59:59.000Z"],
    [Tag.UTC_TIME, "500101000000Z", "1950-01-01T00:00:00.000Z"],
    [Tag.GENERALIZED_TIME, "20500101000000Z", "2050-01-01T00:00:00.000Z"],
    [Tag.GENERALIZED_TIME, "99991231235959Z", "9999-12-31T23:59:59.000Z"],
    [Tag.GENERALIZED_TIME, "00010101000000Z", "0001-01-01T00:00:00.000Z"],
    [Tag.UTC_TIME, "240229120000Z", "2024-02-29T12:00:00.000Z"],
  ])("time %i %s", (tag, text, iso) => {
    expect(new Date(ascii(tag, text).time("x")).toISOString()).toBe(iso);
  });
});

describe("DerReader refuses", () => {
  test.each<[string, string, (r: DerReader) => unknown, string]>([
    ["nothing", "", (r) => r.element("x"), "x: too short"],
    ["a tag alone", "30", (r) => r.element("x"), "x: too short"],
    ["content that is cut off", "0402ff", (r) => r.element("x"), "x: too short"],
    ["indefinite lengths", "30800000", (r) => r.element("x"), "x: bad length"],
    ["lengths in more bytes than needed", "04817f", (r) => r.element("x"), "x: bad length"],
    ["lengths with a leading zero", "04820080", (r) => r.element("x"), "x: bad length"],
    ["lengths of lengths past the end", "0483ffff", (r) => r.element("x"), "x: bad length"],
    ["lengths of four bytes", "048401000000", (r) => r.element("x"), "x: bad length"],
    ["tags of several bytes", "1f8101", (r) => r.element("x"), "x: unsupported tag"],
    ["another tag", "0400", (r) => r.enter(Tag.SEQUENCE, "x"), "x: another type than expected"],
    ["a missing element", "", (r) => r.enter(Tag.SEQUENCE, "x"), "x: missing"],
    ["an empty integer", "0200", (r) => r.integer("x"), "x: bad integer"],
    ["a padded integer", "0202007f", (r) => r.integer("x"), "x: bad integer"],
    ["a padded negative integer", "0202ff80", (r) => r.integer("x"), "x: bad integer"],
    ["a negative count", "020180", (r) => r.count("x"), "x: number out of range"],
    ["a huge count", "02050080000000", (r) => r.count("x"), "x: number out of range"],
    ["a boolean of 1", "010101", (r) => r.boolean("x"), "x: bad boolean"],
    ["an empty object identifier", "0600", (r) => r.oid("x"), "x: bad object identifier"],
    ["an unfinished one", "060181", (r) => r.oid("x"), "x: bad object identifier"],
    ["a padded one", "06032a8001", (r) => r.oid("x"), "x: bad object identifier"],
    ["an empty bit string", "0300", (r) => r.namedBits("x"), "x: bad bit string"],
    ["unused bits of nothing", "030101", (r) => r.namedBits("x"), "x: bad bit string"],
    ["8 unused bits", "03020800", (r) => r.namedBits("x"), "x: bad bit string"],
    ["trailing bytes", "00", (r) => r.finish("x"), "x: trailing bytes"],
  ])("%s", (_, hex, read, message) => {
    expect(() => read(reader(hex))).toThrow(new X509Error(message));
  });

  test.each<[number, string]>([
    [Tag.UTC_TIME, "250431000000Z"],
    [Tag.UTC_TIME, "250229000000Z"],
    [Tag.UTC_TIME, "251301000000Z"],
    [Tag.UTC_TIME, "250001000000Z"],
    [Tag.UTC_TIME, "250100000000Z"],
    [Tag.UTC_TIME, "250101240000Z"],
    [Tag.UTC_TIME, "250101006000Z"],
    [Tag.UTC_TIME, "250101000060Z"],
    [Tag.UTC_TIME, "2501010000Z"],
    [Tag.UTC_TIME, "250101000000+"],
    [Tag.UTC_TIME, "25010100000 Z"],
    [Tag.GENERALIZED_TIME, "250101000000Z"],
    [Tag.GENERALIZED_TIME, "20250101000000.5Z"],
    [Tag.OCTET_STRING, "250101000000Z"],
  ])("time %i %s", (tag, text) => {
    expect(() => ascii(tag, text).time("x")).toThrow(X509Error);
  });

  test("whatever else there is, with its own error and never out of range", () => {
    const reads: ((r: DerReader) => unknown)[] = [
      (r) => r.element("x"),
      (r) => r.oid("x"),
      (r) => r.count("x"),
      (r) => r.namedBits("x"),
      (r) => r.time("x"),
      (r) => r.boolean("x"),
    ];
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), fc.constantFrom(...reads), (bytes, read) => {
        const guarded = Uint8Array.of(0xaa, ...bytes, 0x55, 0x55);
        const r = new DerReader(guarded, 1, 1 + bytes.length);
        try {
          read(r);
          expect(r.rest().byteOffset).toBeLessThanOrEqual(1 + bytes.length);
        } catch (error) {
          expect(error).toBeInstanceOf(X509Error);
        }
      }),
    );
  });
});
