/**
 * What a site proves itself with: a chain, the schemes of its key, and its Certificate messages, built once.
 * @module
 */
import type { ServerConfig } from "./config.ts";
import { encodeCertificate, encodeCompressedCertificate } from "./wire/certificate.ts";
import type { ClientHello } from "./wire/client-hello.ts";
import { Writer } from "./wire/writer.ts";

export interface CredentialParts {
  /** For logs and for whoever signs elsewhere. */
  readonly id: string;
  /** DER, leaf first. */
  readonly chain: readonly Uint8Array[];
  /** SignatureScheme code points that the key can make, best first. */
  readonly schemes: readonly number[];
  /** Called as a method. Undefined: the key is slow or elsewhere, the world is asked. */
  readonly sign: ((scheme: number, content: Uint8Array) => Uint8Array) | undefined;
  /** OCSPResponse, DER (RFC 6066 §8). */
  readonly ocspResponse?: Uint8Array;
  /** SignedCertificateTimestampList with its own length (RFC 6962 §3.3). */
  readonly scts?: Uint8Array;
  readonly notAfterMs: number;
}

/** Immutable but for its cache: a new OCSP response makes a new credential. */
export class ServerCredential implements CredentialParts {
  readonly id: string;
  readonly chain: readonly Uint8Array[];
  readonly schemes: readonly number[];
  readonly sign: ((scheme: number, content: Uint8Array) => Uint8Array) | undefined;
  readonly ocspResponse?: Uint8Array;
  readonly scts?: Uint8Array;
  readonly notAfterMs: number;
  /** What nearly every client gets: the whole message without extensions, not compressed. */
  #usual: Uint8Array | undefined;
  /** The others by `messageKey`; at most one for each combination that a client can ask for. */
  #messages: Map<number, Uint8Array> | undefined;

  /** @throws {RangeError} an empty chain, or no scheme */
  constructor(parts: CredentialParts) {
    if (parts.chain.length === 0) throw new RangeError(`Cannot use ${parts.id}: chain is empty`);
    if (parts.schemes.length === 0) throw new RangeError(`Cannot use ${parts.id}: no scheme`);
    this.id = parts.id;
    this.chain = parts.chain;
    this.schemes = parts.schemes;
    this.sign = parts.sign;
    if (parts.ocspResponse !== undefined) this.ocspResponse = parts.ocspResponse;
    if (parts.scts !== undefined) this.scts = parts.scts;
    this.notAfterMs = parts.notAfterMs;
  }

  /** The first scheme of ours that the hello lists; undefined: this credential does not fit (RFC 9846 §4.3.3). */
  schemeFor(hello: ClientHello): number | undefined {
    for (const scheme of this.schemes) {
      if (hello.offersSignatureScheme(scheme)) return scheme;
    }
    return undefined;
  }

  /**
   * Certificate (RFC 9846 §4.5.1) or, where a compression is offered that makes it smaller, CompressedCertificate
   * (RFC 8879 §4): the whole message. Shared by all connections: not to be written to.
   */
  certificateMessage(hello: ClientHello, compress: ServerConfig["compress"]): Uint8Array {
    const ocsp = this.ocspResponse !== undefined && hello.wantsOcsp;
    const scts = this.scts !== undefined && hello.wantsSct;
    let algorithm = NO_COMPRESSION;
    for (const ours of compress.keys()) {
      if (hello.offersCertificateCompression(ours)) {
        algorithm = ours;
        break;
      }
    }
    if (algorithm === NO_COMPRESSION) return this.#plain(ocsp, scts);
    const messages = this.#messages ??= new Map();
    const key = messageKey(algorithm, ocsp, scts);
    let message = messages.get(key);
    if (message === undefined) {
      message = compressed(this.#plain(ocsp, scts), algorithm, compress.get(algorithm)!);
      messages.set(key, message);
    }
    return message;
  }

  #plain(ocsp: boolean, scts: boolean): Uint8Array {
    if (!ocsp && !scts) return this.#usual ??= this.#encode(undefined, undefined);
    const messages = this.#messages ??= new Map();
    const key = messageKey(NO_COMPRESSION, ocsp, scts);
    let message = messages.get(key);
    if (message === undefined) {
      message = this.#encode(ocsp ? this.ocspResponse : undefined, scts ? this.scts : undefined);
      messages.set(key, message);
    }
    return message;
  }

  #encode(ocspResponse: Uint8Array | undefined, scts: Uint8Array | undefined): Uint8Array {
    const w = SCRATCH.reset();
    encodeCertificate(w, { chain: this.chain, ocspResponse, scts });
    return w.copy();
  }
}

/** The message in its compressed form, or as it is where that is not smaller. */
function compressed(
  message: Uint8Array,
  algorithm: number,
  compress: (certificateBody: Uint8Array) => Uint8Array,
): Uint8Array {
  const body = message.subarray(HEADER_LENGTH);
  const w = new Writer(2048);
  encodeCompressedCertificate(w, algorithm, body.length, compress(body));
  return w.length < message.length ? w.copy() : message;
}

function messageKey(algorithm: number, ocsp: boolean, scts: boolean): number {
  return (algorithm << 2) | (ocsp ? 2 : 0) | (scts ? 1 : 0);
}

const HEADER_LENGTH = 4;
/** A message is copied out before another one is written. */
const SCRATCH = new Writer(4096);
/** No CertificateCompressionAlgorithm has this number (RFC 8879 §7.3 reserves it). */
const NO_COMPRESSION = 0;
