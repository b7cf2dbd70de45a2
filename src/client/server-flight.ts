/**
 * The server's encrypted flight as its client takes it: EncryptedExtensions to Finished (RFC 9846 §4.4, §4.5).
 * @module
 */
import type { RunningHash, Suite } from "../crypto/crypto.ts";
import { TlsError } from "../tls/error.ts";
import { DEFAULT_LIMITS } from "../tls/limits.ts";
import { SCHEME_NAMES } from "../tls/suites.ts";
import {
  decodeCertificate,
  decodeCompressedCertificate,
  type DecodedCertificate,
} from "../tls/wire/certificate.ts";
import { decodeCertificateRequest } from "../tls/wire/certificate-request.ts";
import {
  certificateVerifyContent,
  decodeCertificateVerify,
} from "../tls/wire/certificate-verify.ts";
import { ExtensionType, HandshakeType } from "../tls/wire/code-points.ts";
import { decodeEchConfigList } from "../tls/wire/ech-config.ts";
import {
  decodeEncryptedExtensions,
  type EncryptedExtensions,
} from "../tls/wire/encrypted-extensions.ts";
import { decodeFinished } from "../tls/wire/finished.ts";
import { chooseEchConfig } from "./ech-config.ts";
import { decompress } from "./compression.ts";
import { refuse } from "./error.ts";
import { DEFAULT_SCHEMES } from "./hello-maker.ts";
import type { ClientOptions } from "./options.ts";
import type { ClientRecords } from "./records.ts";
import { leafKey, verifyChain } from "./verify.ts";

/** "offered" until the server's first message; a connection that is established is never "rejected". */
export type EchState = "not-offered" | "grease" | "offered" | "accepted" | "rejected";

export type CertificateRequest = ReturnType<typeof decodeCertificateRequest>;

export interface ServerFlight {
  readonly extensions: EncryptedExtensions;
  readonly certificateRequest: CertificateRequest | undefined;
  /** Undefined on a resumption. */
  readonly certificate: DecodedCertificate | undefined;
  /** Algorithm of a CompressedCertificate. */
  readonly compression: number | undefined;
  readonly signatureScheme: number | undefined;
}

export interface ServerFlightParts {
  readonly options: ClientOptions;
  readonly suite: Suite;
  /** CH..SH; every message is added. */
  readonly transcript: RunningHash;
  readonly finishedKey: Uint8Array;
  readonly resumed: boolean;
  /** Extension types of the hello that counts. */
  readonly offered: readonly number[];
  readonly ech: EchState;
  /** Whose certificate it must be; undefined: anybody's. */
  readonly name: string | undefined;
  readonly nowMs: number;
}

/** @throws {TlsError|ClientError} */
export async function receiveServerFlight(
  records: ClientRecords,
  parts: ServerFlightParts,
): Promise<ServerFlight> {
  const { options, suite, transcript } = parts;
  const next = async (): Promise<{ type: number; bytes: Uint8Array }> => {
    const incoming = await records.next();
    if (incoming.kind === "message") return incoming;
    if (incoming.kind === "data") throw new TlsError("unexpected message");
    return refuse("truncated", { detail: "in the server's flight" });
  };
  let message = await next();
  const extensions = decodeEncryptedExtensions(message.bytes);
  checkExtensions(extensions, parts);
  if (extensions.recordSizeLimit !== undefined) {
    records.maxInnerPlaintext = Math.min(extensions.recordSizeLimit, records.maxInnerPlaintext);
  }
  transcript.update(message.bytes);
  message = await next();

  let certificateRequest: CertificateRequest | undefined;
  let certificate: DecodedCertificate | undefined;
  let compression: number | undefined;
  let signatureScheme: number | undefined;
  if (!parts.resumed) {
    if (message.type === HandshakeType.certificate_request) {
      certificateRequest = decodeCertificateRequest(message.bytes);
      transcript.update(message.bytes);
      message = await next();
    }
    const plain = uncompressed(message, options);
    compression = plain.algorithm;
    certificate = decodeCertificate(plain.message, DEFAULT_LIMITS, {
      ocsp: options.ocsp === true,
      sct: options.scts === true,
    });
    const spki = checkCertificate(certificate, parts);
    transcript.update(message.bytes);
    message = await next();
    signatureScheme = checkCertificateVerify(message.bytes, spki, parts);
    transcript.update(message.bytes);
    message = await next();
  }

  const expected = options.crypto.schedule.finished(
    suite.hash,
    parts.finishedKey,
    transcript.digest(),
  );
  if (!options.crypto.equal(decodeFinished(message.bytes), expected)) {
    throw new TlsError("incorrect Finished");
  }
  transcript.update(message.bytes);
  return { extensions, certificateRequest, certificate, compression, signatureScheme };
}

/**
 * The handshake is complete under the public name and ECH was not accepted: says so, with what may be tried next
 * (RFC 9849 §6.1.6).
 *
 * @throws {ClientError} always: "ECH rejected"
 */
export function endRejectedEch(flight: ServerFlight): never {
  const { retryConfigs } = flight.extensions;
  const isUsable = retryConfigs !== undefined && chooseEchConfig(retryConfigs) !== undefined;
  refuse(
    "ECH rejected",
    isUsable
      ? { retryConfigs: retryConfigs.slice(), echVerdict: "replaced" }
      : { echVerdict: "off" },
  );
}

function checkExtensions(extensions: EncryptedExtensions, parts: ServerFlightParts): void {
  for (const type of extensions.types) {
    if (type === ExtensionType.encrypted_client_hello && parts.ech === "accepted") {
      refuse("ECH extension after acceptance");
    }
    if (!parts.offered.includes(type)) refuse("unsolicited extension", { detail: `${type}` });
    if (NOT_HERE.includes(type)) throw new TlsError("extension not allowed here", `${type}`);
  }
  if (extensions.retryConfigs !== undefined) {
    try {
      decodeEchConfigList(extensions.retryConfigs);
    } catch (cause) {
      refuse("bad retry_configs", { cause });
    }
  }
  const { alpn } = parts.ech === "rejected" && typeof parts.options.ech === "object"
    ? { alpn: parts.options.ech.outerAlpn }
    : parts.options;
  if (extensions.alpn !== undefined && !alpn?.includes(extensions.alpn)) {
    refuse("unoffered application protocol");
  }
  if (extensions.earlyData) refuse("early data accepted");
}

/** Extensions of a ClientHello that are answered elsewhere, or never. */
const NOT_HERE: readonly number[] = [
  ExtensionType.status_request,
  ExtensionType.signature_algorithms,
  ExtensionType.signed_certificate_timestamp,
  ExtensionType.compress_certificate,
  ExtensionType.pre_shared_key,
  ExtensionType.supported_versions,
  ExtensionType.cookie,
  ExtensionType.psk_key_exchange_modes,
  ExtensionType.key_share,
  ExtensionType.ech_outer_extensions,
];

function uncompressed(
  message: { type: number; bytes: Uint8Array },
  options: ClientOptions,
): { message: Uint8Array; algorithm: number | undefined } {
  if (message.type !== HandshakeType.compressed_certificate) {
    return { message: message.bytes, algorithm: undefined };
  }
  const { algorithm, uncompressedLength, data } = decodeCompressedCertificate(message.bytes);
  if (!options.compression?.includes(algorithm)) {
    throw new TlsError("unoffered certificate compression");
  }
  if (uncompressedLength > DEFAULT_LIMITS.maxCertificateMessage) {
    throw new TlsError("bad compressed certificate");
  }
  const body = decompress(algorithm, data, uncompressedLength);
  const whole = new Uint8Array(4 + body.length);
  whole.set([HandshakeType.certificate, body.length >> 16, body.length >> 8, body.length]);
  whole.set(body, 4);
  return { message: whole, algorithm };
}

/** @returns the leaf's SubjectPublicKeyInfo */
function checkCertificate(certificate: DecodedCertificate, parts: ServerFlightParts): Uint8Array {
  if (certificate.chain.length === 0) refuse("server without a certificate");
  if (certificate.context.length > 0) throw new TlsError("bad certificate_request_context");
  const spki = leafKey(certificate.chain[0]!);
  const { roots } = parts.options;
  if (roots !== undefined) {
    verifyChain(certificate.chain, { roots, name: parts.name, nowMs: parts.nowMs });
  }
  return spki;
}

function checkCertificateVerify(
  message: Uint8Array,
  spki: Uint8Array,
  parts: ServerFlightParts,
): number {
  const { scheme, signature } = decodeCertificateVerify(message);
  const offered = parts.options.signatureSchemes ?? DEFAULT_SCHEMES;
  const name = SCHEME_NAMES.get(scheme);
  if (name === undefined || !offered.includes(scheme)) {
    throw new TlsError("unoffered signature scheme");
  }
  const content = certificateVerifyContent("server", parts.transcript.digest());
  if (!parts.options.crypto.verify(name, spki, content, signature)) {
    throw new TlsError("incorrect CertificateVerify");
  }
  return scheme;
}
