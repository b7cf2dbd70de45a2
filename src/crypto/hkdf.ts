/**
 * HKDF-Expand (RFC 5869 §2.3) to any length. HKDF-Extract is one HMAC; so is Expand to at most one hash, which the key
 * schedule and HPKE write out themselves.
 *
 * @module
 */
import type { HashName } from "./crypto.ts";
import type { Hmac } from "./primitives.ts";

/** @throws {RangeError} more than 255 blocks */
export function hkdfExpand(
  hmac: Hmac,
  hash: HashName,
  secret: Uint8Array,
  info: Uint8Array,
  length: number,
): Uint8Array {
  const hashLength = hash === "sha256" ? 32 : 48;
  if (length > 255 * hashLength) throw new RangeError(`Cannot expand to ${length} bytes`);
  const output = new Uint8Array(length);
  // T(n) = HMAC(secret, T(n - 1) | info | n); T(0) is empty.
  const input = new Uint8Array(hashLength + info.length + 1);
  input.set(info, hashLength);
  for (let at = 0, block = 1; at < length; at += hashLength, block++) {
    input[input.length - 1] = block;
    const bytes = hmac(hash, secret, block === 1 ? input.subarray(hashLength) : input);
    output.set(bytes.subarray(0, length - at), at);
    input.set(bytes);
  }
  return output;
}
