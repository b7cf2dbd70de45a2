/**
 * CertificateRequest (RFC 9846 §4.4.2).
 *
 *     opaque certificate_request_context<0..2^8-1>;
 *     Extension extensions<0..2^16-1>;
 *
 * @module
 */
import { TlsError } from "../error.ts";
import { ExtensionType, HandshakeType } from "./code-points.ts";
import {
  beginMessage,
  decodeCodes,
  decodeExtensions,
  encodeCodes16,
  endMessage,
  openMessage,
} from "./message.ts";
import type { Reader } from "./reader.ts";
import type { Writer } from "./writer.ts";

export interface CertificateRequestParts {
  /** What the client's CertificateVerify may use, best first. */
  readonly signatureSchemes: readonly number[];
  /** DER DistinguishedNames; none: the extension is left out. */
  readonly authorities: readonly Uint8Array[];
  /** CertificateCompressionAlgorithms that we can undo; none: the extension is left out. */
  readonly compression: readonly number[];
}

/** The context is empty, as it must be during the handshake. */
export function encodeCertificateRequest(w: Writer, parts: CertificateRequestParts): void {
  const message = beginMessage(w, HandshakeType.certificate_request);
  const extensions = w.u8(0).begin(2);
  encodeCodes16(w, ExtensionType.signature_algorithms, parts.signatureSchemes);
  if (parts.compression.length > 0) {
    const body = w.u16(ExtensionType.compress_certificate).begin(2);
    const algorithms = w.begin(1);
    for (const algorithm of parts.compression) w.u16(algorithm);
    w.end(algorithms, 1).end(body, 2);
  }
  if (parts.authorities.length > 0) {
    const body = w.u16(ExtensionType.certificate_authorities).begin(2);
    const names = w.begin(2);
    for (const authority of parts.authorities) w.opaque16(authority);
    w.end(names, 2).end(body, 2);
  }
  w.end(extensions, 2);
  endMessage(w, message);
}

export interface CertificateRequest extends CertificateRequestParts {
  readonly context: Uint8Array;
  readonly wantsOcsp: boolean;
  readonly wantsSct: boolean;
  /** In wire order, known or not. */
  readonly types: readonly number[];
}

/** @throws {TlsError} decode errors; "duplicate extension"; "missing signature_algorithms" */
export function decodeCertificateRequest(message: Uint8Array): CertificateRequest {
  const r = openMessage(message, HandshakeType.certificate_request);
  const context = r.vector8().rest();
  const extensions = decodeExtensions(r);

  const schemes = extensions.get(ExtensionType.signature_algorithms);
  if (schemes === undefined) throw new TlsError("missing signature_algorithms");
  const signatureSchemes = decodeCodes(schemes.vector16());
  schemes.finish("signature_algorithms");

  const algorithms = extensions.get(ExtensionType.compress_certificate);
  const compression = algorithms === undefined ? [] : decodeCodes(algorithms.vector8());
  algorithms?.finish("compress_certificate");

  const names = extensions.get(ExtensionType.certificate_authorities);
  return {
    context,
    signatureSchemes,
    authorities: names === undefined ? [] : decodeAuthorities(names),
    compression,
    wantsOcsp: extensions.has(ExtensionType.status_request),
    wantsSct: extensions.has(ExtensionType.signed_certificate_timestamp),
    types: [...extensions.keys()],
  };
}

/** RFC 9846 §4.3.4: `opaque DistinguishedName<1..2^16-1>; DistinguishedName authorities<3..2^16-1>;` */
function decodeAuthorities(body: Reader): Uint8Array[] {
  const names: Uint8Array[] = [];
  for (const list = body.vector16(3); list.left > 0;) names.push(list.vector16(1).rest());
  body.finish("certificate_authorities");
  return names;
}
