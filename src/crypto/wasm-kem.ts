/**
 * ML-KEM-768 in WebAssembly, and the server's half of X25519MLKEM768 in one call.
 *
 * @module
 */
import type { SharedKey } from "./crypto.ts";
import type { DecapsulationKey, Kem } from "./primitives.ts";
import type { WasmModule } from "./wasm-module.ts";
import { OK } from "./wasm-module.ts";

const ENCAPSULATION_KEY_LENGTH = 1184;
const DECAPSULATION_KEY_LENGTH = 2400;
const CIPHERTEXT_LENGTH = 1088;
const SEED_LENGTH = 64;

export function wasmKem({ functions, memory }: WasmModule): Kem {
  const { start } = memory;

  function encapsulate(encapsulationKey: Uint8Array, m: Uint8Array | undefined) {
    const mAt = start + ENCAPSULATION_KEY_LENGTH;
    const ciphertextAt = mAt + 32;
    const secretAt = ciphertextAt + CIPHERTEXT_LENGTH;
    memory.bytes.set(encapsulationKey, start);
    if (m === undefined) memory.random(mAt, 32);
    else memory.bytes.set(m, mAt);
    const code = functions.ml_kem_768_encapsulate(start, mAt, ciphertextAt, secretAt);
    const encapsulation = code === OK
      ? {
        ciphertext: memory.read(ciphertextAt, CIPHERTEXT_LENGTH),
        secret: memory.read(secretAt, 32),
      }
      : undefined;
    memory.wipe(secretAt + 32);
    return encapsulation;
  }

  /** Of the seed in the area. */
  function decapsulationKey(): DecapsulationKey {
    const publicAt = start + SEED_LENGTH;
    const privateAt = publicAt + ENCAPSULATION_KEY_LENGTH;
    functions.ml_kem_768_generate(start, publicAt, privateAt);
    const encapsulationKey = memory.read(publicAt, ENCAPSULATION_KEY_LENGTH);
    const key = memory.read(privateAt, DECAPSULATION_KEY_LENGTH);
    memory.wipe(privateAt + DECAPSULATION_KEY_LENGTH);
    return { encapsulationKey, decapsulate: (ciphertext) => decapsulate(key, ciphertext) };
  }

  function decapsulate(key: Uint8Array, ciphertext: Uint8Array): Uint8Array {
    checkLength("a ciphertext", ciphertext, CIPHERTEXT_LENGTH);
    const ciphertextAt = start + DECAPSULATION_KEY_LENGTH;
    const secretAt = ciphertextAt + CIPHERTEXT_LENGTH;
    memory.bytes.set(key, start);
    memory.bytes.set(ciphertext, ciphertextAt);
    functions.ml_kem_768_decapsulate(start, ciphertextAt, secretAt);
    const secret = memory.read(secretAt, 32);
    memory.wipe(secretAt + 32);
    return secret;
  }

  return {
    encapsulate(encapsulationKey, m) {
      checkLength("an encapsulation key", encapsulationKey, ENCAPSULATION_KEY_LENGTH);
      if (m !== undefined) checkLength("randomness", m, 32);
      const encapsulation = encapsulate(encapsulationKey, m);
      if (encapsulation === undefined) {
        throw new RangeError("Cannot use an ML-KEM-768 encapsulation key that is not reduced");
      }
      return encapsulation;
    },
    fresh() {
      memory.random(start, SEED_LENGTH);
      return decapsulationKey();
    },
    from(seed) {
      checkLength("a seed", seed, SEED_LENGTH);
      memory.bytes.set(seed, start);
      return decapsulationKey();
    },
  };
}

function checkLength(what: string, { length }: Uint8Array, expected: number): void {
  if (length !== expected) {
    throw new RangeError(`Cannot use ${what} of ${length} bytes for ML-KEM-768`);
  }
}

const CLIENT_SHARE_LENGTH = ENCAPSULATION_KEY_LENGTH + 32;
const SERVER_SHARE_LENGTH = CIPHERTEXT_LENGTH + 32;

export function wasmAnswerHybrid(
  { functions, memory }: WasmModule,
): (peerShare: Uint8Array) => SharedKey | undefined {
  const privateAt = memory.start;
  const mAt = privateAt + 32;
  const peerAt = mAt + 32;
  const shareAt = peerAt + CLIENT_SHARE_LENGTH;
  const secretAt = shareAt + SERVER_SHARE_LENGTH;

  return (peerShare) => {
    if (peerShare.length !== CLIENT_SHARE_LENGTH) return undefined;
    memory.random(privateAt, 32 + 32);
    memory.bytes.set(peerShare, peerAt);
    const code = functions.x25519_ml_kem_768_answer(privateAt, mAt, peerAt, shareAt, secretAt);
    const answer = code === OK
      ? {
        share: memory.read(shareAt, SERVER_SHARE_LENGTH),
        secret: memory.read(secretAt, 32 + 32),
      }
      : undefined;
    memory.wipe(secretAt + 32 + 32);
    return answer;
  };
}
