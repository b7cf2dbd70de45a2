/**
 * A client's record layer and the joining of handshake messages, over a `Transport` (RFC 9846 §5).
 *
 * It is written apart from the server's, so that a mistake in one is not hidden by the same in the other, and it sends
 * what a test wants sent.
 *
 * @module
 */
import type { Aead, Crypto, Suite, TrafficKeys } from "../crypto/crypto.ts";
import { Alert, type AlertName, alertName } from "../tls/alert.ts";
import { TlsError } from "../tls/error.ts";
import { ContentType } from "../tls/wire/code-points.ts";
import { ClientError, type KeyEpoch } from "./error.ts";
import type { ClientOptions } from "./options.ts";
import type { Transport } from "./transport.ts";

/** What a peer said, whole and ours to keep. */
export type Incoming =
  | { readonly kind: "message"; readonly type: number; readonly bytes: Uint8Array }
  | { readonly kind: "data"; readonly bytes: Uint8Array }
  | { readonly kind: "close_notify" }
  | { readonly kind: "fin" };

const HEADER = 5;
const TAG = 16;
const MAX_PLAINTEXT = 16384;
const MAX_CIPHERTEXT = MAX_PLAINTEXT + 256;

export class ClientRecords {
  readonly #transport: Transport;
  readonly #crypto: Crypto;
  readonly #options: ClientOptions;
  #reading: Direction | undefined;
  #writing: Direction | undefined;
  /** Wire bytes not yet looked at. */
  #wire: Uint8Array = new Uint8Array(0);
  /** Handshake bytes not yet a whole message. */
  #handshake: Uint8Array = new Uint8Array(0);
  readonly #queue: Uint8Array[] = [];

  /** The keys by which records are read. */
  epoch: KeyEpoch = "plaintext";
  /** The peer's record_size_limit: largest inner plaintext it takes. */
  maxInnerPlaintext: number = MAX_PLAINTEXT + 1;

  constructor(transport: Transport, options: ClientOptions) {
    this.#transport = transport;
    this.#crypto = options.crypto;
    this.#options = options;
  }

  /** @throws {TlsError} "excess handshake bytes" before the keys changed */
  readWith(suite: Suite, keys: TrafficKeys, epoch: KeyEpoch): void {
    if (this.#handshake.length > 0) throw new TlsError("excess handshake bytes");
    this.#reading = new Direction(this.#crypto, suite, keys);
    this.epoch = epoch;
  }

  writeWith(suite: Suite, keys: TrafficKeys): void {
    this.#writing = new Direction(this.#crypto, suite, keys);
  }

  /** Records go out in clear again: behind refused early data. */
  writePlaintext(): void {
    this.#writing = undefined;
  }

  /** The next thing from the peer, waiting for it. @throws {TlsError|ClientError} */
  async next(): Promise<Incoming> {
    for (;;) {
      const incoming = this.take();
      if (incoming !== undefined) return incoming;
      if (!(await this.fill())) return { kind: "fin" };
    }
  }

  /** What stands in the buffer already; undefined: more bytes are wanted. */
  take(): Incoming | undefined {
    for (;;) {
      const message = this.#takeMessage();
      if (message !== undefined) return message;
      const record = this.#takeRecord();
      if (record === undefined) return undefined;
      const { type, content } = record;
      if (type !== ContentType.handshake && this.#handshake.length > 0) {
        throw new TlsError("interleaved handshake message");
      }
      switch (type) {
        case ContentType.handshake:
          if (content.length === 0) throw new TlsError("empty fragment");
          this.#handshake = append(this.#handshake, content);
          break;
        case ContentType.application_data:
          if (content.length > 0) return { kind: "data", bytes: content };
          break;
        case ContentType.alert:
          if (this.#isClosing(content, record.isProtected)) return { kind: "close_notify" };
          break;
        case ContentType.change_cipher_spec:
          if (record.isProtected || content.length !== 1 || content[0] !== 1) {
            throw new TlsError("bad change_cipher_spec");
          }
          break;
        default:
          throw new TlsError("unexpected record", `content type ${type}`);
      }
    }
  }

  /** Takes one chunk from the transport; false at FIN. */
  async fill(): Promise<boolean> {
    const chunk = await this.#transport.read();
    if (chunk === undefined) return false;
    // Never as a Buffer, whose slice() does not copy.
    const bytes = new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.length);
    this.#wire = append(this.#wire, bytes);
    return true;
  }

  /** Queues `content` as one record or more. Nothing is sent before `flush`. */
  queue(type: number, content: Uint8Array): void {
    const room = this.#writing === undefined ? MAX_PLAINTEXT : this.maxInnerPlaintext - 1;
    const step = Math.min(room, this.#options.fragmentBytes ?? room);
    for (let at = 0; at === 0 || at < content.length; at += step) {
      const fragment = content.subarray(at, at + step);
      this.queueRecord(
        this.#writing?.seal(type, fragment, this.#padding(fragment.length)) ??
          plaintext(type, fragment),
      );
    }
  }

  /** Queues a record as it is, past all rules; `beforeRecord` still sees it. */
  queueRecord(record: Uint8Array): void {
    const changed = this.#options.hooks?.beforeRecord?.(record) ?? record;
    if (Array.isArray(changed)) this.#queue.push(...changed);
    else this.#queue.push(changed);
  }

  /** Queues one protected record with `padding` zeros, whatever `padTo` says. */
  queuePadded(type: number, content: Uint8Array, padding: number): void {
    this.queueRecord(this.#writing!.seal(type, content, padding));
  }

  queueAlert(name: AlertName): void {
    const level = name === "close_notify" || name === "user_canceled" ? 1 : 2;
    this.queue(ContentType.alert, Uint8Array.of(level, Alert[name]));
  }

  /** Hands all that is queued to the transport as one write. */
  async flush(): Promise<void> {
    if (this.#queue.length === 0) return;
    let length = 0;
    for (const record of this.#queue) length += record.length;
    const bytes = new Uint8Array(length);
    let at = 0;
    for (const record of this.#queue.splice(0)) {
      bytes.set(record, at);
      at += record.length;
    }
    await this.#transport.write(bytes);
  }

  close(): void {
    this.#transport.close();
  }

  #padding(contentLength: number): number {
    const { padTo = 0 } = this.#options;
    if (padTo === 0) return 0;
    const padded = Math.ceil((contentLength + 1) / padTo) * padTo;
    return Math.min(padded, this.maxInnerPlaintext) - contentLength - 1;
  }

  #takeMessage(): Incoming | undefined {
    const held = this.#handshake;
    if (held.length < 4) return undefined;
    const end = 4 + ((held[1]! << 16) | (held[2]! << 8) | held[3]!);
    if (held.length < end) return undefined;
    this.#handshake = held.subarray(end);
    return { kind: "message", type: held[0]!, bytes: held.slice(0, end) };
  }

  #takeRecord(): { type: number; content: Uint8Array; isProtected: boolean } | undefined {
    const wire = this.#wire;
    if (wire.length < HEADER) return undefined;
    const type = wire[0]!;
    const length = (wire[3]! << 8) | wire[4]!;
    const isProtected = this.#reading !== undefined && type === ContentType.application_data;
    if (wire[1] !== 3) throw new TlsError("not a TLS record");
    if (length > (isProtected ? MAX_CIPHERTEXT : MAX_PLAINTEXT)) {
      throw new TlsError("record overflow");
    }
    if (wire.length < HEADER + length) return undefined;
    const header = wire.subarray(0, HEADER);
    const fragment = wire.subarray(HEADER, HEADER + length);
    this.#wire = wire.subarray(HEADER + length);
    if (!isProtected) {
      if (this.#reading !== undefined && type === ContentType.handshake) {
        throw new TlsError("unexpected record", "unprotected handshake");
      }
      if (type === ContentType.application_data) throw new TlsError("unexpected record");
      return { type, content: fragment, isProtected };
    }
    const limit = this.#options.recordSizeLimit ?? MAX_PLAINTEXT + 1;
    return { ...this.#reading!.open(header, fragment, limit), isProtected };
  }

  /** True for close_notify, false for what is to be ignored. @throws {ClientError} "received alert" */
  #isClosing(content: Uint8Array, isProtected: boolean): boolean {
    if (content.length !== 2) throw new TlsError("bad alert record");
    const description = content[1]!;
    if (description === Alert.close_notify) return true;
    if (description === Alert.user_canceled) return false;
    throw new ClientError("received alert", undefined, {
      alertReceived: alertName(description),
      alertReceivedUnder: isProtected ? this.epoch : "plaintext",
    });
  }
}

/** One direction's key and sequence number (§5.2, §5.3). */
class Direction {
  readonly #aead: Aead;
  readonly #iv: Uint8Array;
  #count = 0;

  constructor(crypto: Crypto, suite: Suite, keys: TrafficKeys) {
    this.#aead = crypto.aead(suite.aead, keys.key);
    this.#iv = keys.iv;
  }

  seal(type: number, content: Uint8Array, padding: number): Uint8Array {
    const length = content.length + 1 + padding + TAG;
    const record = new Uint8Array(HEADER + length);
    record.set([ContentType.application_data, 3, 3, length >> 8, length]);
    const inner = new Uint8Array(content.length + 1 + padding);
    inner.set(content);
    inner[content.length] = type;
    this.#aead.seal(this.#nonce(), record.slice(0, HEADER), inner, record, HEADER);
    return record;
  }

  open(header: Uint8Array, fragment: Uint8Array, limit: number) {
    if (fragment.length < TAG) throw new TlsError("bad record MAC");
    const inner = this.#aead.open(this.#nonce(), header, fragment);
    if (inner === undefined) throw new TlsError("bad record MAC");
    if (inner.length > limit) throw new TlsError("record overflow");
    let end = inner.length;
    while (end > 0 && inner[end - 1] === 0) end--;
    if (end === 0) throw new TlsError("missing content type");
    return { type: inner[end - 1]!, content: inner.slice(0, end - 1) };
  }

  #nonce(): Uint8Array {
    const nonce = this.#iv.slice();
    for (let i = 0, rest = this.#count++; rest > 0; i++, rest = Math.floor(rest / 256)) {
      nonce[11 - i]! ^= rest % 256;
    }
    return nonce;
  }
}

/** A TLSPlaintext record. */
export function plaintext(type: number, fragment: Uint8Array): Uint8Array {
  const record = new Uint8Array(HEADER + fragment.length);
  record.set([type, 3, 3, fragment.length >> 8, fragment.length]);
  record.set(fragment, HEADER);
  return record;
}

function append(a: Uint8Array, b: Uint8Array): Uint8Array {
  if (a.length === 0) return b;
  const bytes = new Uint8Array(a.length + b.length);
  bytes.set(a);
  bytes.set(b, a.length);
  return bytes;
}
