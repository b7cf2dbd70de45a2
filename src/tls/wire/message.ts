/**
 * The 4-byte header that every handshake message has, and the extension block that most have.
 *
 *     struct { HandshakeType msg_type; uint24 length; opaque body[length]; } Handshake;      RFC 9846 §4
 *     struct { ExtensionType extension_type; opaque extension_data<0..2^16-1>; } Extension;  RFC 9846 §4.3
 *
 * @module
 */
import { TlsError } from "../error.ts";
import { Reader } from "./reader.ts";
import type { Writer } from "./writer.ts";

/**
 * The body of a whole message of the type expected.
 *
 * @throws {TlsError} "unexpected message"; "message too short" or "trailing bytes" where the length field is wrong
 */
export function openMessage(message: Uint8Array, type: number): Reader {
  const r = new Reader(message);
  if (r.u8() !== type) throw new TlsError("unexpected message");
  const body = r.vector24();
  r.finish("handshake message");
  return body;
}

/** Starts a message. @returns the mark that `endMessage` wants */
export function beginMessage(w: Writer, type: number): number {
  return w.u8(type).begin(3);
}

export function endMessage(w: Writer, mark: number): void {
  w.end(mark, 3);
}

/**
 * A `<0..2^16-1>` vector of extensions, which takes all that is left of `r`. In wire order; bodies are unread.
 *
 * @throws {TlsError} "duplicate extension"
 */
export function decodeExtensions(r: Reader): Map<number, Reader> {
  const extensions = new Map<number, Reader>();
  for (const block = r.vector16(); block.left > 0;) {
    const type = block.u16();
    const body = block.vector16();
    if (extensions.has(type)) throw new TlsError("duplicate extension", `${type}`);
    extensions.set(type, body);
  }
  r.finish("extensions");
  return extensions;
}

/** A `<2..n>` vector of two-byte code points, already opened, read to its end. */
export function decodeCodes(list: Reader): number[] {
  if (list.left === 0) throw new TlsError("vector too short");
  if (list.left % 2 !== 0) throw new TlsError("odd vector length");
  const codes: number[] = [];
  while (list.left > 0) codes.push(list.u16());
  return codes;
}

/** An extension with a body of two-byte code points behind a 16-bit length. */
export function encodeCodes16(w: Writer, type: number, codes: readonly number[]): void {
  const body = w.u16(type).begin(2);
  const list = w.begin(2);
  for (const code of codes) w.u16(code);
  w.end(list, 2).end(body, 2);
}
