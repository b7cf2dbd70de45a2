/**
 * DNS names as bytes, in place.
 * @module
 */

/**
 * Whether `bytes[at, end)` is a host name that can be looked up: labels of letters, digits, hyphens and underscores,
 * 1 to 63 bytes each, 253 in all, no trailing dot, and not an IPv4 address in any spelling.
 */
export function isHostName(bytes: Uint8Array, at: number, end: number): boolean {
  if (end - at > 253) return false;
  let label = at;
  for (let i = at; i < end; i++) {
    const byte = bytes[i]!;
    if (byte === DOT) {
      if (i === label || i - label > 63) return false;
      label = i + 1;
    } else if (!isNameByte(byte)) return false;
  }
  return label < end && end - label <= 63 && !readsAsNumber(bytes, label, end);
}

/** ech-server §11: a last label of digits only, or 0x and hex digits, makes a name read as an IPv4 address. */
function readsAsNumber(bytes: Uint8Array, at: number, end: number): boolean {
  const hex = end - at >= 2 && bytes[at] === 0x30 && (bytes[at + 1]! | 0x20) === 0x78;
  for (let i = hex ? at + 2 : at; i < end; i++) {
    const byte = bytes[i]!;
    if (isDigit(byte)) continue;
    const lower = byte | 0x20;
    if (!hex || lower < 0x61 || lower > 0x66) return false;
  }
  return true;
}

function isNameByte(byte: number): boolean {
  const lower = byte | 0x20;
  return (lower >= 0x61 && lower <= 0x7a) || isDigit(byte) || byte === HYPHEN || byte === 0x5f;
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}

/** RFC 9849 §6.1.7 (ech-server §11): what a client takes as public_name. Stricter: hyphens inside labels only, no underscore. */
export function isPublicName(name: string): boolean {
  const bytes = new Uint8Array(name.length);
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i);
    if (code > 0x7f || code === 0x5f) return false;
    if (code === HYPHEN && (isLabelEdge(name, i - 1) || isLabelEdge(name, i + 1))) return false;
    bytes[i] = code;
  }
  return isHostName(bytes, 0, bytes.length);
}

function isLabelEdge(name: string, at: number): boolean {
  return at < 0 || at >= name.length || name.charCodeAt(at) === DOT;
}

const DOT = 0x2e;
const HYPHEN = 0x2d;
