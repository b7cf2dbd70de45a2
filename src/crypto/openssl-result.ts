/**
 * What OpenSSL's functions answer.
 *
 * @module
 */
import type { Pointer } from "./foreign.ts";

/** 1 is success, with most of them. */
export function done(code: number): void {
  if (code !== 1) throw new Error(FAILED);
}

export function made(pointer: Pointer | null): Pointer {
  if (pointer === null) throw new Error(FAILED);
  return pointer;
}

const FAILED = "OpenSSL failed: out of memory or of random bytes, or without what is asked of it";
