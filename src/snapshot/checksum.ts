/**
 * A checksum that is made and verified piece by piece, so that nobody waits for it: SHA-256 of each CHUNK of bytes, and
 * of all of those together with the length.
 * @module
 */
import type { Crypto, RunningHash } from "../crypto/crypto.ts";

/** 64 KiB take a twentieth of a millisecond. */
const CHUNK = 65_536;
const HASH_LENGTH = 32;
/** Length of all before the hashes (8 bytes, a little-endian double), SHA-256 of the hashes and of that. */
const FOOTER_LENGTH = 8 + HASH_LENGTH;

/** Takes bytes as they are written; what follows them is `finish`. */
export class Checksum {
  readonly #crypto: Pick<Crypto, "hash" | "digest">;
  readonly #hashes: Uint8Array[] = [];
  #current: RunningHash;
  #left = CHUNK;
  length = 0;

  constructor(crypto: Pick<Crypto, "hash" | "digest">) {
    this.#crypto = crypto;
    this.#current = crypto.hash("sha256");
  }

  update(bytes: Uint8Array): void {
    this.length += bytes.length;
    for (let at = 0; at < bytes.length;) {
      const end = Math.min(bytes.length, at + this.#left);
      this.#current.update(bytes.subarray(at, end));
      this.#left -= end - at;
      at = end;
      if (this.#left === 0) this.#next();
    }
  }

  /** Hashes and footer. */
  finish(): Uint8Array {
    if (this.#left < CHUNK) this.#next();
    const bytes = new Uint8Array(this.#hashes.length * HASH_LENGTH + FOOTER_LENGTH);
    for (const [i, hash] of this.#hashes.entries()) bytes.set(hash, i * HASH_LENGTH);
    const end = bytes.length - HASH_LENGTH;
    new DataView(bytes.buffer).setFloat64(end - 8, this.length, true);
    bytes.set(this.#crypto.digest("sha256", bytes.subarray(0, end)), end);
    return bytes;
  }

  #next(): void {
    this.#hashes.push(this.#current.digest());
    this.#current = this.#crypto.hash("sha256");
    this.#left = CHUNK;
  }
}

/** What stands before the checksum, verified in turns; undefined: it is wrong. */
export function* verifying(
  crypto: Pick<Crypto, "digest" | "equal">,
  bytes: Uint8Array,
): Generator<void, Uint8Array | undefined> {
  const footer = bytes.length - FOOTER_LENGTH;
  if (footer < 0) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const length = view.getFloat64(footer, true);
  const count = Math.ceil(length / CHUNK);
  if (!(length >= 0 && length + count * HASH_LENGTH === footer)) return undefined;
  const sums = bytes.subarray(length, bytes.length - HASH_LENGTH);
  const sum = crypto.digest("sha256", sums);
  if (!crypto.equal(sum, bytes.subarray(bytes.length - HASH_LENGTH))) return undefined;
  for (let i = 0; i < count; i++) {
    const chunk = bytes.subarray(i * CHUNK, Math.min(length, (i + 1) * CHUNK));
    const wanted = sums.subarray(i * HASH_LENGTH, (i + 1) * HASH_LENGTH);
    if (!crypto.equal(crypto.digest("sha256", chunk), wanted)) return undefined;
    yield;
  }
  return bytes.subarray(0, length);
}
