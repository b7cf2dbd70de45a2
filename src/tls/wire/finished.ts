/**
 * Finished (RFC 9846 §4.5.3): `opaque verify_data[Hash.length];`
 * @module
 */
import { HandshakeType } from "./code-points.ts";
import { beginMessage, endMessage, openMessage } from "./message.ts";
import type { Writer } from "./writer.ts";

export function encodeFinished(w: Writer, verifyData: Uint8Array): void {
  const message = beginMessage(w, HandshakeType.finished);
  w.bytes(verifyData);
  endMessage(w, message);
}

/**
 * The verify_data, a copy. Of any length: one that is not the hash's is an incorrect Finished, not a decode error.
 *
 * @throws {TlsError} "unexpected message", "message too short", "trailing bytes"
 */
export function decodeFinished(message: Uint8Array): Uint8Array {
  return message.slice(openMessage(message, HandshakeType.finished).at);
}
