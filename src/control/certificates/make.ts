/**
 * Makes X.509 certificates: the one place that knows the library for it, loaded when the first one is made.
 * @module
 */
import { Buffer } from "node:buffer";
import { createPrivateKey, createPublicKey, randomBytes, webcrypto } from "node:crypto";
import { type Certificate, parseCertificate } from "../../x509/certificate.ts";
import { canonicalIp } from "../../x509/names.ts";
import { encodePem } from "../../x509/pem.ts";

export interface CertificateWithKey {
  readonly certificate: Certificate;
  /** PKCS#8, or SEC 1 as Caddy writes it. */
  readonly keyPem: string;
}

export interface CertificateRequest {
  /** `leaf`: a server's. An intermediate has no CAs below it. */
  readonly kind: "root" | "intermediate" | "leaf";
  /** A common name, or a Name in DER. A leaf has none: its names are in the subjectAltName. */
  readonly subject?: string | Uint8Array;
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Uint8Array;
  /** Where the key is known under one already; undefined: of the library's making. */
  readonly subjectKeyId?: Uint8Array;
  /** Of a leaf: host names (A-labels) and IP addresses. */
  readonly names?: readonly string[];
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** Without a certificate: it signs itself. */
  readonly issuer: { readonly certificate: Certificate | undefined; readonly keyPem: string };
}

/** A fresh P-256 key, PKCS#8. */
export async function makeKey(): Promise<string> {
  const { privateKey } = await webcrypto.subtle.generateKey(P256, true, ["sign", "verify"]);
  const pkcs8 = new Uint8Array(await webcrypto.subtle.exportKey("pkcs8", privateKey));
  return encodePem("PRIVATE KEY", pkcs8);
}

/** SubjectPublicKeyInfo of a private key. Undefined: it cannot be read. */
export function spkiOf(keyPem: string): Uint8Array | undefined {
  try {
    const spki = createPublicKey(createPrivateKey(keyPem)).export({ format: "der", type: "spki" });
    return new Uint8Array(spki);
  } catch {
    return undefined;
  }
}

/** A certificate by a P-256 key (RFC 5280, as `openssl verify -x509_strict` reads it). */
export async function makeCertificate(request: CertificateRequest): Promise<Certificate> {
  const x509 = await loadLibrary();
  const { issuer } = request;
  const subject = nameOf(x509, request.subject);
  const publicKey = new x509.PublicKey(copy(request.spki));
  const made = await x509.X509CertificateGenerator.create({
    serialNumber: randomSerial(),
    subject,
    issuer: issuer.certificate ? nameOf(x509, issuer.certificate.subject) : subject,
    notBefore: new Date(request.notBeforeMs),
    notAfter: new Date(request.notAfterMs),
    publicKey,
    signingKey: await signingKey(issuer.keyPem),
    signingAlgorithm: { name: "ECDSA", hash: "SHA-256" },
    extensions: [
      ...usageExtensions(x509, request),
      request.subjectKeyId
        ? new x509.SubjectKeyIdentifierExtension(hex(request.subjectKeyId))
        : await x509.SubjectKeyIdentifierExtension.create(publicKey),
      ...authorityExtension(x509, issuer.certificate),
    ],
  }, webcrypto);
  return parseCertificate(new Uint8Array(made.rawData));
}

type Library = typeof import("@peculiar/x509");

/** 65-130 ms and 18 MB: not for a start that finds its certificates in storage. */
async function loadLibrary(): Promise<Library> {
  await import("reflect-metadata"); // the library wants it there first
  return import("@peculiar/x509");
}

const P256 = { name: "ECDSA", namedCurve: "P-256" } as const;

/** A Name in DER stays as it is, kinds of string included: issuer and subject are compared byte by byte. */
function nameOf(x509: Library, subject: string | Uint8Array | undefined) {
  if (subject === undefined) return new x509.Name([]);
  return typeof subject === "string"
    ? new x509.Name([{ CN: [subject] }])
    : new x509.Name(copy(subject));
}

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
    // No limit for a root: the roots that come after it are CAs below it.
    new x509.BasicConstraintsExtension(true, request.kind === "root" ? undefined : 0, true),
    new x509.KeyUsagesExtension(Usage.keyCertSign | Usage.cRLSign, true),
  ];
}

/** Names the issuer's key as the issuer's own certificate names it. */
function authorityExtension(x509: Library, issuer: Certificate | undefined) {
  const id = issuer?.subjectKeyId;
  return id === undefined ? [] : [new x509.AuthorityKeyIdentifierExtension(hex(id))];
}

/** PKCS#8 or SEC 1, the latter as Caddy writes it. */
async function signingKey(pem: string): Promise<webcrypto.CryptoKey> {
  const pkcs8 = createPrivateKey(pem).export({ format: "der", type: "pkcs8" });
  return webcrypto.subtle.importKey("pkcs8", pkcs8, P256, false, ["sign"]);
}

/** 16 bytes, positive: at least 64 bits of it random, as CAs must (and browsers may demand some day). */
export function randomSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = (bytes[0]! & 0x7f) | 0x40;
  return bytes.toString("hex");
}

/** The library wants an ArrayBuffer that nobody else's bytes lie in. */
function copy(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(bytes);
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
