/**
 * A ClientHello as a client writes it: fields, extensions in order, bytes.
 *
 * Nothing here judges: whatever the fields say is encoded, so that a test can say anything.
 *
 * @module
 */
import { HandshakeType, LEGACY_VERSION } from "../tls/wire/code-points.ts";
import { Writer } from "../tls/wire/writer.ts";
import type { Extension } from "./extensions.ts";

/** RFC 9846 §4.2.2, in its order. */
export interface HelloFields {
  readonly legacyVersion: number;
  readonly random: Uint8Array;
  readonly sessionId: Uint8Array;
  readonly cipherSuites: readonly number[];
  readonly compressionMethods: readonly number[];
  /** Undefined: the block is left out altogether, length and all. */
  readonly extensions: readonly Extension[] | undefined;
}

export const PLAIN_FIELDS = {
  legacyVersion: LEGACY_VERSION,
  compressionMethods: [0],
} as const;

/** The whole handshake message, with its 4-byte header. */
export function encodeClientHello(fields: HelloFields): Uint8Array {
  const w = new Writer(1024);
  w.u8(HandshakeType.client_hello).vector24(() => writeClientHelloBody(w, fields));
  return w.copy();
}

/** The ClientHello structure alone: what ECH encodes and authenticates. */
export function encodeClientHelloBody(fields: HelloFields): Uint8Array {
  const w = new Writer(1024);
  writeClientHelloBody(w, fields);
  return w.copy();
}

function writeClientHelloBody(w: Writer, fields: HelloFields): void {
  const { extensions } = fields;
  w.u16(fields.legacyVersion).bytes(fields.random);
  w.vector8(() => void w.bytes(fields.sessionId));
  w.vector16(() => fields.cipherSuites.forEach((suite) => w.u16(suite)));
  w.vector8(() => fields.compressionMethods.forEach((method) => w.u8(method)));
  if (extensions === undefined) return;
  w.vector16(() => {
    for (const [type, body] of extensions) w.u16(type).vector16(() => void w.bytes(body));
  });
}

/** The body of the first extension of that type. */
export function extensionBody(fields: HelloFields, type: number): Uint8Array | undefined {
  return fields.extensions?.find(([t]) => t === type)?.[1];
}

/** The same hello with `extension` where the one of its type stood; where none stood, at the end. */
export function withExtension(fields: HelloFields, extension: Extension): HelloFields {
  const old = fields.extensions ?? [];
  const extensions = old.some(([type]) => type === extension[0])
    ? old.map((other) => other[0] === extension[0] ? extension : other)
    : [...old, extension];
  return { ...fields, extensions };
}

export function withoutExtension(fields: HelloFields, ...types: number[]): HelloFields {
  return { ...fields, extensions: fields.extensions?.filter(([type]) => !types.includes(type)) };
}
