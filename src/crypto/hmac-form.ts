/**
 * HMAC of a hash that writes into memory it is given, in the form that leaves nothing behind: the key schedule does about
 * two dozen per handshake.
 *
 * @module
 */
import type { HashName } from "./crypto.ts";
import { smallArray } from "./small-array.ts";

/** A hash of 32 or 48 bytes. @returns `into` */
export interface OneShot {
  hash(input: Uint8Array, into: Uint8Array): Uint8Array;
}

/**
 * RFC 2104: H(K ⊕ opad, H(K ⊕ ipad, text)), in memory that is reused: nothing here waits or calls back, and what is secret
 * is wiped from it. Keys are secrets of the schedule, as long as a hash or shorter, so the rest of both pads never changes:
 *
 *     #inner   K ⊕ ipad │ 0x36 … │ text           #outer   K ⊕ opad │ 0x5c … │ inner hash
 *              a hash's    block                           a hash's    block
 */
export class HmacForm {
  readonly #form: OneShot;
  readonly #length: number;
  readonly #block: number;
  readonly #inner: Uint8Array;
  readonly #outer: Uint8Array;
  /** Of `#outer`. */
  readonly #innerHash: Uint8Array;
  /** What is secret in both, in words: the quickest way to wipe so little. */
  readonly #secrets: readonly [Uint32Array, Uint32Array, Uint32Array];
  /** `#inner` up to the end of a text of so many bytes: made once for each length, of which the schedule has few. */
  readonly #inputs: (Uint8Array | undefined)[];

  constructor(form: OneShot, hash: HashName) {
    const block = BLOCK_LENGTH[hash];
    const length = HASH_LENGTH[hash];
    this.#form = form;
    this.#length = length;
    this.#block = block;
    this.#inner = new Uint8Array(block + MAX_TEXT).fill(0x36, length, block);
    this.#outer = new Uint8Array(block + length).fill(0x5c, length, block);
    this.#innerHash = this.#outer.subarray(block);
    this.#secrets = [
      new Uint32Array(this.#inner.buffer, 0, length / 4),
      new Uint32Array(this.#outer.buffer, 0, length / 4),
      new Uint32Array(this.#outer.buffer, block, length / 4),
    ];
    this.#inputs = Array.from({ length: MAX_TEXT + 1 }, () => undefined);
  }

  mac(key: Uint8Array, text: Uint8Array): Uint8Array {
    const length = this.#length;
    if (key.length > length || text.length > MAX_TEXT) return this.#macOfLong(key, text);
    const inner = this.#inner;
    const outer = this.#outer;
    for (let i = 0; i < length; i++) {
      const byte = i < key.length ? key[i]! : 0;
      inner[i] = byte ^ 0x36;
      outer[i] = byte ^ 0x5c;
    }
    const end = this.#block + text.length;
    inner.set(text, this.#block);
    this.#form.hash(this.#inputs[text.length] ??= inner.subarray(0, end), this.#innerHash);
    const mac = smallArray(length);
    this.#form.hash(outer, mac);
    inner.fill(0, this.#block, end);
    const [innerKey, outerKey, innerHash] = this.#secrets;
    for (let i = 0; i < innerKey.length; i++) innerKey[i] = outerKey[i] = innerHash[i] = 0;
    return mac;
  }

  #macOfLong(key: Uint8Array, text: Uint8Array): Uint8Array {
    const block = this.#block;
    const inner = new Uint8Array(block + text.length).fill(0x36, 0, block);
    const outer = new Uint8Array(block + this.#length).fill(0x5c, 0, block);
    const short = key.length > block ? this.#form.hash(key, new Uint8Array(this.#length)) : key;
    for (let i = 0; i < short.length; i++) {
      inner[i]! ^= short[i]!;
      outer[i]! ^= short[i]!;
    }
    inner.set(text, block);
    this.#form.hash(inner, outer.subarray(block));
    const mac = new Uint8Array(this.#length);
    this.#form.hash(outer, mac);
    inner.fill(0);
    outer.fill(0);
    return mac;
  }
}

const BLOCK_LENGTH = { sha256: 64, sha384: 128 } as const;
export const HASH_LENGTH = { sha256: 32, sha384: 48 } as const;
/** Longer texts than the schedule's and HPKE's are rare. */
const MAX_TEXT = 512;
