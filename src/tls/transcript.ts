/**
 * The hash of the handshake so far (RFC 9846 §4.1).
 *
 * A handshake is mostly over within one call or two and hashes four or five times what is a kilobyte or two: the
 * messages are laid end to end in memory that all connections share, and hashed from the start each time. That is
 * cheaper than running hashes, which are native objects to copy and collect. One that gets long, or in whose way
 * another handshake comes, goes on as a running hash.
 *
 * @module
 */
import type { Crypto, HashName, RunningHash } from "../crypto/crypto.ts";
import { HandshakeType } from "./wire/code-points.ts";

export class Transcript {
  readonly #crypto: Crypto;
  readonly #hash: HashName;
  /** The messages are `shared[0, #length)`; undefined as long as that is so. */
  #running: RunningHash | undefined;
  #length = 0;

  constructor(crypto: Crypto, hash: HashName) {
    this.#crypto = crypto;
    this.#hash = hash;
    claimShared(this);
  }

  /** Appends whole handshake messages, headers included, as they go over the wire. */
  update(messages: Uint8Array): void {
    if (this.#running === undefined && this.#length + messages.length <= SHARED_BYTES) {
      shared.set(messages, this.#length);
      this.#length += messages.length;
    } else {
      this.leaveShared().update(messages);
    }
  }

  /** Transcript-Hash of everything so far. */
  digest(): Uint8Array {
    return this.#running === undefined
      ? this.#crypto.digest(this.#hash, shared.subarray(0, this.#length))
      : this.#running.digest();
  }

  /** The hash as it would be with `more[0, end)` behind; the transcript itself stays. */
  digestWith(more: Uint8Array, end: number = more.length): Uint8Array {
    const length = this.#length + more.length;
    if (this.#running === undefined && length <= SHARED_BYTES) {
      shared.set(more, this.#length);
      return this.#crypto.digest(this.#hash, shared.subarray(0, this.#length + end));
    }
    const fork = this.leaveShared().clone();
    fork.update(more.subarray(0, end));
    return fork.digest();
  }

  /** A HelloRetryRequest follows: the first ClientHello becomes `message_hash` (RFC 9846 §4.1). */
  startOver(): void {
    const first = this.digest();
    const running = this.#crypto.hash(this.#hash);
    running.update(new Uint8Array([HandshakeType.message_hash, 0, 0, first.length]));
    running.update(first);
    this.end();
    this.#running = running;
  }

  /** Nothing more will be asked of it, so nothing need be kept. */
  end(): void {
    if (owner === this) owner = undefined;
  }

  /** Goes on as a running hash. */
  leaveShared(): RunningHash {
    if (this.#running !== undefined) return this.#running;
    this.end();
    this.#running = this.#crypto.hash(this.#hash);
    this.#running.update(shared.subarray(0, this.#length));
    return this.#running;
  }
}

function claimShared(transcript: Transcript): void {
  owner?.leaveShared();
  owner = transcript;
}

/** Hashing the same bytes again is the cheaper way up to about here. */
const SHARED_BYTES = 4096;
const shared = new Uint8Array(SHARED_BYTES);
/** Whose messages are in `shared`. */
let owner: Transcript | undefined;
