/**
 * What a CertificateVerify is checked against: the key of a peer's leaf certificate (tls13-server §5).
 * @module
 */
import type { SignatureName } from "../crypto/crypto.ts";
import type { LeafKey } from "../tls/config.ts";
import { KeyUsage, parseCertificate } from "./certificate.ts";
import { DerReader, Tag } from "./der.ts";
import { X509Error } from "./error.ts";

/** Undefined: it is no certificate. A key that no scheme of TLS 1.3 fits has an empty list of schemes. */
export function readLeafKey(der: Uint8Array): LeafKey | undefined {
  try {
    const { spki, keyUsage } = parseCertificate(der);
    const maySign = keyUsage === undefined || (keyUsage & KeyUsage.digitalSignature) !== 0;
    return { spki, schemes: schemesOf(spki), maySign };
  } catch (error) {
    if (error instanceof X509Error) return undefined;
    throw error;
  }
}

/** RFC 9846 §4.3.3: the key's algorithm fixes the schemes, for ECDSA its curve too. */
function schemesOf(spki: Uint8Array): readonly SignatureName[] {
  const algorithm = new DerReader(spki).enter(Tag.SEQUENCE, "subjectPublicKeyInfo")
    .enter(Tag.SEQUENCE, "algorithm");
  const oid = algorithm.oid("algorithm");
  if (oid !== EC_PUBLIC_KEY) return SCHEMES[oid] ?? [];
  // Parameters other than the name of a curve are nothing that TLS 1.3 knows.
  return algorithm.nextTag === Tag.OBJECT_IDENTIFIER
    ? SCHEMES[algorithm.oid("namedCurve")] ?? []
    : [];
}

const EC_PUBLIC_KEY = "1.2.840.10045.2.1";

const SCHEMES: Readonly<Record<string, readonly SignatureName[]>> = {
  "1.2.840.10045.3.1.7": ["ecdsa_secp256r1_sha256"],
  "1.3.132.0.34": ["ecdsa_secp384r1_sha384"],
  "1.3.101.112": ["ed25519"],
  "1.2.840.113549.1.1.1": ["rsa_pss_rsae_sha256", "rsa_pss_rsae_sha384", "rsa_pss_rsae_sha512"],
  "1.2.840.113549.1.1.10": ["rsa_pss_pss_sha256", "rsa_pss_pss_sha384", "rsa_pss_pss_sha512"],
};
