/**
 * Which provider does what on which runtime. The table comes from `bench/crypto.bench.ts` and `npm run bench handshake`.
 *
 * @module
 */
import { aeadBySize } from "./aead-by-size.ts";
import { composeCrypto } from "./compose.ts";
import type { Crypto } from "./crypto.ts";
import type { NativePrimitives } from "./native.ts";
import { nativePrimitives } from "./native.ts";
import { noblePrimitives } from "./noble.ts";
import type { Primitives, Steps } from "./primitives.ts";
import type { WasmModule, WasmVariant } from "./wasm-module.ts";
import { loadWasm } from "./wasm-module.ts";
import type { WasmPrimitives } from "./wasm.ts";
import { wasmPrimitives } from "./wasm.ts";

export const PROVIDER_NAMES = ["native", "wasm", "noble"] as const;
export type ProviderName = (typeof PROVIDER_NAMES)[number];

export function isProviderName(name: string): name is ProviderName {
  return (PROVIDER_NAMES as readonly string[]).includes(name);
}

/**
 * The crypto of this runtime.
 *
 * @param runtime "bun", "deno" or "node"; by default the one this runs on
 * @param force one provider for all it has. What `native` lacks then comes from `noble`, what `wasm` lacks from `native`.
 * @param module the WebAssembly to use; undefined: none
 * @throws {RangeError} `wasm` is forced where there is none
 */
export function chooseCrypto(
  { runtime = runtimeName(), force, module = force === "noble" ? undefined : loadWasm() }: {
    readonly runtime?: string;
    readonly force?: ProviderName;
    readonly module?: WasmModule | undefined;
  } = {},
): Crypto {
  const noble = noblePrimitives();
  if (force === "noble") return composeCrypto("noble", noble);
  const native = nativePrimitives();
  if (force === "native") return composeCrypto(nameOf(native, noble), { ...noble, ...native });
  if (module === undefined) {
    if (force === "wasm") throw new RangeError("This runtime runs no WebAssembly");
    return composeCrypto(nameOf(native, noble), { ...noble, ...native });
  }
  const wasm = wasmPrimitives(module);
  const name = `native + wasm (${module.variant})`;
  if (force === "wasm") return composeCrypto(name, { ...native, ...wasm });
  const { "chacha20-poly1305": chacha20, ...chosen } = pick(wasm, tableOf(runtime, module.variant));
  const primitives = { ...withoutSteps(wasm), ...native, ...chosen };
  const largeChaCha20 = native["chacha20-poly1305"];
  const limit = CHACHA20_LIMIT[runtime];
  return composeCrypto(name, {
    ...primitives,
    ...(chacha20 !== undefined && largeChaCha20 !== undefined && limit !== undefined
      ? { "chacha20-poly1305": aeadBySize(chacha20, largeChaCha20, limit) }
      : {}),
  });
}

/**
 * What is better in WebAssembly than native, by runtime and variant; what is native nowhere is WebAssembly too, whatever
 * stands here.
 */
const TABLE: Readonly<
  Record<string, Readonly<Record<WasmVariant, readonly (keyof WasmPrimitives)[]>>>
> = {
  bun: { wide: [], narrow: [] },
  deno: {
    wide: [
      "hash",
      "hmac",
      "schedule",
      "x25519",
      "hpkeSetup",
      "answerHybrid",
      "secp256r1",
      "secp384r1",
      "ecdsa-p256",
      "ecdsa-p384",
      "chacha20-poly1305",
    ],
    narrow: [
      "hash",
      "hmac",
      "schedule",
      "secp256r1",
      "secp384r1",
      "ecdsa-p256",
      "ecdsa-p384",
      "chacha20-poly1305",
    ],
  },
  node: {
    wide: ["schedule", "x25519", "hpkeSetup", "answerHybrid", "chacha20-poly1305"],
    narrow: ["schedule", "x25519", "hpkeSetup", "chacha20-poly1305"],
  },
};

/** Up to so many bytes a text is WebAssembly's where both have ChaCha20-Poly1305. */
const CHACHA20_LIMIT: Readonly<Record<string, number>> = { deno: 1024, node: 4096 };

function tableOf(runtime: string, variant: WasmVariant): readonly (keyof WasmPrimitives)[] {
  return TABLE[runtime]?.[variant] ?? [];
}

function pick(
  wasm: WasmPrimitives,
  names: readonly (keyof WasmPrimitives)[],
): Partial<WasmPrimitives> {
  return Object.fromEntries(names.map((name) => [name, wasm[name]])) as Partial<WasmPrimitives>;
}

/** The steps of WebAssembly rest on its own primitives: better only where the table says so. */
function withoutSteps(wasm: WasmPrimitives): Omit<WasmPrimitives, keyof Steps> {
  const { schedule: _, answerHybrid: __, hpkeSetup: ___, ...primitives } = wasm;
  return primitives;
}

function nameOf(native: NativePrimitives, noble: Primitives): string {
  return Object.keys(noble).every((name) => name in native) ? "native" : "native + noble";
}

function runtimeName(): string {
  return ["bun", "deno"].find((name) => process.versions[name] !== undefined) ?? "node";
}
