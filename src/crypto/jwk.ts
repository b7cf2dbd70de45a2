/**
 * The raw numbers of a key, for providers that want them.
 *
 * @module
 */
import type { KeyObject } from "node:crypto";

export function jwkBytes(key: KeyObject, member: "d" | "x" | "y"): Uint8Array {
  return new Uint8Array(Buffer.from(key.export({ format: "jwk" })[member]!, "base64url"));
}
