/**
 * What names are known by: 64 bits of a keyed hash. Who chooses names but does not know the key cannot have two taken for
 * one, nor make them collide in a table.
 *
 * Four multilinear hashes over pairs of bytes (Lemire, Kaser 2014, MULTILINEAR-HM; the first 16 of its 17 bits): for any
 * two names each is the same for one key in 2^16, independently of the others, so that all four are for one in 2^64. No
 * pseudo-random function is needed where nobody is shown a hash, and it would cost more (20 bytes: 30 ns; HalfSipHash-1-3,
 * with as many bits, 40).
 *
 * @module
 */
import { MAX_NAME_LENGTH } from "./name-list.ts";

/** 64 secret bits: a leaked key lets its reader choose names that are slow to look up or taken for one, no more. */
export type HashKey = readonly [k0: number, k1: number];

/** Of the hash that was made last. */
export const otherHalf = new Int32Array(1);

/** What `hashName` multiplies with, drawn from a key: random enough to be as good as chosen one by one. */
export function multipliersOf([k0, k1]: HashKey): Int32Array {
  const multipliers = new Int32Array(ROWS * (FIRST_PAIR + MAX_PAIRS));
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
 * The hash of bytes[start, end) with A-Z read as a-z. One pass, no allocation.
 *
 * @param end at most MAX_NAME_LENGTH bytes behind `start`
 * @returns one half, never 0; as an int32, perhaps negative. The other is in `otherHalf` until the next name is hashed
 */
export function hashName(
  bytes: Uint8Array,
  start: number,
  end: number,
  multipliers: Int32Array,
): number {
  const length = end - start;
  let a = (multipliers[0]! + Math.imul(multipliers[4]!, length)) | 0;
  let b = (multipliers[1]! + Math.imul(multipliers[5]!, length)) | 0;
  let c = (multipliers[2]! + Math.imul(multipliers[6]!, length)) | 0;
  let d = (multipliers[3]! + Math.imul(multipliers[7]!, length)) | 0;
  let i = ROWS * FIRST_PAIR;
  let at = start;
  for (; at + 3 < end; at += 4) {
    const four = lowerCase(
      bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24),
    );
    const one = four & 0xffff;
    const other = four >>> 16;
    a = (a + Math.imul((multipliers[i]! + one) | 0, (multipliers[i + 1]! + other) | 0)) | 0;
    b = (b + Math.imul((multipliers[i + 2]! + one) | 0, (multipliers[i + 3]! + other) | 0)) | 0;
    c = (c + Math.imul((multipliers[i + 4]! + one) | 0, (multipliers[i + 5]! + other) | 0)) | 0;
    d = (d + Math.imul((multipliers[i + 6]! + one) | 0, (multipliers[i + 7]! + other) | 0)) | 0;
    i += 8;
  }
  // The last one to three by themselves: in one loop, with a branch, the whole takes up to twice as long on Bun.
  if (at < end) {
    let last = bytes[at]!;
    if (at + 1 < end) last |= bytes[at + 1]! << 8;
    if (at + 2 < end) last |= bytes[at + 2]! << 16;
    last = lowerCase(last);
    const one = last & 0xffff;
    const other = last >>> 16;
    a = (a + Math.imul((multipliers[i]! + one) | 0, (multipliers[i + 1]! + other) | 0)) | 0;
    b = (b + Math.imul((multipliers[i + 2]! + one) | 0, (multipliers[i + 3]! + other) | 0)) | 0;
    c = (c + Math.imul((multipliers[i + 4]! + one) | 0, (multipliers[i + 5]! + other) | 0)) | 0;
    d = (d + Math.imul((multipliers[i + 6]! + one) | 0, (multipliers[i + 7]! + other) | 0)) | 0;
  }
  otherHalf[0] = (c & 0xffff_0000) | (d >>> 16);
  // Names that count up lie on a lattice: mixed, they are spread as if by chance.
  const both = (a & 0xffff_0000) | (b >>> 16);
  const mixed = Math.imul(both ^ (both >>> 15), 0x2c1b_3c6d);
  return (mixed ^ (mixed >>> 13)) || 1;
}

/** From the runtime's secure random source. */
export function drawHashKey(): HashKey {
  const words = globalThis.crypto.getRandomValues(new Uint32Array(2));
  return [words[0]!, words[1]!];
}

/** Four bytes at once: those from A to Z get the bit in which cases differ. */
function lowerCase(four: number): number {
  const low = four & 0x7f7f_7f7f;
  const fromA = (low + 0x3f3f_3f3f) | 0;
  const aboveZ = (low + 0x2525_2525) | 0;
  return four | ((fromA & ~aboveZ & ~four & TOP_BITS) >>> 2);
}

const TOP_BITS = 0x8080_8080 | 0;
const ROWS = 4;
/** Before it come what a row begins with, and what it multiplies the length with. */
const FIRST_PAIR = 2;
const MAX_PAIRS = 2 * Math.ceil(MAX_NAME_LENGTH / 4);
const WARM_UP = 16;
