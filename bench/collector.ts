/**
 * Loaded before a server whose memory is measured: SIGUSR2 asks for a full collection, SIGWINCH for one that gives
 * back what is empty too, a line on standard output says that it is done. The server itself knows nothing of it.
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
  readonly gc?: (options?: { readonly type: "major"; readonly flavor: "last-resort" }) => void;
};

process.on("SIGUSR2", () => collect(false));
process.on("SIGWINCH", () => collect(true));

function collect(givesBack: boolean): void {
  for (let i = 0; i < 3; i++) { // finalizers of the first leave more for the next
    if (Bun !== undefined) Bun.gc(true);
    else if (givesBack) gc?.({ type: "major", flavor: "last-resort" });
    else gc?.();
  }
  process.stdout.write("collected\n");
}
