/**
 * NewSessionTicket (RFC 9846 §4.7.1).
 *
 *     uint32 ticket_lifetime;
 *     uint32 ticket_age_add;
 *     opaque ticket_nonce<0..255>;
 *     opaque ticket<1..2^16-1>;
 *     Extension extensions<0..2^16-1>;
 *
 * @module
 */
import { ExtensionType, HandshakeType } from "./code-points.ts";
import { beginMessage, decodeExtensions, endMessage, openMessage } from "./message.ts";
import type { Writer } from "./writer.ts";

export interface NewSessionTicketParts {
  /** At most 604800. */
  readonly lifetimeSeconds: number;
  /** Fresh and random for every ticket. */
  readonly ageAdd: number;
  /** Unique in the connection. */
  readonly nonce: Uint8Array;
  readonly ticket: Uint8Array;
  /** Type of an empty extension that clients must ignore (RFC 8701). */
  readonly grease?: number;
}

export function encodeNewSessionTicket(w: Writer, parts: NewSessionTicketParts): void {
  const message = beginMessage(w, HandshakeType.new_session_ticket);
  w.u32(parts.lifetimeSeconds).u32(parts.ageAdd).opaque8(parts.nonce).opaque16(parts.ticket);
  const extensions = w.begin(2);
  if (parts.grease !== undefined) w.u16(parts.grease).u16(0);
  w.end(extensions, 2);
  endMessage(w, message);
}

/** Views into the message. */
export interface NewSessionTicket {
  readonly lifetimeSeconds: number;
  readonly ageAdd: number;
  readonly nonce: Uint8Array;
  readonly ticket: Uint8Array;
  /** From early_data: how many bytes of 0-RTT the server takes. */
  readonly maxEarlyDataSize?: number;
  /** Of the extensions, in wire order, known or not. */
  readonly types: readonly number[];
}

/** @throws {TlsError} decode errors; "duplicate extension" */
export function decodeNewSessionTicket(message: Uint8Array): NewSessionTicket {
  const r = openMessage(message, HandshakeType.new_session_ticket);
  const lifetimeSeconds = r.u32();
  const ageAdd = r.u32();
  const nonce = r.vector8().rest();
  const ticket = r.vector16(1).rest();
  const extensions = decodeExtensions(r);
  const types = [...extensions.keys()];
  const parts = { lifetimeSeconds, ageAdd, nonce, ticket, types };

  const earlyData = extensions.get(ExtensionType.early_data);
  if (earlyData === undefined) return parts;
  const maxEarlyDataSize = earlyData.u32();
  earlyData.finish("early_data");
  return { ...parts, maxEarlyDataSize };
}
