/**
 * Is it the server's certificate? A path to a given root, dates, and the name (RFC 5280 §6, RFC 9525 §6).
 *
 * node:crypto checks signatures; names are compared here, since Deno's `checkHost` knows no wildcards.
 *
 * @module
 */
import { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import { refuse } from "./error.ts";

/** The SubjectPublicKeyInfo of a certificate, DER. */
export function leafKey(der: Uint8Array): Uint8Array {
  return new Uint8Array(read(der).publicKey.export({ type: "spki", format: "der" }));
}

/**
 * @param expected.roots PEM; a root may be the leaf itself
 * @param expected.name a DNS name or an IP address; undefined: whichever it has
 * @throws {ClientError} "no trusted root", "certificate not valid now", "certificate for another name", "unreadable certificate"
 */
export function verifyChain(
  chain: readonly Uint8Array[],
  expected: { roots: readonly string[]; name: string | undefined; nowMs: number },
): void {
  const [leaf, ...others] = chain.map(read);
  if (leaf === undefined) refuse("server without a certificate");
  const roots = expected.roots.map((pem) => new X509Certificate(pem));
  if (!isValidAt(leaf, expected.nowMs)) refuse("certificate not valid now");
  if (!hasPath(leaf, others, roots, expected.nowMs)) refuse("no trusted root");
  if (expected.name !== undefined && !isFor(leaf, expected.name)) {
    refuse("certificate for another name", { detail: expected.name });
  }
}

function read(der: Uint8Array): X509Certificate {
  try {
    return new X509Certificate(der);
  } catch (cause) {
    return refuse("unreadable certificate", { cause });
  }
}

function hasPath(
  certificate: X509Certificate,
  others: readonly X509Certificate[],
  roots: readonly X509Certificate[],
  nowMs: number,
): boolean {
  if (roots.some((root) => root.fingerprint256 === certificate.fingerprint256)) return true;
  const isIssuer = (issuer: X509Certificate) =>
    issuer.ca && isValidAt(issuer, nowMs) && certificate.issuer === issuer.subject &&
    certificate.verify(issuer.publicKey);
  if (roots.some(isIssuer)) return true;
  return others.some((issuer, i) =>
    isIssuer(issuer) && hasPath(issuer, others.toSpliced(i, 1), roots, nowMs)
  );
}

function isValidAt(certificate: X509Certificate, nowMs: number): boolean {
  return Date.parse(certificate.validFrom) <= nowMs && nowMs <= Date.parse(certificate.validTo);
}

function isFor(leaf: X509Certificate, name: string): boolean {
  const entries = (leaf.subjectAltName ?? "").split(", ");
  return entries.some((entry) => {
    const colon = entry.indexOf(":");
    const kind = entry.slice(0, colon);
    const value = entry.slice(colon + 1);
    if (isIP(name) !== 0) return kind === "IP Address" && canonicalIp(value) === canonicalIp(name);
    return kind === "DNS" && matchesName(value, name);
  });
}

/** A wildcard stands for exactly one label, the leftmost (RFC 9525 §6.3). */
export function matchesName(pattern: string, name: string): boolean {
  const wanted = name.toLowerCase().replace(/\.$/, "");
  const given = pattern.toLowerCase();
  if (given === wanted) return true;
  if (!given.startsWith("*.")) return false;
  const dot = wanted.indexOf(".");
  return dot > 0 && wanted.slice(dot + 1) === given.slice(2) && given.slice(2).includes(".");
}

/** IPv6 has many spellings; a URL's host has one. */
function canonicalIp(text: string): string {
  return isIP(text) === 6 ? new URL(`http://[${text}]`).hostname : text;
}
