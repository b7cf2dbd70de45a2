/**
 * Bun's collector, told of memory that it would notice late.
 *
 * Buffers are counted by their size only once it looks, so it looks rarely, and a look at 100 MB of young garbage holds
 * the thread for 6 to 9 ms, at a tenth of that for 1 to 4. Whoever leaves much says so, here, and the collector looks
 * every so many bytes, for young garbage only. Deno and Node look often enough by themselves: there this does nothing.
 *
 * At once, by bun:jsc: `Bun.gc(false)` asks a thread of the collector's for the same, which takes twice as long.
 *
 * @module
 */
import process from "node:process";

/**
 * More often costs more than it saves; where it is less often, the collector begins by itself, and what it finds goes
 * back to the system and has to be asked for again.
 */
const NUDGE_BYTES = 16 * 1024 * 1024;

/** Undefined elsewhere than on Bun. */
const jsc = process.versions["bun"] === undefined
  ? undefined
  : process.getBuiltinModule("bun:jsc") as { edenGC(): number };
let sinceNudge = 0;

/**
 * So many bytes are garbage now, or will soon be; fewer than none: they are of use again.
 * @returns whether the collector has looked
 */
export function leave(bytes: number): boolean {
  if (jsc === undefined) return false;
  sinceNudge = Math.max(0, sinceNudge + bytes); // what comes back was perhaps counted before the last look
  if (sinceNudge < NUDGE_BYTES) return false;
  sinceNudge = 0;
  jsc.edenGC();
  return true;
}
