/**
 * Certificate (RFC 9846 §4.5.1) and CompressedCertificate (RFC 8879 §4), either direction.
 *
 *     struct { opaque certificate_request_context<0..2^8-1>;
 *              CertificateEntry certificate_list<0..2^24-1>; } Certificate;
 *     struct { opaque cert_data<1..2^24-1>; Extension extensions<0..2^16-1>; } CertificateEntry;
 *     struct { CertificateCompressionAlgorithm algorithm; uint24 uncompressed_length;
 *              opaque compressed_certificate_message<1..2^24-1>; } CompressedCertificate;
 *
 * @module
 */
import { TlsError } from "../error.ts";
import { ExtensionType, HandshakeType } from "./code-points.ts";
import { beginMessage, endMessage, openMessage } from "./message.ts";
import { Reader } from "./reader.ts";
import type { Writer } from "./writer.ts";

export interface CertificateParts {
  /** DER, leaf first. Empty: a client without a certificate. */
  readonly chain: readonly Uint8Array[];
  /** DER OCSPResponse for the leaf; undefined: no status_request. */
  readonly ocspResponse: Uint8Array | undefined;
  /** SignedCertificateTimestampList with its 2-byte length; undefined: no signed_certificate_timestamp. */
  readonly scts: Uint8Array | undefined;
  /** Default empty. */
  readonly context?: Uint8Array;
}

export function encodeCertificate(w: Writer, parts: CertificateParts): void {
  const message = beginMessage(w, HandshakeType.certificate);
  const list = w.opaque8(parts.context ?? NO_CONTEXT).begin(3);
  for (const [i, certificate] of parts.chain.entries()) {
    const extensions = w.opaque24(certificate).begin(2);
    if (i === 0) encodeLeafExtensions(w, parts);
    w.end(extensions, 2);
  }
  w.end(list, 3);
  endMessage(w, message);
}

/** Views into the message. */
export interface DecodedCertificate {
  readonly context: Uint8Array;
  readonly chain: readonly Uint8Array[];
  /** Of the leaf. */
  readonly ocspResponse?: Uint8Array;
  /** Of the leaf, with the list's 2-byte length. */
  readonly scts?: Uint8Array;
}

/**
 * `requested`: which extensions the reader of this message has asked for, in its ClientHello or CertificateRequest.
 * Whether the context and an empty chain are right is for the caller to say.
 *
 * @throws {TlsError} decode errors; "too many certificates"; "bad certificate status type"; "unsolicited certificate
 * extension"; "extension not allowed here"; "repeated certificate extension"
 */
export function decodeCertificate(
  message: Uint8Array,
  limits: { readonly maxCertificateEntries: number },
  requested: { readonly ocsp: boolean; readonly sct: boolean },
): DecodedCertificate {
  const r = openMessage(message, HandshakeType.certificate);
  const context = r.vector8().rest();
  const list = r.vector24();
  r.finish("Certificate");

  const chain: Uint8Array[] = [];
  let leaf: EntryExtensions = {};
  while (list.left > 0) {
    if (chain.length === limits.maxCertificateEntries) throw new TlsError("too many certificates");
    chain.push(list.vector24(1).rest());
    const extensions = decodeEntryExtensions(list.vector16(), requested);
    if (chain.length === 1) leaf = extensions;
  }
  return { context, chain, ...leaf };
}

export function encodeCompressedCertificate(
  w: Writer,
  algorithm: number,
  uncompressedLength: number,
  data: Uint8Array,
): void {
  const message = beginMessage(w, HandshakeType.compressed_certificate);
  w.u16(algorithm).u24(uncompressedLength).opaque24(data);
  endMessage(w, message);
}

export interface CompressedCertificate {
  readonly algorithm: number;
  /** As declared: bytes of the Certificate's body, without its 4-byte header. */
  readonly uncompressedLength: number;
  readonly data: Uint8Array;
}

/** @throws {TlsError} decode errors */
export function decodeCompressedCertificate(message: Uint8Array): CompressedCertificate {
  const r = openMessage(message, HandshakeType.compressed_certificate);
  const algorithm = r.u16();
  const uncompressedLength = r.u24();
  const data = r.vector24(1).rest();
  r.finish("CompressedCertificate");
  return { algorithm, uncompressedLength, data };
}

function encodeLeafExtensions(w: Writer, parts: CertificateParts): void {
  if (parts.ocspResponse !== undefined) {
    const status = w.u16(ExtensionType.status_request).begin(2);
    w.u8(OCSP).opaque24(parts.ocspResponse).end(status, 2);
  }
  if (parts.scts !== undefined) {
    w.u16(ExtensionType.signed_certificate_timestamp).opaque16(parts.scts);
  }
}

interface EntryExtensions {
  ocspResponse?: Uint8Array;
  scts?: Uint8Array;
}

function decodeEntryExtensions(
  block: Reader,
  requested: { readonly ocsp: boolean; readonly sct: boolean },
): EntryExtensions {
  const extensions: EntryExtensions = {};
  while (block.left > 0) {
    const type = block.u16();
    const body = block.vector16();
    if (type === ExtensionType.status_request && requested.ocsp) {
      if (extensions.ocspResponse) throw new TlsError("repeated certificate extension");
      extensions.ocspResponse = decodeCertificateStatus(body);
    } else if (type === ExtensionType.signed_certificate_timestamp && requested.sct) {
      if (extensions.scts) throw new TlsError("repeated certificate extension");
      extensions.scts = decodeSctList(body);
    } else if (ONLY_IN_REQUESTS.includes(type)) {
      throw new TlsError("extension not allowed here", `${type}`);
    } else {
      throw new TlsError("unsolicited certificate extension", `${type}`);
    }
  }
  return extensions;
}

/** RFC 6066 §8: `struct { CertificateStatusType status_type; opaque OCSPResponse<1..2^24-1>; }` */
function decodeCertificateStatus(body: Reader): Uint8Array {
  if (body.u8() !== OCSP) throw new TlsError("bad certificate status type");
  const response = body.vector24(1).rest();
  body.finish("CertificateStatus");
  return response;
}

/** RFC 6962 §3.3: `opaque SerializedSCT<1..2^16-1>; SerializedSCT sct_list<1..2^16-1>;` */
function decodeSctList(body: Reader): Uint8Array {
  const whole = body.rest();
  const r = new Reader(whole);
  const list = r.vector16(1);
  while (list.left > 0) list.vector16(1);
  r.finish("SignedCertificateTimestampList");
  return whole;
}

const NO_CONTEXT = new Uint8Array(0);
const OCSP = 1;

/** RFC 9846 §4.3: a CertificateRequest may carry them, a Certificate never. */
const ONLY_IN_REQUESTS: readonly number[] = [
  ExtensionType.signature_algorithms,
  ExtensionType.signature_algorithms_cert,
  ExtensionType.certificate_authorities,
  ExtensionType.compress_certificate,
  ExtensionType.oid_filters,
];
