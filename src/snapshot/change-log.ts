/**
 * Changes of names in the order they came, which many overlays share: each sees them up to its own length, so that a
 * further change copies nothing.
 *
 * A hash table of chains, the newest change of a chain first. Whoever sees fewer passes over the newer ones.
 *
 * @module
 */
import { type HashKey, hashName, multipliersOf, otherHalf } from "./name-hash.ts";

/** No change of this key. Others are counted from 1. */
export const NO_CHANGE = 0;

export class ChangeLog {
  readonly key: HashKey;
  readonly #multipliers: Int32Array;
  /** Of each chain the newest change. */
  readonly #heads: Int32Array;
  /** For each change: both halves of its key's hash, the next older one of its chain, the index. */
  #entries = new Int32Array(64 * ENTRY);
  /** Where its key ends among them all. */
  #ends = new Int32Array(64);
  #keys = new Uint8Array(64 * 32);
  #length = 0;

  /** @param chains no fewer than changes are expected */
  constructor(key: HashKey, chains: number) {
    this.key = key;
    this.#multipliers = multipliersOf(key);
    this.#heads = new Int32Array(chains);
  }

  /** Changes that it holds, also such as later ones have overtaken. */
  get length(): number {
    return this.#length;
  }

  /** Of a key: a name, or a wildcard from its dot on. */
  hash(bytes: Uint8Array, start: number, end: number): number {
    return hashName(bytes, start, end, this.#multipliers);
  }

  /** The last one among the first `length` changes of the key that was hashed last, and that is its hash; NO_CHANGE. */
  find(hash: number, length: number): number {
    const entries = this.#entries;
    const other = otherHalf[0]!;
    let change = this.#heads[this.#chainOf(hash)]!;
    while (change !== NO_CHANGE) {
      const entry = change * ENTRY;
      if (entries[entry] === hash && entries[entry + 1] === other && change <= length) break;
      change = entries[entry + 2]!;
    }
    return change;
  }

  indexOf(change: number): number {
    return this.#entries[change * ENTRY + 3]! >>> 0;
  }

  add(keys: Uint8Array, start: number, end: number, index: number): void {
    const hash = this.hash(keys, start, end);
    const at = this.#ends[this.#length]!;
    const change = ++this.#length;
    if (change === this.#ends.length) {
      this.#ends = doubled(this.#ends);
      this.#entries = doubled(this.#entries);
    }
    if (at + end - start > this.#keys.length) {
      const keys = new Uint8Array(2 * this.#keys.length);
      keys.set(this.#keys);
      this.#keys = keys;
    }
    this.#keys.set(keys.subarray(start, end), at);
    this.#ends[change] = at + end - start;
    const chain = this.#chainOf(hash);
    const entry = change * ENTRY;
    this.#entries[entry] = hash;
    this.#entries[entry + 1] = otherHalf[0]!;
    this.#entries[entry + 2] = this.#heads[chain]!;
    this.#entries[entry + 3] = index;
    this.#heads[chain] = change;
  }

  /** Each key that the first `length` changes are of, once, with its last index. `visit` must not add to this. */
  forEach(
    length: number,
    visit: (keys: Uint8Array, start: number, end: number, index: number) => void,
  ): void {
    for (let change = 1; change <= length; change++) {
      const start = this.#ends[change - 1]!;
      const end = this.#ends[change]!;
      if (this.find(this.hash(this.#keys, start, end), length) !== change) continue;
      visit(this.#keys, start, end, this.indexOf(change));
    }
  }

  #chainOf(hash: number): number {
    return ((hash >>> 0) * (this.#heads.length / 2 ** 32)) | 0;
  }
}

const ENTRY = 4;

function doubled(words: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(2 * words.length);
  larger.set(words);
  return larger;
}
