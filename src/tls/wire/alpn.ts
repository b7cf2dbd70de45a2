/**
 * The protocols of a ClientHello's application_layer_protocol_negotiation (RFC 7301 §3.1), whose syntax has been
 * checked, where they stand: `bytes[at, end)` is the list without its length.
 *
 *     opaque ProtocolName<1..2^8-1>;
 *
 * @module
 */
import { latin1 } from "./vectors.ts";

export function listsProtocol(bytes: Uint8Array, at: number, end: number, name: string): boolean {
  for (; at < end; at += 1 + bytes[at]!) {
    if (isProtocol(bytes, at, name)) return true;
  }
  return false;
}

/** That one, and no other beside it. */
export function listsProtocolAlone(
  bytes: Uint8Array,
  at: number,
  end: number,
  name: string,
): boolean {
  return at < end && at + 1 + bytes[at]! === end && isProtocol(bytes, at, name);
}

/** One character per byte. */
export function protocolNames(bytes: Uint8Array, at: number, end: number): string[] {
  const names: string[] = [];
  for (; at < end; at += 1 + bytes[at]!) names.push(latin1(bytes, at + 1, at + 1 + bytes[at]!));
  return names;
}

function isProtocol(bytes: Uint8Array, at: number, name: string): boolean {
  if (bytes[at] !== name.length) return false;
  for (let i = 0; i < name.length; i++) {
    if (bytes[at + 1 + i] !== name.charCodeAt(i)) return false;
  }
  return true;
}
