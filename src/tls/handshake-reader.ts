/**
 * Handshake messages out of the contents of handshake records (RFC 9846 §4, §5.1).
 *
 * A message that lies whole in one record is handed on where it lies. One that does not is joined in a buffer that
 * grows with what has really come, up to the size its header declares, and that only after the sink has agreed to it.
 *
 * @module
 */
export interface HandshakeSink {
  /** A message's header is there; `length` is that of its body. Throws where type or length is not welcome. */
  expectMessage(type: number, length: number): void;

  /**
   * A whole message, header included: `bytes[start, end)`, valid only during the call.
   *
   * @param last no byte follows it in its record, which a message that changes keys needs (§5.1)
   * @returns false: no more until `resume`
   */
  message(type: number, bytes: Uint8Array, start: number, end: number, last: boolean): boolean;
}

export class HandshakeReader {
  /** The message being joined: `#bytes[0, #filled)`; `#size` is 0 until its header is whole. */
  #bytes: Uint8Array | undefined;
  #filled = 0;
  #size = 0;
  #parked = false;
  #rest: Uint8Array | undefined;

  /** Something is held: a record of another type now would stand between the fragments of a message (§5.1). */
  get pending(): boolean {
    return this.#bytes !== undefined || this.#rest !== undefined;
  }

  /**
   * Takes the content of one handshake record. Throws nothing but what the sink throws.
   *
   * @returns false where the sink said stop; the rest is kept until `resume`
   */
  receive(bytes: Uint8Array, start: number, end: number, sink: HandshakeSink): boolean {
    if (this.#parked) {
      this.#keep(bytes, start, end);
      return false;
    }
    let at = start;
    while (at < end) {
      let more = true;
      if (this.#bytes === undefined) {
        const size = end - at < HEADER_LENGTH ? 0 : this.#begin(bytes, at, sink);
        if (size === 0 || size > end - at) {
          this.#size = size;
          this.#bytes = NOTHING;
          this.#append(bytes, at, end);
          return true;
        }
        at += size;
        more = sink.message(bytes[at - size]!, bytes, at - size, at, at === end);
      } else {
        if (this.#size === 0) {
          at = this.#append(bytes, at, Math.min(end, at + HEADER_LENGTH - this.#filled));
          if (this.#filled < HEADER_LENGTH) return true;
          this.#size = this.#begin(this.#bytes, 0, sink);
        }
        at = this.#append(bytes, at, Math.min(end, at + this.#size - this.#filled));
        if (this.#filled < this.#size) return true;
        const message = this.#bytes;
        const size = this.#size;
        this.#bytes = undefined;
        this.#filled = this.#size = 0;
        more = sink.message(message[0]!, message, 0, size, at === end);
      }
      if (!more) {
        this.#parked = true;
        this.#keep(bytes, at, end);
        return false;
      }
    }
    return true;
  }

  /** Goes on with what was kept since the sink said stop. */
  resume(sink: HandshakeSink): boolean {
    const rest = this.#rest;
    this.#parked = false;
    this.#rest = undefined;
    return rest === undefined || this.receive(rest, 0, rest.length, sink);
  }

  /** Reads the header at `at` and asks the sink; returns the size of the whole message. */
  #begin(bytes: Uint8Array, at: number, sink: HandshakeSink): number {
    const length = (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;
    sink.expectMessage(bytes[at]!, length);
    return HEADER_LENGTH + length;
  }

  /** Adds to the message being joined; returns `end`. */
  #append(bytes: Uint8Array, at: number, end: number): number {
    let joined = this.#bytes!;
    const needed = this.#filled + end - at;
    if (needed > joined.length) {
      const roomy = Math.max(needed, joined.length * 2);
      joined = new Uint8Array(Math.min(roomy, this.#size === 0 ? HEADER_LENGTH : this.#size));
      joined.set(this.#bytes!);
      this.#bytes = joined;
    }
    joined.set(bytes.subarray(at, end), this.#filled);
    this.#filled = needed;
    return end;
  }

  #keep(bytes: Uint8Array, at: number, end: number): void {
    if (at === end) return;
    const before = this.#rest?.length ?? 0;
    const rest = new Uint8Array(before + end - at);
    if (this.#rest !== undefined) rest.set(this.#rest);
    rest.set(bytes.subarray(at, end), before);
    this.#rest = rest;
  }
}

const HEADER_LENGTH = 4;
const NOTHING = new Uint8Array(0);
