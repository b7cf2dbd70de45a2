/**
 * One AEAD key made ready, by name.
 *
 * @module
 */
import type { Aead, AeadName } from "./crypto.ts";
import type { Primitives } from "./primitives.ts";

export const KEY_LENGTH = {
  "aes-128-gcm": 16,
  "aes-256-gcm": 32,
  "chacha20-poly1305": 32,
} as const;

/** @throws {RangeError} a key of another length than the AEAD's */
export function makeAead(
  primitives: Pick<Primitives, "aes-gcm" | "chacha20-poly1305">,
  name: AeadName,
  key: Uint8Array,
): Aead {
  if (key.length !== KEY_LENGTH[name]) {
    throw new RangeError(`Cannot use a key of ${key.length} bytes for ${name}`);
  }
  return name === "chacha20-poly1305"
    ? primitives["chacha20-poly1305"](key)
    : primitives["aes-gcm"](key);
}
