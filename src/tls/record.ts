/**
 * The writing half of the record layer (RFC 9846 §5): content goes in, sealed records are appended to a flight.
 *
 * A record, once sealed, never changes: it was counted in a sequence number.
 *
 *      header 5         content            type  padding         tag 16
 *     ┌─────────┬──────────────────────────┬───┬───────────┬──────────────────┐
 *     │ 23 3 3 n│                          │   │ 0 0 0 … 0 │                  │
 *     └─────────┴──────────────────────────┴───┴───────────┴──────────────────┘
 *      AAD       └─ TLSInnerPlaintext ≤ maxInnerPlaintext ─┘
 *
 * @module
 */
import type { Aead } from "../crypto/crypto.ts";
import { ContentType } from "./wire/code-points.ts";

export const RECORD_HEADER_LENGTH = 5;
export const TAG_LENGTH = 16;
/** Largest fragment of content (§5.1). */
export const MAX_PLAINTEXT = 2 ** 14;
/** Largest TLSInnerPlaintext: content, its type and padding (§5.4). */
export const MAX_INNER_PLAINTEXT = MAX_PLAINTEXT + 1;
/** Largest `length` of a protected record (§5.2). */
export const MAX_CIPHERTEXT = MAX_PLAINTEXT + 256;

/** Records waiting to be handed on. One per process is enough: a flight is built and sent within one call. */
export class Flight {
  /** What is valid is `bytes[0, length)`. Growing replaces the array: do not keep it across `reserve`. */
  bytes: Uint8Array;
  length = 0;

  constructor(capacity: number = INITIAL_FLIGHT) {
    this.bytes = memory(capacity);
  }

  /** Forgets the records and keeps the memory, unless there is unusually much of it. */
  reset(): void {
    this.length = 0;
    if (this.bytes.length > LARGEST_KEPT_FLIGHT) this.bytes = memory(INITIAL_FLIGHT);
  }

  /** Makes room for `count` bytes of any content; returns where they start. */
  reserve(count: number): number {
    const at = this.length;
    this.length += count;
    if (this.length > this.bytes.length) {
      const bigger = memory(Math.max(this.length, this.bytes.length * 2));
      bigger.set(this.bytes.subarray(0, at));
      this.bytes = bigger;
    }
    return at;
  }
}

/**
 * Content would be copied to 5 bytes behind the beginning of a page, often from the beginning of one. Processors that
 * tell addresses apart by their last 12 bits take that for one memory: 16 KiB in 8.5 µs. 64 bytes further on it is 0.6, far
 * from both ends of a page 0.37.
 */
function memory(capacity: number): Uint8Array {
  return new Uint8Array(new ArrayBuffer(capacity + PAGE_OFFSET), PAGE_OFFSET);
}

const PAGE_OFFSET = 2048;

export class RecordWriter {
  /** The peer's record_size_limit (RFC 8449 §4). It binds protected records alone; more than 2^14 + 1 means 2^14 + 1. */
  maxInnerPlaintext: number = MAX_INNER_PLAINTEXT;

  #aead: Aead | undefined;
  /** The IV, in three words: an array would take 64 bytes of each idle connection. */
  #iv0 = 0;
  #iv1 = 0;
  #iv2 = 0;
  #sequence = 0;

  /** From here on records are sealed under this key; its sequence numbers start at 0 (§5.3). */
  protect(aead: Aead, iv: Uint8Array): void {
    this.#aead = aead;
    this.#iv0 = ivWord(iv, 0);
    this.#iv1 = ivWord(iv, 4);
    this.#iv2 = ivWord(iv, 8);
    this.#sequence = 0;
  }

  get isProtected(): boolean {
    return this.#aead !== undefined;
  }

  /** Records sealed under the key in force: what RFC 9846 §5.5 limits. */
  get sealedRecords(): number {
    return this.#sequence;
  }

  /**
   * Appends `content[start, end)` as one or more records of `type`.
   *
   * `padTo`: content and padding together are made a multiple of so many bytes, spread over as many records as
   * `maxInnerPlaintext` asks for. Each carries at least one byte of content, for zero-length fragments of handshake
   * messages are forbidden (§5.1); less content than records is padded as far as that allows. Ignored without a key.
   *
   * @throws {RangeError} no content (only a protected application_data record may be empty), or the last sequence
   *   number was used
   */
  write(
    flight: Flight,
    type: number,
    content: Uint8Array,
    start: number,
    end: number,
    padTo: number = 0,
  ): void {
    const aead = this.#aead;
    const length = end - start;
    if (length === 0 && (aead === undefined || type !== ContentType.application_data)) {
      throw new RangeError(`Cannot write a record of type ${type} without content`);
    }
    if (aead === undefined) return writePlain(flight, type, content, start, end);

    const most = Math.min(this.maxInnerPlaintext, MAX_INNER_PLAINTEXT) - 1;
    const wanted = padTo > 0 ? Math.ceil(length / padTo) * padTo : length;
    const pieces = type === ContentType.alert ? 1 : length; // alerts are not fragmented (§5.1)
    let records = Math.max(1, Math.min(Math.ceil(wanted / most), pieces));
    let padded = Math.min(wanted, records * most);
    for (let at = start; records > 0; records--) {
      const size = Math.min(most, padded);
      const contentEnd = at + Math.min(size, end - at - (records - 1)); // one byte for each that follows
      this.#seal(aead, flight, type, content, at, contentEnd, size);
      at = contentEnd;
      padded -= size;
    }
  }

  /** `size`: content and padding. What is short is copied to where it is then encrypted in place. */
  #seal(
    aead: Aead,
    flight: Flight,
    type: number,
    content: Uint8Array,
    start: number,
    end: number,
    size: number,
  ): void {
    const nonce = recordNonce(this.#iv0, this.#iv1, this.#iv2, this.#sequence);
    if (++this.#sequence > Number.MAX_SAFE_INTEGER) {
      throw new RangeError("Cannot seal: sequence numbers are used up");
    }
    const at = flight.reserve(RECORD_HEADER_LENGTH + size + 1 + TAG_LENGTH);
    const bytes = flight.bytes;
    const body = at + RECORD_HEADER_LENGTH;
    const typeAt = body + (end - start);
    const innerEnd = body + size + 1;
    writeHeader(bytes, at, ContentType.application_data, size + 1 + TAG_LENGTH);
    writeHeader(header, 0, ContentType.application_data, size + 1 + TAG_LENGTH);
    bytes[typeAt] = typeAlone[0] = type;
    // The flight's memory is used again and again.
    if (typeAt + 1 < innerEnd) bytes.fill(0, typeAt + 1, innerEnd);
    const part = content.subarray(start, end);
    try {
      if (part.length >= LONG_CONTENT && aead.sealJoined !== undefined) {
        const rest = innerEnd === typeAt + 1 ? typeAlone : bytes.subarray(typeAt, innerEnd);
        aead.sealJoined(nonce, header, part, rest, bytes, body);
      } else {
        bytes.set(part, body);
        aead.seal(nonce, header, bytes.subarray(body, innerEnd), bytes, body);
      }
    } catch (error) {
      flight.length = at; // what is not sealed is not sent
      throw error;
    }
  }
}

function writePlain(
  flight: Flight,
  type: number,
  content: Uint8Array,
  start: number,
  end: number,
): void {
  for (let from = start; from < end; from += MAX_PLAINTEXT) {
    const to = Math.min(from + MAX_PLAINTEXT, end);
    const at = flight.reserve(RECORD_HEADER_LENGTH + to - from);
    writeHeader(flight.bytes, at, type, to - from);
    flight.bytes.set(content.subarray(from, to), at + RECORD_HEADER_LENGTH);
  }
}

function writeHeader(bytes: Uint8Array, at: number, type: number, length: number): void {
  bytes[at] = type;
  bytes[at + 1] = 3;
  bytes[at + 2] = 3;
  bytes[at + 3] = length >>> 8;
  bytes[at + 4] = length;
}

/**
 * The per-record nonce (§5.3): the IV with the sequence number, which here has 53 bits, on its last 8 bytes. Valid until
 * the next call; sealing and opening are synchronous, so one buffer serves every connection.
 */
export function recordNonce(iv0: number, iv1: number, iv2: number, sequence: number): Uint8Array {
  const middle = iv1 ^ (sequence < 2 ** 32 ? 0 : sequence / 2 ** 32);
  const last = iv2 ^ sequence;
  nonce[0] = iv0 >>> 24;
  nonce[1] = iv0 >>> 16;
  nonce[2] = iv0 >>> 8;
  nonce[3] = iv0;
  nonce[4] = middle >>> 24;
  nonce[5] = middle >>> 16;
  nonce[6] = middle >>> 8;
  nonce[7] = middle;
  nonce[8] = last >>> 24;
  nonce[9] = last >>> 16;
  nonce[10] = last >>> 8;
  nonce[11] = last;
  return nonce;
}

/** Four bytes of an IV, the first of them the highest. */
export function ivWord(iv: Uint8Array, at: number): number {
  return (iv[at]! << 24) | (iv[at + 1]! << 16) | (iv[at + 2]! << 8) | iv[at + 3]!;
}

const nonce = new Uint8Array(12);
/** The header again, as additional data: a view of the flight would be made anew for each record. */
const header = new Uint8Array(RECORD_HEADER_LENGTH);
/** What follows the content of a record without padding. */
const typeAlone = new Uint8Array(1);
/** From here on a copy of the content costs more than handing it over apart from what follows it. */
const LONG_CONTENT = 4096;
const INITIAL_FLIGHT = 16384;
const LARGEST_KEPT_FLIGHT = 2 ** 18;
