/**
 * The same bytes as a plain Uint8Array: a Buffer's `slice` is a view, and nobody outside of here should meet one.
 *
 * A view, except for few bytes on Bun: there asking for `.buffer` moves them to memory that is counted and collected
 * apart, and a copy costs less (0.61 against 0.91 µs for an HMAC).
 *
 * @module
 */
import process from "node:process";

export function plain(buffer: Uint8Array): Uint8Array {
  return buffer.length <= COPIED_BYTES
    ? new Uint8Array(buffer)
    : new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length);
}

const COPIED_BYTES = process.versions["bun"] === undefined ? -1 : 1024;
