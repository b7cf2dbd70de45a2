/**
 * Certificates made to order for tests, good ones and bad ones.
 * @module
 */
import "reflect-metadata";
import * as x509 from "@peculiar/x509";
import { Buffer } from "node:buffer";
import { webcrypto } from "node:crypto";
import { type Certificate, parseCertificate } from "../../src/x509/certificate.ts";
import { encodePem } from "../../src/x509/pem.ts";

/** From here, since it must be loaded after "reflect-metadata". */
export { x509 };

export interface Made {
  readonly certificate: Certificate;
  readonly pem: string;
  readonly keyPem: string;
  readonly keys: webcrypto.CryptoKeyPair;
  readonly subject: string;
}

export interface Wanted {
  readonly subject?: string;
  readonly issuer?: Made;
  readonly ca?: boolean;
  readonly pathLength?: number;
  readonly usages?: x509.KeyUsageFlags;
  readonly extendedUsages?: readonly string[];
  readonly names?: readonly { readonly type: "dns" | "ip"; readonly value: string }[];
  readonly notBefore?: number;
  readonly notAfter?: number;
  readonly algorithm?: keyof typeof ALGORITHMS;
  readonly keys?: webcrypto.CryptoKeyPair;
  readonly extensions?: readonly x509.Extension[];
  /** Key identifiers; default true. */
  readonly identifiers?: boolean;
}

const RSA = {
  name: "RSASSA-PKCS1-v1_5",
  modulusLength: 2048,
  publicExponent: Uint8Array.of(1, 0, 1),
};
const ALGORITHMS = {
  "P-256": { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" },
  "P-384": { name: "ECDSA", namedCurve: "P-384", hash: "SHA-384" },
  Ed25519: { name: "Ed25519" },
  RSA: { ...RSA, hash: "SHA-256" },
  "RSA-SHA1": { ...RSA, hash: "SHA-1" },
  "RSA-PSS": { ...RSA, name: "RSA-PSS", hash: "SHA-256", saltLength: 32 },
} as const;

export const NOW = Date.UTC(2026, 5, 1);
export const DAY = 86_400_000;

export async function make(wanted: Wanted = {}): Promise<Made> {
  const algorithm = ALGORITHMS[wanted.algorithm ?? "P-256"];
  const keys = wanted.keys ??
    await webcrypto.subtle.generateKey(algorithm, true, [
      "sign",
      "verify",
    ]) as webcrypto.CryptoKeyPair;
  const subject = wanted.subject ?? "CN=someone";
  const { issuer } = wanted;
  const extensions: x509.Extension[] = [...wanted.extensions ?? []];
  if (wanted.ca !== undefined) {
    extensions.push(new x509.BasicConstraintsExtension(wanted.ca, wanted.pathLength, true));
  }
  const usages = wanted.usages ??
    (wanted.ca === true ? x509.KeyUsageFlags.keyCertSign : undefined);
  if (usages !== undefined) extensions.push(new x509.KeyUsagesExtension(usages, true));
  if (wanted.extendedUsages !== undefined) {
    extensions.push(new x509.ExtendedKeyUsageExtension([...wanted.extendedUsages]));
  }
  if (wanted.names !== undefined) {
    extensions.push(new x509.SubjectAlternativeNameExtension([...wanted.names]));
  }
  if (wanted.identifiers !== false) {
    extensions.push(await x509.SubjectKeyIdentifierExtension.create(keys.publicKey));
    const id = issuer?.certificate.subjectKeyId;
    if (id !== undefined) {
      extensions.push(new x509.AuthorityKeyIdentifierExtension(Buffer.from(id).toString("hex")));
    }
  }
  const signer = issuer?.keys ?? keys;
  const made = await x509.X509CertificateGenerator.create({
    subject,
    issuer: issuer?.subject ?? subject,
    notBefore: new Date(wanted.notBefore ?? NOW - DAY),
    notAfter: new Date(wanted.notAfter ?? NOW + 30 * DAY),
    publicKey: keys.publicKey,
    signingKey: signer.privateKey,
    signingAlgorithm: algorithmOf(signer, issuer ? undefined : algorithm),
    extensions,
  }, webcrypto);
  const certificate = parseCertificate(new Uint8Array(made.rawData));
  const pkcs8 = new Uint8Array(await webcrypto.subtle.exportKey("pkcs8", keys.privateKey));
  return {
    certificate,
    pem: encodePem("CERTIFICATE", certificate.der),
    keyPem: encodePem("PRIVATE KEY", pkcs8),
    keys,
    subject,
  };
}

/** How a key signs: ECDSA keys do not know their hash themselves. */
function algorithmOf(keys: webcrypto.CryptoKeyPair, own?: object): x509.HashedAlgorithm {
  const { algorithm } = keys.privateKey;
  const hash = "namedCurve" in algorithm && algorithm.namedCurve === "P-384"
    ? "SHA-384"
    : "SHA-256";
  return { hash, saltLength: 32, ...algorithm, ...own } as unknown as x509.HashedAlgorithm;
}
