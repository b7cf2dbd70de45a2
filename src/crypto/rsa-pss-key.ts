/**
 * Keys bound to RSA-PSS (id-RSASSA-PSS, RFC 4055 §3.1), which Bun's library does not read and Deno's does not write.
 *
 * Inside is an ordinary PKCS#1 key; this unwraps it, and says what the AlgorithmIdentifier still allows.
 *
 * @module
 */
import type { SignatureName } from "./crypto.ts";
import type { PssBinding } from "./signing-key.ts";

export interface PssKey extends PssBinding {
  /** RSAPrivateKey or RSAPublicKey, DER. */
  readonly pkcs1: Uint8Array;
}

/** Undefined: not bound to RSA-PSS. */
export function pssPrivateKey(pkcs8: Uint8Array): PssKey | undefined {
  const [version, algorithm, privateKey] = children(pkcs8);
  if (version?.tag !== INTEGER || algorithm === undefined || privateKey?.tag !== OCTET_STRING) {
    return undefined;
  }
  return bound(algorithm, privateKey.body);
}

/** Undefined: not bound to RSA-PSS. */
export function pssPublicKey(spki: Uint8Array): PssKey | undefined {
  const [algorithm, publicKey] = children(spki);
  if (algorithm === undefined || publicKey?.tag !== BIT_STRING) return undefined;
  return bound(algorithm, publicKey.body.subarray(1)); // behind the count of unused bits
}

/** SubjectPublicKeyInfo of an RSAPublicKey under this AlgorithmIdentifier. */
export function pssSpki(algorithm: Uint8Array, pkcs1: Uint8Array): Uint8Array {
  const bits = encode(BIT_STRING, Uint8Array.of(0), pkcs1);
  return encode(SEQUENCE, algorithm, bits);
}

function bound(algorithm: Element, pkcs1: Uint8Array): PssKey | undefined {
  const [oid, parameters] = elements(algorithm.body);
  if (oid === undefined || hex(oid.body) !== ID_RSASSA_PSS) return undefined;
  return { algorithm: algorithm.whole, pkcs1, schemes: schemesAllowed(parameters) };
}

/**
 * RSASSA-PSS-params: absent, every hash may be used; present, exactly the one it names, for message and MGF1 alike,
 * with a salt of at least the length it says. What TLS 1.3 does not use (SHA-1, mixed hashes) leaves no scheme.
 */
function schemesAllowed(parameters: Element | undefined): readonly SignatureName[] {
  if (parameters === undefined) return Object.values(HASHES).map((hash) => hash.scheme);
  const fields = elements(parameters.body);
  const hash = HASHES[hashOid(fields.find((field) => field.tag === 0xa0)) ?? ""];
  const mgf1 = fields.find((field) => field.tag === 0xa1);
  const mgf1Parameters = mgf1 && elements(elements(mgf1.body)[0]?.body ?? EMPTY)[1];
  const mgf1Hash = mgf1Parameters && elements(mgf1Parameters.body)[0];
  const salt = fields.find((field) => field.tag === 0xa2);
  const saltLength = salt === undefined ? 20 : number(elements(salt.body)[0]);
  if (hash === undefined || mgf1Hash === undefined || saltLength > hash.length) return [];
  return HASHES[hex(mgf1Hash.body)] === hash ? [hash.scheme] : [];
}

function hashOid(field: Element | undefined): string | undefined {
  const oid = field && elements(elements(field.body)[0]?.body ?? EMPTY)[0];
  return oid && hex(oid.body);
}

const INTEGER = 0x02;
const BIT_STRING = 0x03;
const OCTET_STRING = 0x04;
const SEQUENCE = 0x30;
const EMPTY = new Uint8Array(0);
/** 1.2.840.113549.1.1.10 */
const ID_RSASSA_PSS = "2a864886f70d01010a";
/** 2.16.840.1.101.3.4.2.{1,2,3} */
const HASHES: Readonly<
  Record<string, { readonly scheme: SignatureName; readonly length: number }>
> = {
  "608648016503040201": { scheme: "rsa_pss_pss_sha256", length: 32 },
  "608648016503040202": { scheme: "rsa_pss_pss_sha384", length: 48 },
  "608648016503040203": { scheme: "rsa_pss_pss_sha512", length: 64 },
};

interface Element {
  readonly tag: number;
  readonly body: Uint8Array;
  readonly whole: Uint8Array;
}

/** The elements of one outer SEQUENCE; none where it is something else or malformed: others say why. */
function children(der: Uint8Array): Element[] {
  const [outer] = elements(der);
  return outer?.tag === SEQUENCE ? elements(outer.body) : [];
}

function elements(der: Uint8Array): Element[] {
  const found: Element[] = [];
  for (let at = 0; at + 2 <= der.length;) {
    const start = at;
    const tag = der[at++]!;
    let length = der[at++]!;
    if (length > 0x84) return [];
    if (length >= 0x80) {
      const width = length - 0x80;
      length = 0;
      for (let i = 0; i < width; i++) length = length * 256 + (der[at++] ?? 0);
    }
    if (at + length > der.length) return [];
    found.push({ tag, body: der.subarray(at, at + length), whole: der.slice(start, at + length) });
    at += length;
  }
  return found;
}

function encode(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const header = length < 0x80
    ? [tag, length]
    : length < 0x100
    ? [tag, 0x81, length]
    : [tag, 0x82, length >>> 8, length & 0xff];
  const der = new Uint8Array(header.length + length);
  der.set(header);
  let at = header.length;
  for (const part of parts) {
    der.set(part, at);
    at += part.length;
  }
  return der;
}

function number(element: Element | undefined): number {
  return (element?.body ?? EMPTY).reduce((value, byte) => value * 256 + byte, 0);
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
