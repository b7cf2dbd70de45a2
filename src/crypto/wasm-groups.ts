/**
 * Key exchange in WebAssembly: X25519, P-256, P-384.
 *
 * @module
 */
import type { KeyPair } from "./crypto.ts";
import type { DiffieHellman } from "./primitives.ts";
import type { WasmModule } from "./wasm-module.ts";
import { BAD_KEY, OK } from "./wasm-module.ts";

export interface WasmX25519 extends DiffieHellman {
  /** Of a private key of 32 bytes. */
  readonly shareOf: (privateKey: Uint8Array) => Uint8Array;
}

export function wasmX25519({ functions, memory }: WasmModule): WasmX25519 {
  const privateAt = memory.start;
  const peerAt = privateAt + 32;
  const shareAt = peerAt + 32;
  const secretAt = shareAt + 32;
  const end = secretAt + 32;

  function agree(privateKey: Uint8Array, peerShare: Uint8Array): Uint8Array | undefined {
    if (peerShare.length !== 32) return undefined;
    memory.bytes.set(privateKey, privateAt);
    memory.bytes.set(peerShare, peerAt);
    const code = functions.x25519_agree(privateAt, peerAt, secretAt);
    const secret = code === OK ? memory.read(secretAt, 32) : undefined;
    memory.wipe(end);
    return secret;
  }

  /** Of the private key in the area. */
  function keyPair(): KeyPair {
    const privateKey = memory.read(privateAt, 32);
    functions.x25519_public(privateAt, shareAt);
    const share = memory.read(shareAt, 32);
    memory.wipe(end);
    return { share, agree: (peerShare) => agree(privateKey, peerShare) };
  }

  return {
    answer(peerShare) {
      if (peerShare.length !== 32) return undefined;
      memory.random(privateAt, 32);
      memory.bytes.set(peerShare, peerAt);
      const code = functions.x25519_answer(privateAt, peerAt, shareAt, secretAt);
      const answer = code === OK
        ? { share: memory.read(shareAt, 32), secret: memory.read(secretAt, 32) }
        : undefined;
      memory.wipe(end);
      return answer;
    },
    fresh() {
      memory.random(privateAt, 32);
      return keyPair();
    },
    from(bytes) {
      if (bytes.length !== 32) {
        throw new RangeError(`Cannot use an X25519 private key of ${bytes.length} bytes`);
      }
      memory.bytes.set(bytes, privateAt);
      return keyPair();
    },
    shareOf(privateKey) {
      memory.bytes.set(privateKey, privateAt);
      functions.x25519_public(privateAt, shareAt);
      const share = memory.read(shareAt, 32);
      memory.wipe(end);
      return share;
    },
  };
}

/** A P-curve. The module checks that a point is on the curve and uncompressed. */
export function wasmNist(
  { functions, memory }: WasmModule,
  curve: "p256" | "p384",
): DiffieHellman {
  const length = curve === "p256" ? 32 : 48;
  const pointLength = 2 * length + 1;
  const publicOf = functions[`${curve}_public`];
  const agreeOn = functions[`${curve}_agree`];
  const answerWith = functions[`${curve}_answer`];
  const privateAt = memory.start;
  const peerAt = privateAt + length;
  const shareAt = peerAt + pointLength;
  const secretAt = shareAt + pointLength;
  const end = secretAt + length;

  function agree(privateKey: Uint8Array, peerShare: Uint8Array): Uint8Array | undefined {
    if (peerShare.length !== pointLength) return undefined;
    memory.bytes.set(privateKey, privateAt);
    memory.bytes.set(peerShare, peerAt);
    const code = agreeOn(privateAt, peerAt, secretAt);
    const secret = code === OK ? memory.read(secretAt, length) : undefined;
    memory.wipe(end);
    return secret;
  }

  /** Of the private key in the area; undefined where it is outside [1, n). */
  function keyPair(): KeyPair | undefined {
    const privateKey = memory.read(privateAt, length);
    const code = publicOf(privateAt, shareAt);
    const share = memory.read(shareAt, pointLength);
    memory.wipe(end);
    return code === OK ? { share, agree: (peerShare) => agree(privateKey, peerShare) } : undefined;
  }

  return {
    answer(peerShare) {
      if (peerShare.length !== pointLength) return undefined;
      memory.bytes.set(peerShare, peerAt);
      let code: number;
      do {
        memory.random(privateAt, length);
        code = answerWith(privateAt, peerAt, shareAt, secretAt);
      } while (code === BAD_KEY); // once in 2^32
      const answer = code === OK
        ? { share: memory.read(shareAt, pointLength), secret: memory.read(secretAt, length) }
        : undefined;
      memory.wipe(end);
      return answer;
    },
    fresh() {
      for (;;) {
        memory.random(privateAt, length);
        const pair = keyPair();
        if (pair !== undefined) return pair;
      }
    },
    from(bytes) {
      const name = curve === "p256" ? "P-256" : "P-384";
      if (bytes.length !== length) {
        throw new RangeError(`Cannot use a ${name} private key of ${bytes.length} bytes`);
      }
      memory.bytes.set(bytes, privateAt);
      const pair = keyPair();
      if (pair === undefined) {
        throw new RangeError(`Cannot use a ${name} private key outside [1, n)`);
      }
      return pair;
    },
  };
}
