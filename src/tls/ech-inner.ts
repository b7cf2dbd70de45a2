/**
 * From EncodedClientHelloInner to ClientHelloInner (RFC 9849 §5.1, Appendix A; ech-server §4).
 *
 *     encoded   version random 00 suites compression | extensions … fd00 … extensions | zeros
 *     outer     version random id suites compression | A … D … B … fe0d … C
 *     inner   h version random id suites compression | extensions …  A B C … extensions
 *
 * Both lists are walked once, with one cursor each, so the work is linear in what the client sent.
 *
 * @module
 */
import { TlsError } from "./error.ts";
import type { ClientHello } from "./wire/client-hello.ts";
import { ExtensionType, HandshakeType } from "./wire/code-points.ts";
import { checkCodes8, part, skipVector16, skipVector8, u16At } from "./wire/vectors.ts";

/**
 * Rebuilds the hello that the client meant: the whole handshake message with its header, in memory of its own, just as
 * it goes into the transcript. Its fields are not looked at; that is the parser's turn.
 *
 * @param encoded what the payload of `outer` opened to
 * @throws {TlsError} "message too short", "inner hello with a session id", "inner hello not zero-padded";
 *   of ech_outer_extensions: "vector too short", "odd vector length", "trailing bytes", "bad ech_outer_extensions"
 */
export function rebuildClientHelloInner(encoded: Uint8Array, outer: ClientHello): Uint8Array {
  const end = encoded.length;
  if (end <= VERSION_AND_RANDOM) throw new TlsError("message too short");
  if (encoded[VERSION_AND_RANDOM] !== 0) throw new TlsError("inner hello with a session id");
  const suitesAt = VERSION_AND_RANDOM + 1;
  const lengthAt = skipVector8(encoded, skipVector16(encoded, suitesAt, end, 0), end, 0);
  const extensionsAt = lengthAt + 2;
  const extensionsEnd = skipVector16(encoded, lengthAt, end, 0);
  if (!isZero(encoded, extensionsEnd)) throw new TlsError("inner hello not zero-padded");
  const referenceAt = findOuterExtensions(encoded, extensionsAt, extensionsEnd);
  if (outer.has(ExtensionType.ech_outer_extensions)) {
    throw new TlsError("bad ech_outer_extensions", "in the outer hello");
  }

  // The inner hello is always shorter: its parts are the plaintext, which is shorter than the payload, and bytes of
  // the outer hello from outside the payload, each at most once.
  const hello = new Uint8Array(outer.bytes.length);
  let at = HEADER;
  at = append(hello, at, encoded, 0, VERSION_AND_RANDOM);
  at = append(hello, at, outer.bytes, outer.sessionIdAt - 1, outer.sessionIdEnd); // its length byte as well
  at = append(hello, at, encoded, suitesAt, lengthAt);
  const innerLengthAt = at;
  at += 2;
  if (referenceAt < 0) {
    at = append(hello, at, encoded, extensionsAt, extensionsEnd);
  } else {
    const referenceEnd = extensionEnd(encoded, referenceAt);
    at = append(hello, at, encoded, extensionsAt, referenceAt);
    at = appendReferenced(hello, at, encoded.subarray(referenceAt + 4, referenceEnd), outer);
    at = append(hello, at, encoded, referenceEnd, extensionsEnd);
  }
  setU16(hello, innerLengthAt, at - innerLengthAt - 2);
  hello[0] = HandshakeType.client_hello;
  hello[1] = (at - HEADER) >>> 16;
  setU16(hello, 2, (at - HEADER) & 0xffff);
  return part(hello, 0, at);
}

/** Where the one ech_outer_extensions of a list starts; -1 if there is none. */
function findOuterExtensions(bytes: Uint8Array, at: number, end: number): number {
  let found = -1;
  while (at < end) {
    const next = extensionEnd(bytes, at); // beyond `end` as well where less than a header is left
    if (next > end) throw new TlsError("message too short");
    if (u16At(bytes, at) === ExtensionType.ech_outer_extensions) {
      if (found >= 0) throw new TlsError("bad ech_outer_extensions", "twice");
      found = at;
    }
    at = next;
  }
  return found;
}

/**
 * Appends the extensions of `outer` that the list names.
 *
 * The cursor into the outer's list only goes forward, so a type that is absent, named twice or out of order is one and
 * the same thing: the end is reached. `outer`'s list has been parsed, its lengths are good.
 *
 *     ExtensionType OuterExtensions<2..254>;
 */
function appendReferenced(
  hello: Uint8Array,
  at: number,
  body: Uint8Array,
  outer: ClientHello,
): number {
  checkCodes8(body, 0, body.length);
  const { bytes, extensionsEnd } = outer;
  let cursor = outer.extensionsAt;
  for (let i = 1; i < body.length; i += 2) {
    const type = u16At(body, i);
    if (type === ExtensionType.encrypted_client_hello) {
      throw new TlsError("bad ech_outer_extensions", "names encrypted_client_hello");
    }
    while (cursor < extensionsEnd && u16At(bytes, cursor) !== type) {
      cursor = extensionEnd(bytes, cursor);
    }
    if (cursor >= extensionsEnd) throw new TlsError("bad ech_outer_extensions", "not there");
    const end = extensionEnd(bytes, cursor);
    at = append(hello, at, bytes, cursor, end);
    cursor = end;
  }
  return at;
}

function append(
  to: Uint8Array,
  at: number,
  from: Uint8Array,
  start: number,
  end: number,
): number {
  to.set(from.subarray(start, end), at);
  return at + end - start;
}

/** True if only zeros stand from `at` on. */
function isZero(bytes: Uint8Array, at: number): boolean {
  for (let i = at; i < bytes.length; i++) {
    if (bytes[i] !== 0) return false;
  }
  return true;
}

/** The end of the extension whose type stands at `at`. */
function extensionEnd(bytes: Uint8Array, at: number): number {
  return at + 4 + u16At(bytes, at + 2);
}

function setU16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

const HEADER = 4;
const VERSION_AND_RANDOM = 2 + 32;
