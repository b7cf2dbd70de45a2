/**
 * CertificateVerify (RFC 9846 §4.5.2): `SignatureScheme algorithm; opaque signature<0..2^16-1>;`
 * @module
 */
import { HandshakeType } from "./code-points.ts";
import { beginMessage, endMessage, openMessage } from "./message.ts";
import type { Writer } from "./writer.ts";

export function encodeCertificateVerify(w: Writer, scheme: number, signature: Uint8Array): void {
  const message = beginMessage(w, HandshakeType.certificate_verify);
  w.u16(scheme).opaque16(signature);
  endMessage(w, message);
}

export interface CertificateVerify {
  readonly scheme: number;
  /** A view into the message. */
  readonly signature: Uint8Array;
}

/** @throws {TlsError} decode errors */
export function decodeCertificateVerify(message: Uint8Array): CertificateVerify {
  const r = openMessage(message, HandshakeType.certificate_verify);
  const scheme = r.u16();
  const signature = r.vector16().rest();
  r.finish("CertificateVerify");
  return { scheme, signature };
}

/** What the signature is over: 64 spaces, a label that names the side, a zero byte, Transcript-Hash(CH..Certificate). */
export function certificateVerifyContent(
  signer: "server" | "client",
  transcriptHash: Uint8Array,
): Uint8Array {
  const prefix = PREFIXES[signer];
  const content = new Uint8Array(prefix.length + transcriptHash.length);
  content.set(prefix);
  content.set(transcriptHash, prefix.length);
  return content;
}

const PREFIXES = { server: prefixOf("server"), client: prefixOf("client") };

function prefixOf(signer: string): Uint8Array {
  const text = `${" ".repeat(64)}TLS 1.3, ${signer} CertificateVerify\0`;
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}
