/**
 * KeyUpdate (RFC 9846 §4.7.3): `enum { update_not_requested(0), update_requested(1) } request_update;`
 * @module
 */
import { TlsError } from "../error.ts";
import { HandshakeType } from "./code-points.ts";
import { beginMessage, endMessage, openMessage } from "./message.ts";
import type { Writer } from "./writer.ts";

export function encodeKeyUpdate(w: Writer, requestUpdate: boolean): void {
  const message = beginMessage(w, HandshakeType.key_update);
  w.u8(requestUpdate ? 1 : 0);
  endMessage(w, message);
}

/** Whether the peer wants one back. @throws {TlsError} "bad KeyUpdate" (neither 0 nor 1), decode errors */
export function decodeKeyUpdate(message: Uint8Array): boolean {
  const r = openMessage(message, HandshakeType.key_update);
  const requestUpdate = r.u8();
  r.finish("KeyUpdate");
  if (requestUpdate > 1) throw new TlsError("bad KeyUpdate");
  return requestUpdate === 1;
}
