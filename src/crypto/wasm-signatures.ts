/**
 * ECDSA and Ed25519 in WebAssembly. A signer keeps its private key as bytes out here and puts it in for each signature.
 *
 * @module
 */
import type { P256Numbers } from "./crypto.ts";
import { jwkBytes } from "./jwk.ts";
import type { Signatures } from "./signing-key.ts";
import type { WasmModule } from "./wasm-module.ts";
import { OK } from "./wasm-module.ts";

/** The hash is the one that TLS 1.3 has for the curve. */
export function wasmEcdsa({ functions, memory }: WasmModule, curve: "p256" | "p384"): Signatures {
  const length = curve === "p256" ? 32 : 48;
  const pointLength = 2 * length + 1;
  const sign = functions[`${curve}_sign`];
  const verify = functions[`${curve}_verify`];
  const publicOf = functions[`${curve}_public`];
  const { start } = memory;

  /** @param point must be the key's, where it is given */
  function signerOf(privateKey: Uint8Array, point?: Uint8Array): ReturnType<Signatures["signer"]> {
    const entropyAt = start + length;
    const signatureAt = entropyAt + ENTROPY_LENGTH;
    const textAt = signatureAt + DER_ROOM;
    // Checks the key, and builds the curve's table: up to 50 ms, once.
    memory.bytes.set(privateKey, start);
    const code = publicOf(start, textAt);
    const isPoint = point === undefined ||
      Buffer.compare(memory.bytes.subarray(textAt, textAt + pointLength), point) === 0;
    memory.wipe(textAt + pointLength);
    if (code !== OK || privateKey.length !== length) {
      throw new TypeError(`Cannot sign with a private key outside [1, n)`);
    }
    if (!isPoint) throw new TypeError("Cannot sign with a private key that is another point's");
    return (_scheme, content) => {
      memory.reserve(textAt + content.length - start);
      memory.bytes.set(privateKey, start);
      memory.random(entropyAt, ENTROPY_LENGTH);
      memory.bytes.set(content, textAt);
      const signatureLength = sign(start, entropyAt, textAt, content.length, signatureAt);
      const signature = memory.read(signatureAt, Math.max(signatureLength, 0));
      memory.wipe(textAt + content.length);
      return signature;
    };
  }

  return {
    signer: (key) => signerOf(jwkBytes(key, "d")),
    ...(curve === "p256" &&
      { rawSigner: ({ scalar, point }: P256Numbers) => signerOf(scalar.slice(), point) }),
    verify(key, _scheme, content, signature) {
      const textAt = start + pointLength;
      const signatureAt = textAt + content.length;
      memory.reserve(signatureAt + signature.length - start);
      const { bytes } = memory;
      bytes[start] = 0x04;
      bytes.set(jwkBytes(key, "x"), start + 1);
      bytes.set(jwkBytes(key, "y"), start + 1 + length);
      bytes.set(content, textAt);
      bytes.set(signature, signatureAt);
      const code = verify(start, textAt, content.length, signatureAt, signature.length);
      memory.wipe(signatureAt + signature.length);
      return code === OK;
    },
  };
}

export function wasmEd25519({ functions, memory }: WasmModule): Signatures {
  const { start } = memory;
  const signatureAt = start + 32;
  const textAt = signatureAt + 64;

  return {
    signer(key) {
      const seed = jwkBytes(key, "d");
      return (_scheme, content) => {
        memory.reserve(textAt + content.length - start);
        memory.bytes.set(seed, start);
        memory.bytes.set(content, textAt);
        functions.ed25519_sign(start, textAt, content.length, signatureAt);
        const signature = memory.read(signatureAt, 64);
        memory.wipe(textAt + content.length);
        return signature;
      };
    },
    verify(key, _scheme, content, signature) {
      if (signature.length !== 64) return false;
      memory.reserve(textAt + content.length - start);
      memory.bytes.set(jwkBytes(key, "x"), start);
      memory.bytes.set(signature, signatureAt);
      memory.bytes.set(content, textAt);
      const code = functions.ed25519_verify(start, textAt, content.length, signatureAt);
      memory.wipe(textAt + content.length);
      return code === OK;
    },
  };
}

const ENTROPY_LENGTH = 32;
/** The longest DER signature, of P-384. */
const DER_ROOM = 104;
