/**
 * A keyed hash of a host name: who chooses names but does not know the key cannot make them collide.
 *
 * Two multilinear hashes over pairs of bytes (Dietzfelbinger 1996; Lemire, Kaser 2014): for any two names each collides
 * for one key in 2^16, independently of the other. That is all that a table needs whose buckets are bounded when it is
 * built, and half of what a pseudo-random function costs here (18 ns for 20 bytes, HalfSipHash-1-3 35).
 *
 * @module
 */
import { MAX_NAME_LENGTH } from "./name-list.ts";

/** 64 secret bits: a leaked key lets its reader choose names that are slow to look up, no more. */
export type HashKey = readonly [k0: number, k1: number];

/** What `hashName` multiplies with, drawn from a key: random enough to be as good as chosen one by one. */
export function multipliersOf([k0, k1]: HashKey): Int32Array {
  const multipliers = new Int32Array(2 + 2 * Math.ceil(MAX_NAME_LENGTH / 2));
  let [a, b, c, d] = [k0 | 0, k1 | 0, 0x6c79_6765, 0x7465_6462];
  for (let i = -WARM_UP; i < multipliers.length; i++) {
    // sfc32 (Doty-Humphrey): passes PractRand
    const sum = (a + b + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + sum | 0;
    if (i >= 0) multipliers[i] = sum;
  }
  return multipliers;
}

/**
 * The hash of bytes[start, end) with A-Z read as a-z; some other bytes are not told apart, either. All 32 bits are good;
 * as an int32, perhaps negative. One pass, no allocation.
 */
export function hashName(
  bytes: Uint8Array,
  start: number,
  end: number,
  multipliers: Int32Array,
): number {
  let high = multipliers[0]!;
  let low = multipliers[1]!;
  let i = 2;
  let at = start;
  for (; at + 1 < end; at += 2) {
    const pair = (bytes[at]! | (bytes[at + 1]! << 8)) & FOLD;
    high = (high + Math.imul(multipliers[i]!, pair)) | 0;
    low = (low + Math.imul(multipliers[i + 1]!, pair)) | 0;
    i += 2;
  }
  if (at < end) {
    const last = bytes[at]! & FOLD;
    high = (high + Math.imul(multipliers[i]!, last)) | 0;
    low = (low + Math.imul(multipliers[i + 1]!, last)) | 0;
  }
  // Names that count up lie on a lattice: mixed, they are spread as if by chance.
  const both = (high & 0xffff_0000) | (low >>> 16);
  const mixed = Math.imul(both ^ (both >>> 15), 0x2c1b_3c6d);
  return mixed ^ (mixed >>> 13);
}

/** From the runtime's secure random source. */
export function drawHashKey(): HashKey {
  const words = globalThis.crypto.getRandomValues(new Uint32Array(2));
  return [words[0]!, words[1]!];
}

/** The bit in which a letter's cases differ goes: two bytes at once. */
const FOLD = 0xdfdf;
const WARM_UP = 16;
