/**
 * Loaded before a server whose memory is measured: SIGUSR2 asks for a full collection, a line on standard output says
 * that it is done. The server itself knows nothing of it.
 *
 *     bun --preload ./bench/collector.ts …
 *     node --expose-gc --import ./bench/collector.ts …
 *     deno run --v8-flags=--expose-gc --preload ./bench/collector.ts …
 *
 * @module
 */
import process from "node:process";

const { Bun, gc } = globalThis as unknown as {
  readonly Bun?: { gc(full: boolean): void };
  readonly gc?: () => void;
};

process.on("SIGUSR2", () => {
  for (let i = 0; i < 3; i++) { // finalizers of the first leave more for the next
    if (Bun !== undefined) Bun.gc(true);
    else gc?.();
  }
  process.stdout.write("collected\n");
});
