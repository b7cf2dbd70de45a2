/**
 * A keyed hash of a host name: who chooses names but does not know the key cannot make them collide.
 *
 * HalfSipHash-1-3 (Aumasson, Bernstein), the variant that hash tables use: 32-bit words, which JavaScript has.
 *
 * @module
 */

/** 64 secret bits: a leaked key lets its reader choose names that are slow to look up, no more. */
export type HashKey = readonly [k0: number, k1: number];

/**
 * The hash of bytes[start, end) with A-Z read as a-z. All 32 bits are good; as an int32, perhaps negative.
 * One pass, no allocation. `k0`, `k1`: the key as little-endian words.
 */
export function hashName(
  bytes: Uint8Array,
  start: number,
  end: number,
  k0: number,
  k1: number,
): number {
  let v0 = k0 | 0;
  let v1 = k1 | 0;
  let v2 = k0 ^ 0x6c796765;
  let v3 = k1 ^ 0x74656462;
  const words = (end - start) >>> 2;
  let at = start;
  // words, the padded rest with the length, then three rounds without input
  for (let round = 0; round <= words + FINAL_ROUNDS; round++) {
    let word = 0;
    if (round < words) {
      word = foldWord(
        bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24),
      );
      at += 4;
    } else if (round === words) {
      if (at < end) word = bytes[at]!;
      if (at + 1 < end) word |= bytes[at + 1]! << 8;
      if (at + 2 < end) word |= bytes[at + 2]! << 16;
      word = foldWord(word) | ((end - start) << 24);
    } else if (round === words + 1) {
      v2 ^= 0xff;
    }
    v3 ^= word;
    v0 = (v0 + v1) | 0;
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    v2 = (v2 + v3) | 0;
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
    v2 = (v2 << 16) | (v2 >>> 16);
    v0 ^= word;
  }
  return v1 ^ v3;
}

/** From the runtime's secure random source. */
export function drawHashKey(): HashKey {
  const words = globalThis.crypto.getRandomValues(new Uint32Array(2));
  return [words[0]!, words[1]!];
}

/** Four bytes at once: A-Z to a-z, all others unchanged. No sum carries into the next byte. */
function foldWord(word: number): number {
  const low = word & 0x7f7f7f7f;
  const upper = ~word & 0x80808080 & ((low + 0x3f3f3f3f) ^ (low + 0x25252525));
  return word | (upper >>> 2);
}

const FINAL_ROUNDS = 3;
