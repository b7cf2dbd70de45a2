/**
 * Who signed a certificate, and with what.
 *
 * Not `X509Certificate.verify()`: on Deno it says no to every RSASSA-PSS signature. `verify()` over the signed bytes
 * works on all runtimes but for ECDSA P-521 with SHA-256 on Deno, which is refused there.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { constants, createPublicKey, type KeyObject, verify } from "node:crypto";
import type { Certificate } from "./certificate.ts";
import { DerReader, explicitTag, Tag } from "./der.ts";

/** An AlgorithmIdentifier (RFC 5280 §4.1.1.2). */
export interface SignatureAlgorithm {
  readonly oid: string;
  /** Rests on SHA-1, MD5 or older (RFC 9846 §4.5.1.3). */
  readonly isWeak: boolean;
  /** How it is checked; undefined: that is unknown here. */
  readonly check: SignatureCheck | undefined;
}

export interface SignatureCheck {
  readonly keyType: "rsa" | "ec" | "ed25519";
  /** Undefined where the algorithm needs none. */
  readonly hash: string | undefined;
  /** Bytes of salt of an RSASSA-PSS signature. */
  readonly pssSaltLength?: number;
}

/** @throws {X509Error} it is no AlgorithmIdentifier */
export function decodeSignatureAlgorithm(bytes: Uint8Array): SignatureAlgorithm {
  const algorithm = new DerReader(bytes).enter(Tag.SEQUENCE, "signatureAlgorithm");
  const oid = algorithm.oid("signatureAlgorithm");
  if (oid === RSASSA_PSS) return { oid, ...decodePss(algorithm) };
  return { oid, isWeak: WEAK.has(oid), check: CHECKS[oid] };
}

/** Is it the issuer's key that signed this certificate? No for weak and unknown algorithms, and for unreadable keys. */
export function isSignedBy(certificate: Certificate, issuer: Certificate): boolean {
  const { check, isWeak } = certificate.signatureAlgorithm;
  if (check === undefined || isWeak) return false;
  const key = publicKey(issuer.spki);
  if (key?.asymmetricKeyType?.replace("rsa-pss", "rsa") !== check.keyType) return false;
  const options = check.pssSaltLength === undefined ? key : {
    key,
    padding: constants.RSA_PKCS1_PSS_PADDING,
    saltLength: check.pssSaltLength,
  };
  try {
    return verify(check.hash, certificate.signedBytes, options, certificate.signature);
  } catch {
    return false; // a signature that is not even one in form
  }
}

function publicKey(spki: Uint8Array): KeyObject | undefined {
  try {
    return createPublicKey({ key: Buffer.from(asPlainRsa(spki)), format: "der", type: "spki" });
  } catch {
    return undefined;
  }
}

/** A key bound to RSASSA-PSS (RFC 4055 §1.2) as a plain RSA key: Bun reads no other. The rest stay as they are. */
function asPlainRsa(spki: Uint8Array): Uint8Array {
  const info = new DerReader(spki).enter(Tag.SEQUENCE, "subjectPublicKeyInfo");
  if (info.enter(Tag.SEQUENCE, "algorithm").oid("algorithm") !== RSASSA_PSS) return spki;
  const key = info.element("subjectPublicKey");
  const length = RSA_ENCRYPTION.length + key.length;
  return Uint8Array.of(Tag.SEQUENCE, 0x82, length >> 8, length & 0xff, ...RSA_ENCRYPTION, ...key);
}

/** SEQUENCE { 1.2.840.113549.1.1.1, NULL } */
const RSA_ENCRYPTION = Buffer.from("300d06092a864886f70d0101010500", "hex");

/** RSASSA-PSS-params (RFC 4055 §3.1). What is left out means SHA-1 and 20 bytes of salt. */
function decodePss(algorithm: DerReader): Omit<SignatureAlgorithm, "oid"> {
  const params = algorithm.enterOptional(Tag.SEQUENCE, "RSASSA-PSS-params");
  const hashOid = params?.enterOptional(explicitTag(0), "hashAlgorithm")
    ?.enter(Tag.SEQUENCE, "hashAlgorithm").oid("hashAlgorithm") ?? SHA_1;
  const mask = params?.enterOptional(explicitTag(1), "maskGenAlgorithm")
    ?.enter(Tag.SEQUENCE, "maskGenAlgorithm");
  const isMgf1 = mask === undefined || mask.oid("maskGenAlgorithm") === MGF1;
  const maskOid = mask?.enter(Tag.SEQUENCE, "MGF1").oid("MGF1") ?? SHA_1;
  const pssSaltLength = params?.enterOptional(explicitTag(2), "saltLength")?.count("saltLength") ??
    20;
  const hash = HASHES[hashOid];
  // libraries take the mask's hash to be the signature's: nobody makes others
  const isKnown = hash !== undefined && isMgf1 && maskOid === hashOid && !(params?.done === false);
  return {
    isWeak: WEAK.has(hashOid),
    check: isKnown ? { keyType: "rsa", hash, pssSaltLength } : undefined,
  };
}

const RSASSA_PSS = "1.2.840.113549.1.1.10";
const MGF1 = "1.2.840.113549.1.1.8";
const SHA_1 = "1.3.14.3.2.26";

const HASHES: Readonly<Record<string, string>> = {
  "2.16.840.1.101.3.4.2.1": "sha256",
  "2.16.840.1.101.3.4.2.2": "sha384",
  "2.16.840.1.101.3.4.2.3": "sha512",
};

const CHECKS: Readonly<Record<string, SignatureCheck>> = {
  "1.2.840.10045.4.3.2": { keyType: "ec", hash: "sha256" },
  "1.2.840.10045.4.3.3": { keyType: "ec", hash: "sha384" },
  "1.2.840.10045.4.3.4": { keyType: "ec", hash: "sha512" },
  "1.2.840.113549.1.1.11": { keyType: "rsa", hash: "sha256" },
  "1.2.840.113549.1.1.12": { keyType: "rsa", hash: "sha384" },
  "1.2.840.113549.1.1.13": { keyType: "rsa", hash: "sha512" },
  "1.3.101.112": { keyType: "ed25519", hash: undefined },
};

const WEAK: ReadonlySet<string> = new Set([
  SHA_1,
  "1.2.840.113549.2.5", // md5
  "1.2.840.113549.1.1.2", // md2WithRSAEncryption
  "1.2.840.113549.1.1.3", // md4WithRSAEncryption
  "1.2.840.113549.1.1.4", // md5WithRSAEncryption
  "1.2.840.113549.1.1.5", // sha1WithRSAEncryption
  "1.3.14.3.2.3", // md5WithRSA
  "1.3.14.3.2.29", // sha1WithRSA
  "1.3.14.3.2.27", // dsaWithSHA1
  "1.2.840.10040.4.3", // dsa-with-sha1
  "1.2.840.10045.4.1", // ecdsa-with-SHA1
]);
