/**
 * The root that is to be trusted, and how it is called in trust stores.
 * @module
 */
import { createHash } from "node:crypto";

import { certificatesFromPem } from "../x509/certificate.ts";
import { X509Error } from "../x509/error.ts";
import { encodePem } from "../x509/pem.ts";

export interface TrustRoot {
  readonly pem: string;
  /** Where the certificate lies, for programs that want a file. */
  readonly file: string;
  /** SHA-256 of the certificate, in hex. */
  readonly fingerprint: string;
  /** Its name in stores and the stem of its file name there: another root never has the same one. */
  readonly label: string;
}

/** @throws {X509Error} there is no CA certificate in `text` */
export function trustRoot(text: string, file: string): TrustRoot {
  const [certificate] = certificatesFromPem(text);
  if (certificate?.isCa !== true) throw new X509Error("it holds no CA certificate");
  const fingerprint = createHash("sha256").update(certificate.der).digest("hex");
  return {
    pem: encodePem("CERTIFICATE", certificate.der),
    file,
    fingerprint,
    label: `sotto-local-ca-${fingerprint.slice(0, 16)}`,
  };
}

/** `AB:CD:…`, as browsers and OpenSSL print it. */
export function readableFingerprint({ fingerprint }: TrustRoot): string {
  return fingerprint.toUpperCase().match(/../g)!.join(":");
}
