/**
 * The same bytes as a plain Uint8Array: a Buffer's `slice` is a view, and nobody outside of here should meet one.
 *
 * @module
 */
export function plain(buffer: Uint8Array): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length);
}
