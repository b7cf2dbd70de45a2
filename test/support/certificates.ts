/**
 * Certificates for tests, made afresh by @peculiar/x509 and kept for the life of the process.
 * @module
 */
import "reflect-metadata";
import type { webcrypto } from "node:crypto";
import * as x509 from "@peculiar/x509";

export type KeyKind = "p256" | "p384" | "rsa" | "ed25519";

export interface CertificateRequest {
  readonly kind?: KeyKind;
  /** dNSName entries, or iPAddress where it looks like one; none: no subjectAltName. */
  readonly names?: readonly string[];
  readonly subject?: string;
  /** Signed by it; undefined: by `testRoot()`; "self": self-signed. */
  readonly issuer?: TestCertificate | "self";
  readonly isCa?: boolean;
  /** "server" unless said. */
  readonly usage?: "server" | "client";
  readonly notBefore?: Date;
  readonly notAfter?: Date;
}

export interface TestCertificate {
  readonly kind: KeyKind;
  /** DER: the leaf, then intermediates; the root is left out. */
  readonly chain: readonly Uint8Array[];
  /** The leaf alone, PEM. */
  readonly pem: string;
  /** The chain, PEM. */
  readonly chainPem: string;
  /** PKCS#8. */
  readonly keyPem: string;
  readonly notAfterMs: number;
  readonly keys: webcrypto.CryptoKeyPair;
  readonly certificate: x509.X509Certificate;
}

const ALGORITHMS = {
  p256: { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" },
  p384: { name: "ECDSA", namedCurve: "P-384", hash: "SHA-384" },
  rsa: {
    name: "RSASSA-PKCS1-v1_5",
    hash: "SHA-256",
    modulusLength: 2048,
    publicExponent: new Uint8Array([1, 0, 1]),
  },
  ed25519: { name: "Ed25519" },
} as const;

const cached = new Map<string, Promise<TestCertificate>>();

/** The one root of the process: P-256. */
export function testRoot(): Promise<TestCertificate> {
  return testCertificate({ issuer: "self", isCa: true, subject: "CN=Test Root" });
}

/** The same request gives the same certificate; keys are shared per kind, since RSA takes its time. */
export function testCertificate(request: CertificateRequest = {}): Promise<TestCertificate> {
  const { issuer } = request;
  const id = JSON.stringify({
    ...request,
    issuer: typeof issuer === "object" ? issuer.pem : issuer,
  });
  let certificate = cached.get(id);
  if (certificate === undefined) cached.set(id, certificate = make(request));
  return certificate;
}

const keys = new Map<string, Promise<webcrypto.CryptoKeyPair>>();

function keyPair(kind: KeyKind, isCa: boolean): Promise<webcrypto.CryptoKeyPair> {
  const id = `${kind} ${isCa}`;
  let pair = keys.get(id);
  if (pair === undefined) {
    pair = crypto.subtle.generateKey(ALGORITHMS[kind], true, ["sign", "verify"]) as Promise<
      webcrypto.CryptoKeyPair
    >;
    keys.set(id, pair);
  }
  return pair;
}

let serial = 1;

async function make(request: CertificateRequest): Promise<TestCertificate> {
  const { kind = "p256", names = [], isCa = false, usage = "server" } = request;
  const pair = await keyPair(kind, isCa);
  const issuer = request.issuer === "self" ? undefined : request.issuer ?? await testRoot();
  const subject = request.subject ?? `CN=${names[0] ?? "test"}`;
  const signer = issuer?.keys ?? pair;
  const notAfter = request.notAfter ?? new Date(Date.now() + 30 * 86400e3);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: (0x1000 + serial++).toString(16),
    subject,
    issuer: issuer?.certificate.subject ?? subject,
    notBefore: request.notBefore ?? new Date(Date.now() - 86400e3),
    notAfter,
    publicKey: pair.publicKey,
    signingKey: signer.privateKey,
    signingAlgorithm: ALGORITHMS[issuer?.kind ?? kind],
    extensions: [
      new x509.BasicConstraintsExtension(isCa, undefined, true),
      new x509.KeyUsagesExtension(
        isCa ? x509.KeyUsageFlags.keyCertSign : x509.KeyUsageFlags.digitalSignature,
        true,
      ),
      ...(isCa ? [] : [
        new x509.ExtendedKeyUsageExtension([
          usage === "server" ? x509.ExtendedKeyUsage.serverAuth : x509.ExtendedKeyUsage.clientAuth,
        ]),
      ]),
      ...(names.length === 0 ? [] : [
        new x509.SubjectAlternativeNameExtension(
          names.map((value) => ({ type: /^[\d.]+$|:/.test(value) ? "ip" : "dns", value })),
        ),
      ]),
    ],
  });
  const above = issuer === undefined || issuer.certificate.subject === issuer.certificate.issuer
    ? []
    : issuer.chain;
  const chain = [new Uint8Array(certificate.rawData), ...above];
  return {
    kind,
    chain,
    pem: certificate.toString("pem"),
    chainPem: chain.map((der) => pemOf("CERTIFICATE", der)).join(""),
    keyPem: pemOf(
      "PRIVATE KEY",
      new Uint8Array(await crypto.subtle.exportKey("pkcs8", pair.privateKey)),
    ),
    notAfterMs: notAfter.getTime(),
    keys: pair,
    certificate,
  };
}

function pemOf(label: string, der: Uint8Array): string {
  const base64 = btoa(String.fromCharCode(...der)).replace(/(.{64})/g, "$1\n").trimEnd();
  return `-----BEGIN ${label}-----\n${base64}\n-----END ${label}-----\n`;
}
