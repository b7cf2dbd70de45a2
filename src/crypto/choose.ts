/**
 * Which provider does what on which runtime. The table comes from `bench/crypto.bench.ts`.
 *
 * @module
 */
import { composeCrypto } from "./compose.ts";
import type { Crypto } from "./crypto.ts";
import type { NativePrimitives } from "./native.ts";
import { nativePrimitives } from "./native.ts";
import { noblePrimitives } from "./noble.ts";
import type { Primitives } from "./primitives.ts";

export type ProviderName = "native" | "noble";

/**
 * The crypto of this runtime.
 *
 * @param runtime "bun", "deno" or "node"; by default the one this runs on
 * @param force one provider for all it has; what `native` lacks still comes from `noble`
 */
export function chooseCrypto(
  { runtime = runtimeName(), force }: {
    readonly runtime?: string;
    readonly force?: ProviderName;
  } = {},
): Crypto {
  const noble = noblePrimitives();
  if (force === "noble") return composeCrypto("noble", noble);
  const native = nativePrimitives();
  const exceptions = force === "native" ? undefined : EXCEPTIONS[runtime]?.(native, noble);
  const isNative = exceptions === undefined && Object.keys(noble).every((name) => name in native);
  const primitives = { ...noble, ...native, ...exceptions };
  return composeCrypto(isNative ? "native" : "native + noble", primitives);
}

/**
 * Native wherever the runtime has it, except here, where noble is faster. Its signing is blinded and of a fixed sequence
 * of operations, as far as JavaScript has that. µs, native / noble:
 *
 *     Bun 1.4    nothing; P-384 sign is a tie (487 / 461). Not native: ChaCha20-Poly1305, ML-KEM-768
 *     Deno 2.9   P-256 sign 572 / 282, P-384 sign 1431 / 444 (verify 568 / 939, 1382 / 1912). Not native: ML-KEM-768
 *     Node 24    nothing
 */
const EXCEPTIONS: Readonly<
  Record<string, (native: NativePrimitives, noble: Primitives) => Partial<Primitives>>
> = {
  deno: (native, noble) => ({
    "ecdsa-p256": { ...native["ecdsa-p256"], signer: noble["ecdsa-p256"].signer },
    "ecdsa-p384": { ...native["ecdsa-p384"], signer: noble["ecdsa-p384"].signer },
  }),
};

function runtimeName(): string {
  return ["bun", "deno"].find((name) => process.versions[name] !== undefined) ?? "node";
}
