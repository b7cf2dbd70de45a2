/**
 * The reading half of the record layer (RFC 9846 §5): bytes in whatever pieces go in, contents of records come out.
 *
 * Records are opened where they lie in the chunk that was received. Only one that is not whole yet is copied, into a
 * buffer of its own size; between records a connection holds no buffer at all. Whatever can be refused by the bytes
 * that are there is refused: the type by byte 1, no TLS at all by byte 2, the length by byte 5.
 *
 * @module
 */
import type { Aead } from "../crypto/crypto.ts";
import { TlsError } from "./error.ts";
import type { Limits } from "./limits.ts";
import {
  ivWord,
  MAX_CIPHERTEXT,
  MAX_INNER_PLAINTEXT,
  MAX_PLAINTEXT,
  RECORD_HEADER_LENGTH,
  recordNonce,
  TAG_LENGTH,
} from "./record.ts";
import { ContentType } from "./wire/code-points.ts";
import { part } from "./wire/vectors.ts";

export interface RecordSink {
  /**
   * The content of one record: `bytes[start, end)`, valid only during the call; application data only until the next
   * call into the crypto provider. Alerts are two bytes; only application data may be empty.
   *
   * @returns false: take no more until `resume`
   */
  record(type: number, bytes: Uint8Array, start: number, end: number): boolean;

  /** Part of a handshake message is held: a change_cipher_spec would stand between its fragments (§5.1). */
  readonly midMessage?: boolean;
}

export class RecordReader {
  /** Largest TLSInnerPlaintext taken. The configured record_size_limit binds only a peer to whom it was sent. */
  maxInnerPlaintext: number;

  readonly #limits: Limits;
  /** Undefined once the handshake is over. */
  #early: EarlyRules | undefined = new EarlyRules();
  #aead: Aead | undefined;
  /** The IV, in three words: an array would take 64 bytes of each idle connection. */
  #iv0 = 0;
  #iv1 = 0;
  #iv2 = 0;
  #sequence = 0;
  /** In a row. */
  #uselessRecords = 0;
  #partial: PartialRecord | undefined;
  /** What is kept since the sink has said stop; undefined: it has not. */
  #rest: Uint8Array | undefined;
  #ended = false;

  constructor(limits: Limits) {
    this.#limits = limits;
    this.maxInnerPlaintext = Math.min(limits.recordSizeLimit, MAX_INNER_PLAINTEXT);
  }

  /** From the next record on this key opens them; its sequence numbers start at 0 (§5.3). */
  protect(aead: Aead, iv: Uint8Array): void {
    this.#aead = aead;
    this.#iv0 = ivWord(iv, 0);
    this.#iv1 = ivWord(iv, 4);
    this.#iv2 = ivWord(iv, 8);
    this.#sequence = 0;
  }

  /** A change_cipher_spec is dropped (§5): from the first ClientHello until the client's Finished. */
  get allowChangeCipherSpec(): boolean {
    return this.#early?.changeCipherSpec === true;
  }
  /** Nothing changes it once the handshake is over. */
  set allowChangeCipherSpec(allow: boolean) {
    if (this.#early !== undefined) this.#early.changeCipherSpec = allow;
  }

  /** The client's Finished has come: from here on there are protected records and nothing else. */
  endHandshake(): void {
    this.#early = undefined;
  }

  get inHandshake(): boolean {
    return this.#early !== undefined;
  }

  /**
   * 0-RTT was offered and refused (§4.3.10): without a key (after a HelloRetryRequest) application_data is dropped
   * until the next handshake record, with a key whatever does not open is dropped until the first record that does.
   */
  skipEarlyData(): void {
    if (this.#early !== undefined) this.#early.skipping = true;
  }

  endSkipping(): void {
    if (this.#early !== undefined) this.#early.skipping = false;
  }

  /** The peer has closed: whatever follows is ignored, even what is no record (§6.1). */
  end(): void {
    this.#ended = true;
    this.#partial = undefined;
    this.#rest = undefined;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Nothing is buffered. */
  get idle(): boolean {
    return this.#partial === undefined && (this.#rest?.length ?? 0) === 0;
  }

  /** Memory that is held for bytes which wait. */
  get heldBytes(): number {
    return (this.#partial?.bytes.length ?? 0) + (this.#rest?.length ?? 0);
  }

  /**
   * Hands the content of each record in `bytes` to the sink, in order; the sink may change keys. What is not
   * read yet at the end is copied: a record that is not whole, and what comes while the sink has said stop.
   *
   * @throws {TlsError} "not a TLS record" (the first bytes are no TLS), "unexpected record", "record overflow",
   *   "bad record MAC", "missing content type", "empty fragment", "bad alert record", "bad change_cipher_spec",
   *   "interleaved handshake message", "too many useless records", "too much skipped early data"; and what the sink
   *   throws. After that the reader is of no use.
   */
  receive(bytes: Uint8Array, sink: RecordSink): void {
    if (this.#rest === undefined) this.#read(bytes, sink);
    else this.#keep(bytes, 0);
  }

  /** Goes on with what was kept since the sink said stop. Throws as `receive` does. */
  resume(sink: RecordSink): void {
    const rest = this.#rest;
    this.#rest = undefined;
    if (rest !== undefined) this.#read(rest, sink);
  }

  #read(bytes: Uint8Array, sink: RecordSink): void {
    let at = 0;
    while (at < bytes.length && !this.#ended) {
      let more = true;
      const left = bytes.length - at;
      const partial = this.#partial;
      if (partial === undefined) {
        this.#checkHeader(bytes, at, left, sink);
        const size = left < RECORD_HEADER_LENGTH ? Infinity : recordSize(bytes, at);
        if (size > left) {
          this.#partial = new PartialRecord(size === Infinity ? RECORD_HEADER_LENGTH : size);
          this.#partial.append(bytes, at, bytes.length);
          return;
        }
        at += size;
        more = this.#record(bytes, at - size, at, sink);
      } else {
        at = this.#fill(partial, bytes, at, sink);
        if (partial.filled < partial.size) return;
        this.#partial = undefined;
        more = this.#record(partial.bytes, 0, partial.size, sink);
      }
      if (!more) {
        this.#rest = NOTHING;
        return this.#keep(bytes, at);
      }
    }
  }

  /** Moves what belongs to the record in `partial` there; returns where the next one starts. */
  #fill(partial: PartialRecord, bytes: Uint8Array, at: number, sink: RecordSink): number {
    const hadHeader = partial.filled >= RECORD_HEADER_LENGTH;
    const end = Math.min(bytes.length, at + partial.size - partial.filled);
    partial.append(bytes, at, end);
    if (hadHeader) return end;

    this.#checkHeader(partial.bytes, 0, partial.filled, sink);
    if (partial.filled < RECORD_HEADER_LENGTH) return end;
    partial.size = recordSize(partial.bytes, 0);
    return this.#fill(partial, bytes, end, sink);
  }

  /** A copy: chunks may be large, and most of this one has been read. */
  #keep(bytes: Uint8Array, at: number): void {
    if (at === bytes.length) return;
    const before = this.#rest!;
    const rest = new Uint8Array(before.length + bytes.length - at);
    rest.set(before);
    rest.set(bytes.subarray(at), before.length);
    this.#rest = rest;
  }

  /** Refuses by as many bytes of a header as there are. Changes nothing, so it may look at the same bytes twice. */
  #checkHeader(bytes: Uint8Array, at: number, available: number, sink: RecordSink): void {
    const type = bytes[at]!;
    this.#checkType(type, sink);
    // The version means nothing (§5.1), but this one tells TLS from chance.
    if (this.#isFirst && available > 1 && bytes[at + 1] !== 3) {
      throw new TlsError("not a TLS record");
    }
    if (available >= RECORD_HEADER_LENGTH) {
      this.#checkLength(type, recordSize(bytes, at) - RECORD_HEADER_LENGTH);
    }
  }

  #checkType(type: number, sink: RecordSink): void {
    switch (type) {
      case ContentType.handshake:
        if (this.#aead === undefined) return;
        break;
      case ContentType.application_data:
        if (this.#aead !== undefined || this.#isSkipping) return;
        break;
      case ContentType.alert:
        // A peer that chokes on our ServerHello has no keys to say so with.
        if (this.#early !== undefined && !this.#early.opened && !this.#early.first) return;
        break;
      case ContentType.change_cipher_spec:
        if (!this.allowChangeCipherSpec) break;
        if (sink.midMessage === true) throw new TlsError("interleaved handshake message");
        return;
      default:
        if (this.#isFirst) throw new TlsError("not a TLS record");
    }
    throw new TlsError("unexpected record", `type ${type}`);
  }

  #checkLength(type: number, length: number): void {
    const most = type === ContentType.application_data ? MAX_CIPHERTEXT : MAX_PLAINTEXT;
    if (length > most) throw new TlsError("record overflow");
    switch (type) {
      case ContentType.change_cipher_spec:
        if (length !== 1) throw new TlsError("bad change_cipher_spec");
        break;
      case ContentType.application_data:
        if (this.#aead === undefined) this.#checkSkipped(RECORD_HEADER_LENGTH + length);
        else if (length < TAG_LENGTH && !this.#isSkipping) throw new TlsError("bad record MAC");
        break;
      default:
        checkContent(type, length);
    }
  }

  /** One whole record, its header checked. */
  #record(bytes: Uint8Array, start: number, end: number, sink: RecordSink): boolean {
    const type = bytes[start]!;
    const body = start + RECORD_HEADER_LENGTH;
    if (this.#early !== undefined) this.#early.first = false;
    switch (type) {
      case ContentType.change_cipher_spec:
        if (bytes[body] !== 1) throw new TlsError("bad change_cipher_spec");
        this.#countUseless();
        return true;
      case ContentType.application_data:
        return this.#protected(bytes, start, end, sink);
      case ContentType.handshake:
        this.#uselessRecords = 0;
        this.endSkipping(); // the second ClientHello
    }
    return sink.record(type, bytes, body, end);
  }

  #protected(bytes: Uint8Array, start: number, end: number, sink: RecordSink): boolean {
    const inner = this.#open(bytes, start, end);
    if (inner === undefined) {
      if (!this.#isSkipping) throw new TlsError("bad record MAC");
      this.#checkSkipped(end - start);
      this.#early!.skippedBytes += end - start;
      return true;
    }
    if (this.#early !== undefined) {
      this.#early.opened = true;
      this.#early.skipping = false;
    }
    if (inner.length > this.maxInnerPlaintext) throw new TlsError("record overflow");
    let length = inner.length - 1;
    while (length >= 0 && inner[length] === 0) length--; // padding
    if (length < 0) throw new TlsError("missing content type");

    const type = inner[length]!;
    checkContent(type, length);
    if (type === ContentType.application_data) {
      if (length === 0) this.#countUseless();
      else this.#uselessRecords = 0;
      return sink.record(type, inner, 0, length);
    }
    if (type === ContentType.handshake) this.#uselessRecords = 0;
    // A copy, small and rare: its reader hashes and compares, and the provider's view lasts only until then.
    return sink.record(type, new Uint8Array(inner), 0, length);
  }

  /** TLSInnerPlaintext; undefined if it does not verify, or if there is no key to try. The failure does not count. */
  #open(bytes: Uint8Array, start: number, end: number): Uint8Array | undefined {
    const body = start + RECORD_HEADER_LENGTH;
    if (this.#aead === undefined || end - body < TAG_LENGTH) return undefined;
    for (let i = 0; i < RECORD_HEADER_LENGTH; i++) header[i] = bytes[start + i]!;
    const inner = this.#aead.open(
      recordNonce(this.#iv0, this.#iv1, this.#iv2, this.#sequence),
      header,
      part(bytes, body, end),
    );
    if (inner !== undefined) this.#sequence++;
    return inner;
  }

  #checkSkipped(more: number): void {
    if (this.#early!.skippedBytes + more > this.#limits.maxSkippedEarlyData) {
      throw new TlsError("too much skipped early data");
    }
  }

  get #isFirst(): boolean {
    return this.#early?.first === true;
  }

  get #isSkipping(): boolean {
    return this.#early?.skipping === true;
  }

  #countUseless(): void {
    if (++this.#uselessRecords > this.#limits.maxUselessRecords) {
      throw new TlsError("too many useless records");
    }
  }
}

/** What is to be known of records until the handshake is over. */
class EarlyRules {
  changeCipherSpec = false;
  /** No whole record has come yet. */
  first = true;
  /** A record has opened: no plaintext alert from here on. */
  opened = false;
  skipping = false;
  skippedBytes = 0;
}

/** A record that is not whole, in memory that grows with what has come of it: `bytes[0, filled)`. */
class PartialRecord {
  bytes: Uint8Array = NOTHING;
  filled = 0;
  /** Of the record, once its header is whole; until then of the header. */
  size: number;

  constructor(size: number) {
    this.size = size;
  }

  /** A header announces 16 KiB for nothing: there is memory for twice what has come, so that bytes move once or twice. */
  append(more: Uint8Array, at: number, end: number): void {
    const filled = this.filled + end - at;
    if (filled > this.bytes.length) {
      const roomy = new Uint8Array(Math.min(Math.max(filled * 2, SMALLEST_PARTIAL), this.size));
      roomy.set(this.bytes.subarray(0, this.filled));
      this.bytes = roomy;
    }
    this.bytes.set(more.subarray(at, end), this.filled);
    this.filled = filled;
  }
}

/** What holds for the content of a record, protected or not (§5.1). */
function checkContent(type: number, length: number): void {
  switch (type) {
    case ContentType.application_data:
      return;
    case ContentType.handshake:
      if (length === 0) throw new TlsError("empty fragment");
      return;
    case ContentType.alert:
      if (length === 0) throw new TlsError("empty fragment");
      if (length !== 2) throw new TlsError("bad alert record");
      return;
    default:
      throw new TlsError("unexpected record", `type ${type}`);
  }
}

/** Header and body of the record whose header stands at `at`. */
function recordSize(bytes: Uint8Array, at: number): number {
  return RECORD_HEADER_LENGTH + ((bytes[at + 3]! << 8) | bytes[at + 4]!);
}

/** As additional data; a view of the record would be made anew each time. */
const header = new Uint8Array(RECORD_HEADER_LENGTH);
const NOTHING = new Uint8Array(0);
/** Most ClientHellos fit. */
const SMALLEST_PARTIAL = 512;
