import type { Runtime } from "./runtime.ts";

/** The runtime that executes this. The other two are not even loaded. */
export async function thisRuntime(): Promise<Runtime> {
  if ("Bun" in globalThis) return (await import("./bun.ts")).bunRuntime();
  if ("Deno" in globalThis) return (await import("./deno.ts")).denoRuntime();
  return (await import("./node.ts")).nodeRuntime();
}
