/**
 * The WebAssembly of `wasm/`, loaded once per process: `wide` where the runtime has wide arithmetic (Bun; Deno with a
 * flag), else `narrow`.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import { type GrowingMemory, WasmMemory } from "./wasm-memory.ts";

export type WasmVariant = "wide" | "narrow";

export interface WasmModule {
  readonly variant: WasmVariant;
  readonly memory: WasmMemory;
  readonly functions: WasmFunctions;
}

/** Undefined where the runtime runs neither variant. @throws {Error} its file cannot be read */
export function loadWasm(): WasmModule | undefined {
  if (!isLoaded) {
    const variant = variants()[0];
    loaded = variant && loadWasmVariant(variant);
    isLoaded = true;
  }
  return loaded;
}

let isLoaded = false;
let loaded: WasmModule | undefined;

/** What we use of the global. */
interface WebAssemblyGlobal {
  validate(bytes: Uint8Array): boolean;
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: unknown };
}

const { WebAssembly } = globalThis as { readonly WebAssembly?: WebAssemblyGlobal };

/** Those that this runtime runs, the faster one first. */
export function variants(): readonly WasmVariant[] {
  if (WebAssembly === undefined || !WebAssembly.validate(NARROW_PROBE)) return [];
  return WebAssembly.validate(WIDE_PROBE) ? ["wide", "narrow"] : ["narrow"];
}

/**
 * A module with memory of its own. Reading, compiling and starting it is synchronous and takes some milliseconds.
 *
 * @throws {RangeError} the runtime has no WebAssembly
 */
export function loadWasmVariant(variant: WasmVariant): WasmModule {
  if (WebAssembly === undefined) throw new RangeError("This runtime has no WebAssembly");
  const file = new URL(`../../wasm/${variant}.wasm`, import.meta.url);
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(readFileSync(file)));
  const functions = exports as WasmFunctions & {
    readonly memory: GrowingMemory;
    readonly __heap_base: { readonly value: number };
  };
  const memory = new WasmMemory(functions.memory, functions.__heap_base.value);
  return { variant, memory, functions };
}

/** (func (param i64 i64) (result i64 i64) local.get 0 local.get 1 i64.mul_wide_u) */
const WIDE_PROBE = Buffer.from(
  "0061736d0100000001080160027e7e027e7e030201000a0a01080020002001fc160b",
  "hex",
);
/** (func (param v128) (result v128) local.get 0) */
const NARROW_PROBE = Buffer.from("0061736d0100000001060160017b017b030201000a0601040020000b", "hex");

/** What an export answers where it can fail (`code.rs`). */
export const OK = 0;
export const BAD_KEY = -2;

/** An offset into the module's memory. */
type At = number;

/** The exports, as `wasm/src` has them, file by file. */
export interface WasmFunctions extends HashFunctions, NistFunctions {
  schedule_handshake(
    hashLength: number,
    keyLength: number,
    input: At,
    secretLength: number,
    out: At,
  ): void;
  schedule_application(hashLength: number, keyLength: number, input: At, out: At): void;
  x25519_public(privateKey: At, publicKey: At): void;
  x25519_agree(privateKey: At, peer: At, secret: At): number;
  x25519_answer(privateKey: At, peer: At, publicKey: At, secret: At): number;
  ml_kem_768_generate(seed: At, encapsulationKey: At, decapsulationKey: At): void;
  ml_kem_768_encapsulate(encapsulationKey: At, m: At, ciphertext: At, secret: At): number;
  ml_kem_768_decapsulate(decapsulationKey: At, ciphertext: At, secret: At): void;
  x25519_ml_kem_768_answer(privateKey: At, m: At, peer: At, share: At, secret: At): number;
  hpke_x25519_setup(
    privateKey: At,
    publicKey: At,
    enc: At,
    aead: number,
    keyLength: number,
    context: At,
    out: At,
  ): number;
  chacha20_poly1305_seal(
    key: At,
    nonce: At,
    aad: At,
    aadLength: number,
    text: At,
    length: number,
  ): number;
  chacha20_poly1305_open(
    key: At,
    nonce: At,
    aad: At,
    aadLength: number,
    text: At,
    length: number,
  ): number;
  ed25519_sign(seed: At, text: At, length: number, signature: At): void;
  ed25519_verify(publicKey: At, text: At, length: number, signature: At): number;
}

type HashFunctions =
  & Record<"sha256" | "sha384", (text: At, length: number, out: At) => void>
  & Record<"sha256_state_length" | "sha384_state_length", () => number>
  & Record<"sha256_start" | "sha384_start", (state: At) => void>
  & Record<"sha256_update" | "sha384_update", (state: At, text: At, length: number) => number>
  & Record<"sha256_digest" | "sha384_digest", (state: At, out: At) => number>
  & Record<
    "hmac_sha256" | "hmac_sha384",
    (key: At, keyLength: number, text: At, length: number, out: At) => void
  >;

type NistFunctions =
  & Record<"p256_public" | "p384_public", (privateKey: At, publicKey: At) => number>
  & Record<"p256_agree" | "p384_agree", (privateKey: At, peer: At, secret: At) => number>
  & Record<
    "p256_answer" | "p384_answer",
    (privateKey: At, peer: At, publicKey: At, secret: At) => number
  >
  & Record<
    "p256_sign" | "p384_sign",
    (privateKey: At, entropy: At, text: At, length: number, signature: At) => number
  >
  & Record<
    "p256_verify" | "p384_verify",
    (publicKey: At, text: At, length: number, signature: At, signatureLength: number) => number
  >;
