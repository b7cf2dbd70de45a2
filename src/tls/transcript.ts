/**
 * The running hash of the handshake (RFC 9846 §4.1).
 * @module
 */
import type { Crypto, HashName, RunningHash } from "../crypto/crypto.ts";
import { HandshakeType } from "./wire/code-points.ts";

export class Transcript {
  readonly #crypto: Crypto;
  readonly #hash: HashName;
  #running: RunningHash;

  constructor(crypto: Crypto, hash: HashName) {
    this.#crypto = crypto;
    this.#hash = hash;
    this.#running = crypto.hash(hash);
  }

  /** Appends whole handshake messages, headers included, as they go over the wire. */
  update(messages: Uint8Array): void {
    this.#running.update(messages);
  }

  /** Transcript-Hash of everything so far. */
  digest(): Uint8Array {
    return this.#running.digest();
  }

  /** The hash as it would be with `more` behind; the transcript itself stays. */
  digestWith(more: Uint8Array): Uint8Array {
    const fork = this.#running.clone();
    fork.update(more);
    return fork.digest();
  }

  /** A HelloRetryRequest follows: the first ClientHello becomes `message_hash` (RFC 9846 §4.1). */
  startOver(): void {
    const first = this.#running.digest();
    this.#running = this.#crypto.hash(this.#hash);
    this.#running.update(new Uint8Array([HandshakeType.message_hash, 0, 0, first.length]));
    this.#running.update(first);
  }
}
