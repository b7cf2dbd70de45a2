/**
 * Appends one TLS structure after another; length prefixes are patched once the body is known.
 * @module
 */
export class Writer {
  #bytes: Uint8Array;
  #length = 0;

  constructor(capacity: number = 512) {
    this.#bytes = new Uint8Array(capacity);
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#length;
  }

  /** Forgets what was written and keeps the memory. What was there stays until it is overwritten. */
  reset(): this {
    this.#length = 0;
    return this;
  }

  u8(value: number): this {
    const at = this.#grow(1); // first: growing replaces #bytes
    this.#bytes[at] = value;
    return this;
  }

  u16(value: number): this {
    const at = this.#grow(2);
    this.#bytes[at] = value >>> 8;
    this.#bytes[at + 1] = value;
    return this;
  }

  u24(value: number): this {
    const at = this.#grow(3);
    this.#bytes[at] = value >>> 16;
    this.#bytes[at + 1] = value >>> 8;
    this.#bytes[at + 2] = value;
    return this;
  }

  u32(value: number): this {
    return this.u16(value >>> 16).u16(value & 0xffff);
  }

  bytes(value: Uint8Array): this {
    const at = this.#grow(value.length);
    this.#bytes.set(value, at);
    return this;
  }

  zeros(count: number): this {
    const at = this.#grow(count);
    this.#bytes.fill(0, at, at + count);
    return this;
  }

  /** Starts a vector whose length takes `width` bytes; returns the mark that `end` wants. */
  begin(width: 1 | 2 | 3): number {
    const mark = this.#grow(width);
    this.#bytes.fill(0xff, mark, mark + width); // unpatched, it must not parse
    return mark;
  }

  /** Ends the vector that `begin(width)` started. @throws {RangeError} the body does not fit its prefix. */
  end(mark: number, width: 1 | 2 | 3): this {
    const length = this.#length - mark - width;
    if (length >= 2 ** (8 * width)) {
      throw new RangeError(`Cannot encode ${length} bytes in a vector of width ${width}`);
    }
    for (let i = 0; i < width; i++) this.#bytes[mark + i] = length >>> (8 * (width - 1 - i));
    return this;
  }

  /** `opaque value<0..2^8-1>`. @throws {RangeError} as `end`, as do the two below */
  opaque8(value: Uint8Array): this {
    return this.#opaque(1, value);
  }

  opaque16(value: Uint8Array): this {
    return this.#opaque(2, value);
  }

  opaque24(value: Uint8Array): this {
    return this.#opaque(3, value);
  }

  vector8(body: () => void): this {
    return this.#vector(1, body);
  }

  vector16(body: () => void): this {
    return this.#vector(2, body);
  }

  vector24(body: () => void): this {
    return this.#vector(3, body);
  }

  /** `[start, end)` of what has been written; valid until the next write. */
  view(start: number = 0, end: number = this.#length): Uint8Array {
    return this.#bytes.subarray(start, end);
  }

  /** A copy of `[start, end)` that stays. */
  copy(start: number = 0, end: number = this.#length): Uint8Array {
    return this.#bytes.slice(start, end);
  }

  #opaque(width: 1 | 2 | 3, value: Uint8Array): this {
    const mark = this.begin(width);
    return this.bytes(value).end(mark, width);
  }

  #vector(width: 1 | 2 | 3, body: () => void): this {
    const mark = this.begin(width);
    body();
    return this.end(mark, width);
  }

  #grow(count: number): number {
    const at = this.#length;
    this.#length += count;
    if (this.#length > this.#bytes.length) {
      const bigger = new Uint8Array(Math.max(this.#length, this.#bytes.length * 2));
      bigger.set(this.#bytes.subarray(0, at));
      this.#bytes = bigger;
    }
    return at;
  }
}
