/**
 * Is this client's certificate one of ours? Path building and validation (RFC 5280 §6) for client authentication.
 *
 * First a path is found by names and key identifiers, then its signatures are checked from the anchor downwards: no key
 * does any work that something above it has not vouched for.
 *
 * Not processed: name constraints and policy constraints (a path that has them is refused), revocation.
 *
 * @module
 */
import {
  type Certificate,
  certificatesFromPem,
  ExtendedKeyUsage,
  isSelfIssued,
  KeyUsage,
  parseCertificate,
  sameBytes,
} from "./certificate.ts";
import { X509Error } from "./error.ts";
import { missingBlock } from "./pem.ts";
import { isSignedBy } from "./signature.ts";

/** What client certificates may lead to: CA certificates, or single leaves that are taken as they are. */
export interface ClientPool {
  readonly anchors: readonly Certificate[];
  /** Their names, DER: `certificate_authorities` of a CertificateRequest. Single leaves are not among them. */
  readonly authorities: readonly Uint8Array[];
}

/** @throws {X509Error} one cannot be read, or there is none */
export function clientPoolFromPem(pem: string): ClientPool {
  const anchors = certificatesFromPem(pem);
  if (anchors.length === 0) throw missingBlock(pem, "CERTIFICATE");
  const names = new Map(
    anchors.filter((anchor) => anchor.isCa).map((
      anchor,
    ) => [anchor.subject.join(), anchor.subject]),
  );
  return { anchors, authorities: [...names.values()] };
}

/** Reasons of `TlsError`, so that a verdict can be handed to a connection as it is. */
export type ChainFault =
  | "unknown CA"
  | "bad certificate"
  | "certificate expired"
  | "unsupported certificate";

export type ChainVerdict = { readonly verdict: "verified" } | { readonly refuse: ChainFault };

/**
 * The verdict on a chain as it came, leaf first, the others in any order (tls13-server §5).
 *
 * - "bad certificate": it cannot be read, a signature in it is wrong or rests on MD5 or SHA-1
 * - "unknown CA": no path to an anchor (over CAs that may sign, within their path lengths)
 * - "certificate expired": some certificate of the path is no longer or not yet valid
 * - "unsupported certificate": not for client authentication, or not for signatures, or with critical extensions or
 *   constraints that are not processed
 *
 * Where several paths fail, the verdict is that of the one that went furthest, in this order. The number of paths and
 * of signatures looked at is limited, whatever the peer sends.
 */
export function verifyClientChain(
  chain: readonly Uint8Array[],
  pool: ClientPool,
  nowMs: number,
): ChainVerdict {
  let presented: Certificate[];
  try {
    presented = chain.map((der) => parseCertificate(der));
  } catch (error) {
    if (error instanceof X509Error) return { refuse: "bad certificate" };
    throw error;
  }
  const [leaf, ...intermediates] = presented;
  if (leaf === undefined) return { refuse: "bad certificate" };
  const budget = { paths: MAX_PATHS, signatures: MAX_SIGNATURES };
  let furthest: ChainFault = "unknown CA";
  for (const path of pathsFrom([leaf], intermediates, pool.anchors, budget)) {
    const refuse = faultOf(path, nowMs, budget);
    if (refuse === undefined) return { verdict: "verified" };
    if (PROGRESS.indexOf(refuse) > PROGRESS.indexOf(furthest)) furthest = refuse;
  }
  return { refuse: furthest };
}

const PROGRESS: readonly ChainFault[] = [
  "unknown CA",
  "bad certificate",
  "certificate expired",
  "unsupported certificate",
];

const MAX_PATHS = 32;
const MAX_SIGNATURES = 64;
const MAX_PATH_LENGTH = 8;

interface Budget {
  paths: number;
  signatures: number;
}

/** All paths, leaf first and anchor last, that fit together by name and by what CAs may do; signatures not looked at. */
function* pathsFrom(
  path: readonly Certificate[],
  intermediates: readonly Certificate[],
  anchors: readonly Certificate[],
  budget: Budget,
): Generator<readonly Certificate[]> {
  const last = path.at(-1)!;
  const pinned = anchors.find((anchor) => sameBytes(anchor.der, last.der));
  if (pinned !== undefined) {
    if (budget.paths-- > 0) yield path;
    return;
  }
  for (const anchor of anchors) {
    if (!mayHaveIssued(anchor, last, path)) continue;
    if (budget.paths-- <= 0) return;
    yield [...path, anchor];
  }
  if (path.length >= MAX_PATH_LENGTH) return;
  for (const candidate of intermediates) {
    if (budget.paths <= 0) return;
    if (!mayHaveIssued(candidate, last, path) || isInPath(candidate, path)) continue;
    budget.paths--; // dead ends count too
    yield* pathsFrom([...path, candidate], intermediates, anchors, budget);
  }
}

/** The same name with the same key twice in a path leads nowhere new (RFC 4158 §2.4.2). */
function isInPath(candidate: Certificate, path: readonly Certificate[]): boolean {
  return path.some((certificate) =>
    sameBytes(certificate.subject, candidate.subject) && sameBytes(certificate.spki, candidate.spki)
  );
}

/** RFC 5280 §6.1.3 (a)(4), §6.1.4 (k)-(n), and key identifiers, which tell CAs of one name apart. */
function mayHaveIssued(
  issuer: Certificate,
  certificate: Certificate,
  path: readonly Certificate[],
): boolean {
  if (!issuer.isCa || !sameBytes(issuer.subject, certificate.issuer)) return false;
  if (issuer.keyUsage !== undefined && (issuer.keyUsage & KeyUsage.keyCertSign) === 0) return false;
  const { authorityKeyId } = certificate;
  if (
    authorityKeyId !== undefined && issuer.subjectKeyId !== undefined &&
    !sameBytes(authorityKeyId, issuer.subjectKeyId)
  ) return false;
  // self-issued CAs between it and the leaf do not count
  const between = path.slice(1).filter((below) => !isSelfIssued(below)).length;
  return issuer.pathLength === undefined || between <= issuer.pathLength;
}

/** What is wrong with a path that fits together; undefined: nothing. */
function faultOf(
  path: readonly Certificate[],
  nowMs: number,
  budget: Budget,
): ChainFault | undefined {
  if (!hasGoodSignatures(path, budget)) return "bad certificate";
  if (path.some(({ notBeforeMs, notAfterMs }) => nowMs < notBeforeMs || nowMs > notAfterMs)) {
    return "certificate expired";
  }
  return path.some((certificate) =>
      certificate.unprocessed.length > 0 || !isForClients(certificate)
    ) ||
      !maySign(path[0]!)
    ? "unsupported certificate"
    : undefined;
}

/** From the anchor down; the anchor's own signature says nothing. */
function hasGoodSignatures(path: readonly Certificate[], budget: Budget): boolean {
  if (path.slice(0, -1).some(({ signatureAlgorithm }) => signatureAlgorithm.isWeak)) return false;
  for (let i = path.length - 2; i >= 0; i--) {
    if (budget.signatures-- <= 0 || !isSignedBy(path[i]!, path[i + 1]!)) return false;
  }
  return true;
}

/** extKeyUsage, where there is one: of the leaf, and of the CAs above it, as all TLS libraries take it. */
function isForClients({ extendedKeyUsages }: Certificate): boolean {
  return extendedKeyUsages === undefined ||
    extendedKeyUsages.includes(ExtendedKeyUsage.clientAuth) ||
    extendedKeyUsages.includes(ExtendedKeyUsage.any);
}

/** RFC 9846 §4.5.1.2: digitalSignature must be set where keyUsage is there. */
function maySign({ keyUsage }: Certificate): boolean {
  return keyUsage === undefined || (keyUsage & KeyUsage.digitalSignature) !== 0;
}
