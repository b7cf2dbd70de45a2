/**
 * What one turn decrypts for one socket, put together: a chunk from the client may hold thirty records, and a write for
 * each would cost more than the copy.
 *
 * One memory serves the process, because a turn ends with `flush` before another one begins.
 *
 * @module
 */
import { SEGMENT_BYTES } from "./piece.ts";

export interface Gatherer {
  /** Writes what was gathered for it (`takeGathered`), if anything was. */
  flush(): void;
}

/** Not what is short, and most likely all that comes (a request); nor what somebody has put together already. */
export function isToGather(length: number): boolean {
  return length >= SHORTEST_GATHERED && length <= LONGEST_GATHERED;
}

/**
 * Adds `bytes[start, end)`, of a length that `isToGather`, to what is gathered for `owner`; what does not fit any more is
 * flushed first, so that afterwards there may be something that waits *and* something gathered behind it.
 */
export function gather(owner: Gatherer, bytes: Uint8Array, start: number, end: number): void {
  if (current !== owner || length + end - start > GATHERED.length) {
    current?.flush();
    current = owner;
    length = 0;
  }
  GATHERED.set(bytes.subarray(start, end), length);
  length += end - start;
}

/** How much of `GATHERED` is `owner`'s; its to use until the next call of `gather`. */
export function takeGathered(owner: Gatherer): number {
  if (current !== owner) return 0;
  current = undefined;
  return length;
}

const SHORTEST_GATHERED = 4 * 1024;
/** A record's content. */
const LONGEST_GATHERED = 16 * 1024;
export const GATHERED: Uint8Array = new Uint8Array(SEGMENT_BYTES);
let length = 0;
let current: Gatherer | undefined;
