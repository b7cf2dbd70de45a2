/**
 * Is a response over? Looked at from outside, for streams that are passed on and not parsed.
 * @module
 */
import { Buffer } from "node:buffer";

/**
 * True if `bytes`, as one chunk of what an HTTP/1.1 server sends, are the end of a response: a whole one with its
 * Content-Length, or the last chunk of a chunked one. False where that cannot be told.
 */
export function endsResponse(bytes: Uint8Array): boolean {
  return endsWith(bytes, LAST_CHUNK) || isWholeResponse(bytes);
}

function isWholeResponse(bytes: Uint8Array): boolean {
  if (bytes[0] !== 0x48 /* H of HTTP */) return false;
  const start = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, MAX_HEAD));
  const headEnd = start.indexOf("\r\n\r\n");
  if (headEnd < 0) return false;
  const head = start.toString("latin1", 0, headEnd);
  const status = /^HTTP\/1\.[01] (\d{3})/.exec(head)?.[1];
  if (status === undefined || status.startsWith("1")) return false;
  const length = /\r\ncontent-length:[ \t]*(\d{1,15})[ \t]*(?:\r\n|$)/i.exec(head)?.[1];
  if (length !== undefined) return bytes.length === headEnd + 4 + Number(length);
  return (status === "204" || status === "304") && bytes.length === headEnd + 4;
}

function endsWith(bytes: Uint8Array, tail: Uint8Array): boolean {
  const from = bytes.length - tail.length;
  return from >= 0 && tail.every((byte, i) => bytes[from + i] === byte);
}

const LAST_CHUNK = new TextEncoder().encode("0\r\n\r\n");
const MAX_HEAD = 8192;
