/**
 * ChaCha20-Poly1305 in WebAssembly.
 *
 * @module
 */
import type { Aead } from "./crypto.ts";
import type { WasmModule } from "./wasm-module.ts";
import { OK } from "./wasm-module.ts";

export function wasmChaCha20Poly1305({ functions, memory }: WasmModule): (key: Uint8Array) => Aead {
  const keyAt = memory.start;
  const nonceAt = keyAt + 32;
  const aadAt = nonceAt + NONCE_LENGTH;

  /** Puts everything but the text into the area; returns where that begins. */
  function put(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, length: number): number {
    if (nonce.length !== NONCE_LENGTH) {
      throw new RangeError(`Cannot use a nonce of ${nonce.length} bytes`);
    }
    const textAt = aadAt + aad.length;
    memory.reserve(textAt + length + TAG_LENGTH - memory.start);
    memory.bytes.set(key, keyAt);
    memory.bytes.set(nonce, nonceAt);
    memory.bytes.set(aad, aadAt);
    return textAt;
  }

  /** Nothing but the key: there are two of these per idle connection. */
  class ChaCha20Poly1305 implements Aead {
    readonly #key: Uint8Array;

    constructor(key: Uint8Array) {
      this.#key = new Uint8Array(key);
    }

    seal(
      nonce: Uint8Array,
      aad: Uint8Array,
      plaintext: Uint8Array,
      out: Uint8Array,
      at: number,
    ): number {
      const { length } = plaintext;
      const textAt = put(this.#key, nonce, aad, length);
      const textEnd = textAt + length + TAG_LENGTH;
      memory.bytes.set(plaintext, textAt);
      functions.chacha20_poly1305_seal(keyAt, nonceAt, aadAt, aad.length, textAt, length);
      out.set(memory.bytes.subarray(textAt, textEnd), at);
      memory.wipe(textEnd);
      return at + length + TAG_LENGTH;
    }

    open(nonce: Uint8Array, aad: Uint8Array, ciphertext: Uint8Array): Uint8Array | undefined {
      const length = ciphertext.length - TAG_LENGTH;
      if (length < 0) return undefined;
      const textAt = put(this.#key, nonce, aad, length);
      memory.bytes.set(ciphertext, textAt);
      const code = functions.chacha20_poly1305_open(
        keyAt,
        nonceAt,
        aadAt,
        aad.length,
        textAt,
        length,
      );
      const plaintext = code === OK ? memory.read(textAt, length) : undefined;
      memory.wipe(textAt + ciphertext.length);
      return plaintext;
    }
  }

  return (key) => new ChaCha20Poly1305(key);
}

const NONCE_LENGTH = 12;
const TAG_LENGTH = 16;
