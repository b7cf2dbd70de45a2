/**
 * The primitives of the WebAssembly in `wasm/`, and the steps of a handshake that it takes in one call.
 *
 * It lacks AES (twice as slow as the native ones), RSA and what only the system has. Private keys are in its memory during
 * a call alone. How its files are divided follows the crate's.
 *
 * @module
 */
import type { Primitives, Steps } from "./primitives.ts";
import { wasmChaCha20Poly1305 } from "./wasm-aead.ts";
import { wasmHash, wasmHmac } from "./wasm-hash.ts";
import { wasmAnswerHybrid, wasmKem } from "./wasm-kem.ts";
import type { WasmModule } from "./wasm-module.ts";
import { wasmNist, type WasmX25519, wasmX25519 } from "./wasm-groups.ts";
import { wasmHpkeSetup, wasmKeySchedule } from "./wasm-schedule.ts";
import { wasmEcdsa, wasmEd25519 } from "./wasm-signatures.ts";

export type WasmPrimitives =
  & Omit<Primitives, "system" | "aes-gcm" | "rsa">
  & Steps
  & { readonly x25519: WasmX25519 };

export function wasmPrimitives(module: WasmModule): WasmPrimitives {
  return {
    hash: wasmHash(module),
    hmac: wasmHmac(module),
    "chacha20-poly1305": wasmChaCha20Poly1305(module),
    x25519: wasmX25519(module),
    secp256r1: wasmNist(module, "p256"),
    secp384r1: wasmNist(module, "p384"),
    "ML-KEM-768": wasmKem(module),
    "ecdsa-p256": wasmEcdsa(module, "p256"),
    "ecdsa-p384": wasmEcdsa(module, "p384"),
    ed25519: wasmEd25519(module),
    schedule: wasmKeySchedule(module),
    answerHybrid: wasmAnswerHybrid(module),
    hpkeSetup: wasmHpkeSetup(module),
  };
}
