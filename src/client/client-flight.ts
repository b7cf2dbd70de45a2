/**
 * The client's second flight: Certificate and CertificateVerify if asked, Finished (RFC 9846 §4.5).
 * @module
 */
import type { RunningHash, Suite } from "../crypto/crypto.ts";
import { schemeCode } from "../tls/suites.ts";
import { encodeCertificate, encodeCompressedCertificate } from "../tls/wire/certificate.ts";
import {
  certificateVerifyContent,
  encodeCertificateVerify,
} from "../tls/wire/certificate-verify.ts";
import { ContentType } from "../tls/wire/code-points.ts";
import { encodeFinished } from "../tls/wire/finished.ts";
import { Writer } from "../tls/wire/writer.ts";
import { compress } from "./compression.ts";
import type { ClientCertificate, ClientOptions } from "./options.ts";
import type { ClientRecords } from "./records.ts";
import type { CertificateRequest } from "./server-flight.ts";

export interface ClientFlightParts {
  readonly options: ClientOptions;
  readonly suite: Suite;
  /** CH..server Finished; every message is added. */
  readonly transcript: RunningHash;
  readonly finishedKey: Uint8Array;
  readonly request: CertificateRequest | undefined;
  /** Undefined: an empty Certificate answers a request. */
  readonly certificate: ClientCertificate | undefined;
}

/** Queues the flight; the caller flushes. */
export function sendClientFlight(records: ClientRecords, parts: ClientFlightParts): void {
  const { crypto } = parts.options;
  if (parts.request !== undefined) sendCertificate(records, parts, parts.request);
  const verifyData = crypto.schedule.finished(
    parts.suite.hash,
    parts.finishedKey,
    parts.transcript.digest(),
  );
  send(records, parts, (w) => encodeFinished(w, verifyData));
}

function sendCertificate(
  records: ClientRecords,
  parts: ClientFlightParts,
  request: CertificateRequest,
): void {
  const { crypto } = parts.options;
  const { certificate } = parts;
  const key = certificate === undefined ? undefined : crypto.signingKey(certificate.keyPem);
  const scheme = key?.schemes.find((name) => request.signatureSchemes.includes(schemeCode(name)));
  if (certificate === undefined || key === undefined || scheme === undefined) {
    send(
      records,
      parts,
      (w) => encodeCertificate(w, { chain: [], ocspResponse: undefined, scts: undefined }),
    );
    return;
  }
  send(records, parts, (w) => {
    encodeCertificate(w, { chain: certificate.chain, ocspResponse: undefined, scts: undefined });
    const { compression } = certificate;
    if (compression === undefined || !request.compression.includes(compression)) return;
    const body = w.copy(4);
    w.reset();
    encodeCompressedCertificate(w, compression, body.length, compress(compression, body));
  });
  const content = certificateVerifyContent("client", parts.transcript.digest());
  const signature = key.sign(scheme, content);
  send(records, parts, (w) => encodeCertificateVerify(w, schemeCode(scheme), signature));
}

function send(records: ClientRecords, parts: ClientFlightParts, encode: (w: Writer) => void): void {
  const w = new Writer(1024);
  encode(w);
  const message = w.copy();
  const said = parts.options.hooks?.beforeSend?.(message, message[0]!) ?? message;
  for (const part of Array.isArray(said) ? said : [said]) {
    parts.transcript.update(part);
    records.queue(ContentType.handshake, part);
  }
}
