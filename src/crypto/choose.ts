/**
 * Which provider does what on which runtime. The table comes from `bench/crypto.bench.ts`.
 *
 * @module
 */
import { composeCrypto } from "./compose.ts";
import type { Crypto } from "./crypto.ts";
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
  const preferred = force === "native" ? {} : pick(noble, NOBLE_ON[runtime] ?? []);
  const native = nativePrimitives();
  const primitives: Primitives = { ...noble, ...native, ...preferred };
  const isNative = Object.keys(noble).every((name) => name in native && !(name in preferred));
  return composeCrypto(isNative ? "native" : "native + noble", primitives);
}

/**
 * Native wherever it exists, except here. µs, native against noble:
 */
const NOBLE_ON: Readonly<Record<string, readonly (keyof Primitives)[]>> = {
  deno: [],
};

function pick(from: Primitives, names: readonly (keyof Primitives)[]): Partial<Primitives> {
  return Object.fromEntries(names.map((name) => [name, from[name]]));
}

function runtimeName(): string {
  return ["bun", "deno"].find((name) => process.versions[name] !== undefined) ?? "node";
}
