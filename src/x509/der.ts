/**
 * A cursor over DER (X.690): what certificates need of it, and no more.
 *
 * Every read is checked against the end of the structure it is in, so nothing reads out of range, and each byte is
 * looked at a bounded number of times. Copies nothing: views alias the input.
 *
 * @module
 */
import { X509Error } from "./error.ts";

export const Tag = {
  BOOLEAN: 0x01,
  INTEGER: 0x02,
  BIT_STRING: 0x03,
  OCTET_STRING: 0x04,
  OBJECT_IDENTIFIER: 0x06,
  UTC_TIME: 0x17,
  GENERALIZED_TIME: 0x18,
  SEQUENCE: 0x30,
  SET: 0x31,
} as const;

/** `[n]` with primitive content (IMPLICIT), as in GeneralName. */
export const implicitTag = (n: number): number => 0x80 | n;
/** `[n]` around another element (EXPLICIT), or constructed. */
export const explicitTag = (n: number): number => 0xa0 | n;

export class DerReader {
  readonly #bytes: Uint8Array;
  #at: number;
  readonly #end: number;

  constructor(bytes: Uint8Array, at: number = 0, end: number = bytes.length) {
    this.#bytes = bytes;
    this.#at = at;
    this.#end = end;
  }

  get done(): boolean {
    return this.#at === this.#end;
  }

  /** The next element's tag; undefined at the end. */
  get nextTag(): number | undefined {
    return this.done ? undefined : this.#bytes[this.#at];
  }

  /** The next element's content. @throws {X509Error} it has another tag, or is no DER */
  enter(tag: number, what: string): DerReader {
    if (this.nextTag !== tag) {
      throw new X509Error(`${what}: ${this.done ? "missing" : "another type than expected"}`);
    }
    return this.#content(what);
  }

  /** The same where the next element has this tag; else undefined, and nothing is read. */
  enterOptional(tag: number, what: string): DerReader | undefined {
    return this.nextTag === tag ? this.#content(what) : undefined;
  }

  /** The next element whole, header included, whatever it is. */
  element(what: string): Uint8Array {
    const start = this.#at;
    this.#content(what);
    return this.#bytes.subarray(start, this.#at);
  }

  /** What is left, as it is. */
  rest(): Uint8Array {
    const view = this.#bytes.subarray(this.#at, this.#end);
    this.#at = this.#end;
    return view;
  }

  finish(what: string): void {
    if (!this.done) throw new X509Error(`${what}: trailing bytes`);
  }

  /** OBJECT IDENTIFIER in dotted decimals; one with an arc past 2^53 (2.25.UUID) as "0x" and its content in hex. */
  oid(what: string): string {
    const bytes = this.enter(Tag.OBJECT_IDENTIFIER, what).rest();
    if (bytes.length === 0 || bytes.length > 64 || (bytes[bytes.length - 1]! & 0x80) !== 0) {
      throw new X509Error(`${what}: bad object identifier`);
    }
    let text = "";
    let arc = 0;
    for (const byte of bytes) {
      if (arc === 0 && byte === 0x80) throw new X509Error(`${what}: bad object identifier`);
      arc = arc * 128 + (byte & 0x7f);
      if (arc > Number.MAX_SAFE_INTEGER / 128) return `0x${hex(bytes)}`;
      if ((byte & 0x80) !== 0) continue;
      if (text === "") {
        const first = Math.min(Math.floor(arc / 40), 2);
        text = `${first}.${arc - first * 40}`;
      } else {
        text += `.${arc}`;
      }
      arc = 0;
    }
    return text;
  }

  /** INTEGER as its content bytes: big-endian two's complement, minimal. */
  integer(what: string): Uint8Array {
    const bytes = this.enter(Tag.INTEGER, what).rest();
    const [first, second] = bytes;
    const padded = second !== undefined &&
      ((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80));
    if (first === undefined || padded) throw new X509Error(`${what}: bad integer`);
    return bytes;
  }

  /** INTEGER that is a small count: 0..2^31-1. */
  count(what: string): number {
    const bytes = this.integer(what);
    if (bytes.length > 4 || bytes[0]! >= 0x80) throw new X509Error(`${what}: number out of range`);
    let value = 0;
    for (const byte of bytes) value = value * 256 + byte;
    return value;
  }

  /** BOOLEAN; DER knows no true but 0xff. */
  boolean(what: string): boolean {
    const bytes = this.enter(Tag.BOOLEAN, what).rest();
    if (bytes.length !== 1 || (bytes[0] !== 0 && bytes[0] !== 0xff)) {
      throw new X509Error(`${what}: bad boolean`);
    }
    return bytes[0] === 0xff;
  }

  /** Named bits of a BIT STRING: bit n of the result is ASN.1's bit n. At most 16 of them. */
  namedBits(what: string): number {
    const bytes = this.enter(Tag.BIT_STRING, what).rest();
    const unused = bytes[0];
    if (
      unused === undefined || unused > 7 || bytes.length > 3 || (bytes.length === 1 && unused > 0)
    ) {
      throw new X509Error(`${what}: bad bit string`);
    }
    let bits = 0;
    for (let n = 0; n < (bytes.length - 1) * 8 - unused; n++) {
      if ((bytes[1 + (n >> 3)]! & (0x80 >> (n & 7))) !== 0) bits |= 1 << n;
    }
    return bits;
  }

  /** UTCTime or GeneralizedTime as RFC 5280 §4.1.2.5 wants it (Z, with seconds, no fraction), in ms since 1970. */
  time(what: string): number {
    const isUtc = this.nextTag === Tag.UTC_TIME;
    const content = this.enter(isUtc ? Tag.UTC_TIME : Tag.GENERALIZED_TIME, what).rest();
    const yearDigits = isUtc ? 2 : 4;
    if (content.length !== yearDigits + 11 || content[content.length - 1] !== 0x5a) {
      throw new X509Error(`${what}: bad time`);
    }
    let at = 0;
    const number = (digits: number): number => {
      let value = 0;
      for (const stop = at + digits; at < stop; at++) {
        const digit = content[at]! - 0x30;
        if (digit < 0 || digit > 9) throw new X509Error(`${what}: bad time`);
        value = value * 10 + digit;
      }
      return value;
    };
    const shortYear = number(yearDigits);
    const year = isUtc ? shortYear + (shortYear < 50 ? 2000 : 1900) : shortYear;
    const [month, day, hour, minute, second] = [
      number(2),
      number(2),
      number(2),
      number(2),
      number(2),
    ];
    const date = new Date(0);
    date.setUTCFullYear(year, month - 1, day);
    date.setUTCHours(hour, minute, second);
    // 31 April would have become 1 May
    if (
      date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day ||
      hour > 23 || minute > 59 || second > 59
    ) throw new X509Error(`${what}: bad time`);
    return date.getTime();
  }

  /** Header, then content; the cursor moves behind it. Definite, minimal lengths; no tag above 30. */
  #content(what: string): DerReader {
    const bytes = this.#bytes;
    let at = this.#at;
    if (this.#end - at < 2) throw new X509Error(`${what}: too short`);
    if ((bytes[at]! & 0x1f) === 0x1f) throw new X509Error(`${what}: unsupported tag`);
    let length = bytes[at + 1]!;
    at += 2;
    if (length >= 0x80) {
      const count = length & 0x7f;
      if (count === 0 || count > 3 || this.#end - at < count) {
        throw new X509Error(`${what}: bad length`);
      }
      length = 0;
      for (let i = 0; i < count; i++) length = length * 256 + bytes[at + i]!;
      if (length < 0x80 || length < 256 ** (count - 1)) throw new X509Error(`${what}: bad length`);
      at += count;
    }
    if (length > this.#end - at) throw new X509Error(`${what}: too short`);
    this.#at = at + length;
    return new DerReader(bytes, at, at + length);
  }
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
