/**
 * Two providers of one AEAD: the first has the cheaper call, the second the cheaper byte.
 *
 * @module
 */
import type { Aead } from "./crypto.ts";

type MakeAead = (key: Uint8Array) => Aead;

/** Texts of up to `limit` bytes go to `small`. */
export function aeadBySize(small: MakeAead, large: MakeAead, limit: number): MakeAead {
  return (key) => new AeadBySize(small(key), large, key, limit);
}

class AeadBySize implements Aead {
  readonly #small: Aead;
  readonly #makeLarge: MakeAead;
  readonly #limit: number;
  #key: Uint8Array | undefined;
  #large: Aead | undefined;

  constructor(small: Aead, makeLarge: MakeAead, key: Uint8Array, limit: number) {
    this.#small = small;
    this.#makeLarge = makeLarge;
    this.#key = new Uint8Array(key);
    this.#limit = limit;
  }

  seal(
    nonce: Uint8Array,
    aad: Uint8Array,
    plaintext: Uint8Array,
    out: Uint8Array,
    at: number,
  ): number {
    return this.#for(plaintext.length).seal(nonce, aad, plaintext, out, at);
  }

  open(nonce: Uint8Array, aad: Uint8Array, ciphertext: Uint8Array): Uint8Array | undefined {
    return this.#for(ciphertext.length).open(nonce, aad, ciphertext);
  }

  /** The second one is made when a text first wants it: many connections never do. */
  #for(length: number): Aead {
    if (length <= this.#limit) return this.#small;
    if (this.#large === undefined) {
      this.#large = this.#makeLarge(this.#key!);
      this.#key = undefined;
    }
    return this.#large;
  }
}
