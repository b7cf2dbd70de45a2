/**
 * Makes X.509 certificates: the one place that knows the library for it, loaded when the first one is made.
 * @module
 */
import { Buffer } from "node:buffer";
import { createPrivateKey, randomBytes, webcrypto } from "node:crypto";
import { type Certificate, parseCertificate } from "../../x509/certificate.ts";
import { canonicalIp } from "../../x509/names.ts";
import { encodePem } from "../../x509/pem.ts";

export interface CertificateWithKey {
  readonly certificate: Certificate;
  /** PKCS#8. */
  readonly keyPem: string;
}

export interface CertificateRequest {
  /** `leaf`: a server's. A root may have one level of CAs below it, an intermediate none. */
  readonly kind: "root" | "intermediate" | "leaf";
  /** Common name; a leaf has none, its names are in the subjectAltName. */
  readonly commonName?: string;
  /** Of a leaf: host names (A-labels) and IP addresses. */
  readonly names?: readonly string[];
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** Undefined: it signs itself. */
  readonly issuer: CertificateWithKey | undefined;
}

/** A certificate over a fresh P-256 key (RFC 5280, as `openssl verify -x509_strict` reads it). */
export async function makeCertificate(request: CertificateRequest): Promise<CertificateWithKey> {
  const x509 = await loadLibrary();
  const keys = await webcrypto.subtle.generateKey(P256, true, ["sign", "verify"]);
  const { issuer } = request;
  const issuerName = issuer && new x509.X509Certificate(issuer.certificate.der).subject;
  const subject = request.commonName === undefined ? "" : `CN=${escapeName(request.commonName)}`;
  const made = await x509.X509CertificateGenerator.create({
    serialNumber: randomSerial(),
    subject,
    issuer: issuerName ?? subject,
    notBefore: new Date(request.notBeforeMs),
    notAfter: new Date(request.notAfterMs),
    publicKey: keys.publicKey,
    signingKey: issuer ? await signingKey(issuer.keyPem) : keys.privateKey,
    signingAlgorithm: { name: "ECDSA", hash: "SHA-256" },
    extensions: [
      ...usageExtensions(x509, request),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      ...authorityExtension(x509, issuer),
    ],
  }, webcrypto);
  const pkcs8 = new Uint8Array(await webcrypto.subtle.exportKey("pkcs8", keys.privateKey));
  return {
    certificate: parseCertificate(new Uint8Array(made.rawData)),
    keyPem: encodePem("PRIVATE KEY", pkcs8),
  };
}

type Library = typeof import("@peculiar/x509");

/** 65-130 ms and 18 MB: not for a start that finds its certificates in storage. */
async function loadLibrary(): Promise<Library> {
  await import("reflect-metadata"); // the library wants it there first
  return import("@peculiar/x509");
}

const P256 = { name: "ECDSA", namedCurve: "P-256" } as const;

function usageExtensions(x509: Library, request: CertificateRequest) {
  const { KeyUsageFlags: Usage } = x509;
  if (request.kind === "leaf") {
    const names = (request.names ?? []).map((name) => {
      const ip = canonicalIp(name);
      return ip === undefined
        ? { type: "dns", value: name } as const
        : { type: "ip", value: ip } as const;
    });
    return [
      new x509.KeyUsagesExtension(Usage.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      // critical, since the subject is empty (RFC 5280 §4.2.1.6)
      new x509.SubjectAlternativeNameExtension(names, true),
    ];
  }
  return [
    new x509.BasicConstraintsExtension(true, request.kind === "root" ? 1 : 0, true),
    new x509.KeyUsagesExtension(Usage.keyCertSign | Usage.cRLSign, true),
  ];
}

/** Names the issuer's key as the issuer's own certificate names it. */
function authorityExtension(x509: Library, issuer: CertificateWithKey | undefined) {
  const id = issuer?.certificate.subjectKeyId;
  return id === undefined
    ? []
    : [new x509.AuthorityKeyIdentifierExtension(Buffer.from(id).toString("hex"))];
}

/** PKCS#8 or SEC 1, the latter as Caddy writes it. */
async function signingKey(pem: string): Promise<webcrypto.CryptoKey> {
  const pkcs8 = createPrivateKey(pem).export({ format: "der", type: "pkcs8" });
  return webcrypto.subtle.importKey("pkcs8", pkcs8, P256, false, ["sign"]);
}

/** 16 bytes, positive: at least 64 bits of it random, as CAs must (and browsers may demand some day). */
function randomSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = (bytes[0]! & 0x7f) | 0x40;
  return bytes.toString("hex");
}

/** RFC 4514 §2.4. */
function escapeName(text: string): string {
  return text.replaceAll(/[,+"\\<>;=#]/g, (character) => `\\${character}`);
}
