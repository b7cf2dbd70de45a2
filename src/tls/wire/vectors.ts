/**
 * Vectors read in place, by offsets: what a ClientHello is made of. Allocates nothing, so that a hello of thousands
 * of tiny parts costs what its bytes cost.
 *
 * A range is `bytes[at, end)`; a "body" is the whole of an extension, length prefixes of its vectors included.
 *
 * @module
 */
import { TlsError } from "../error.ts";

export function u16At(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}

/**
 * `bytes[start, end)`: a copy where that is short, else a view. An array that is short itself and has never had a view
 * lies in the collector's own memory; asking for one moves it out (on Bun), which costs more than this copy.
 */
export function part(bytes: Uint8Array, start: number, end: number): Uint8Array {
  return end - start <= SHORT ? bytes.slice(start, end) : bytes.subarray(start, end);
}

const SHORT = 1024;

export function u24At(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!;
}

/** A body that is one `<min..2^8-1>` vector and nothing else. */
export function checkVector8(bytes: Uint8Array, at: number, end: number, min: number): void {
  if (end - at < 1) throw new TlsError("message too short");
  checkFill(bytes[at]!, end - at - 1, min);
}

/** A body that is one `<min..2^16-1>` vector and nothing else. */
export function checkVector16(bytes: Uint8Array, at: number, end: number, min: number): void {
  if (end - at < 2) throw new TlsError("message too short");
  checkFill(u16At(bytes, at), end - at - 2, min);
}

/** The same, of two-byte elements, one at least: `<2..2^8-2>`. */
export function checkCodes8(bytes: Uint8Array, at: number, end: number): void {
  checkVector8(bytes, at, end, 1);
  if ((end - at - 1) % 2 !== 0) throw new TlsError("odd vector length");
}

/** The same, of two-byte elements, one at least: `<2..2^16-2>`. */
export function checkCodes16(bytes: Uint8Array, at: number, end: number): void {
  checkVector16(bytes, at, end, 1);
  if ((end - at - 2) % 2 !== 0) throw new TlsError("odd vector length");
}

export function checkEmpty(at: number, end: number): void {
  if (at !== end) throw new TlsError("trailing bytes");
}

/** Past a `<min..2^8-1>` vector that starts at `at`. */
export function skipVector8(bytes: Uint8Array, at: number, end: number, min: number): number {
  if (end - at < 1) throw new TlsError("message too short");
  const length = bytes[at]!;
  if (length < min) throw new TlsError("vector too short");
  if (length > end - at - 1) throw new TlsError("message too short");
  return at + 1 + length;
}

/** Past a `<min..2^16-1>` vector that starts at `at`. */
export function skipVector16(bytes: Uint8Array, at: number, end: number, min: number): number {
  if (end - at < 2) throw new TlsError("message too short");
  const length = u16At(bytes, at);
  if (length < min) throw new TlsError("vector too short");
  if (length > end - at - 2) throw new TlsError("message too short");
  return at + 2 + length;
}

/** Whether a list of two-byte code points holds `code`. A half element at the end is not looked at. */
export function hasCode(bytes: Uint8Array, at: number, end: number, code: number): boolean {
  const high = code >>> 8;
  const low = code & 0xff;
  for (; at + 1 < end; at += 2) {
    if (bytes[at] === high && bytes[at + 1] === low) return true;
  }
  return false;
}

export function equalRanges(
  a: Uint8Array,
  aAt: number,
  aEnd: number,
  b: Uint8Array,
  bAt: number,
  bEnd: number,
): boolean {
  if (aEnd - aAt !== bEnd - bAt) return false;
  while (aAt < aEnd) {
    if (a[aAt++] !== b[bAt++]) return false;
  }
  return true;
}

/** Marks `code`. @returns false if it was marked already. */
export function mark(code: number): boolean {
  const bit = 1 << (code & 31);
  const word = marks[code >>> 5]!;
  if ((word & bit) !== 0) return false;
  marks[code >>> 5] = word | bit;
  return true;
}

/** Takes the mark of `code` away. @returns false if there was none. */
export function unmark(code: number): boolean {
  const bit = 1 << (code & 31);
  const word = marks[code >>> 5]!;
  if ((word & bit) === 0) return false;
  marks[code >>> 5] = word & ~bit;
  return true;
}

/** Whether a list of two-byte code points repeats one. Leaves no marks. */
export function hasRepeatedCode(bytes: Uint8Array, at: number, end: number): boolean {
  const start = at;
  while (at + 1 < end && mark(u16At(bytes, at))) at += 2;
  const repeated = at + 1 < end;
  unmarkCodes(bytes, start, at);
  return repeated;
}

export function unmarkCodes(bytes: Uint8Array, at: number, end: number): void {
  for (; at + 1 < end; at += 2) unmark(u16At(bytes, at));
}

function checkFill(declared: number, present: number, min: number): void {
  if (declared < min) throw new TlsError("vector too short");
  if (declared > present) throw new TlsError("message too short");
  if (declared < present) throw new TlsError("trailing bytes");
}

/**
 * One bit per code point, for finding what occurs twice. Shared by all hellos, which is safe because whoever marks
 * takes its marks away, by walking again, before it returns or throws.
 */
const marks = new Uint32Array(2048);

/** One character per byte; of a name, which has at most 255. Put together one by one it would be as many strings. */
export function latin1(bytes: Uint8Array, at: number, end: number): string {
  const codes: number[] = [];
  for (; at < end; at++) codes.push(bytes[at]!);
  return String.fromCharCode(...codes);
}
