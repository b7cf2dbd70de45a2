/**
 * From certificate and key as they lie in files and in storage to what the data plane shows.
 * @module
 */
import type { Crypto, PrivateKeyBlock } from "../crypto/crypto.ts";
import { ServerCredential } from "../tls/credential.ts";
import { SCHEME_NAMES, schemeCode } from "../tls/suites.ts";
import { SignatureScheme } from "../tls/wire/code-points.ts";
import {
  type Certificate,
  certificatesFromPem,
  isSelfIssued,
  KeyUsage,
  sameBytes,
} from "../x509/certificate.ts";
import { X509Error } from "../x509/error.ts";
import { coversHost } from "../x509/names.ts";
import { checkWhole, decodePem, missingBlock, type PemBlock } from "../x509/pem.ts";
import { type KeyOwner, SigningKeys } from "./signing-keys.ts";
import { keyPemOf } from "./site-bytes.ts";

export interface CredentialPem {
  /** For logs: a name, a file. */
  readonly id: string;
  /** The leaf and what leads from it towards a root, in any order; other blocks are passed over. */
  readonly certificatePem: string;
  /** PKCS#8, SEC 1 or PKCS#1, not encrypted. May be the same text as `certificatePem`. */
  readonly keyPem: string;
  /** Supplied by the operator, or obtained by sotto: the former goes first (policy §6.2). Default: managed. */
  readonly origin?: "operator" | "managed";
  /** How messages call the two: file names, say. */
  readonly certificateSource?: string;
  readonly keySource?: string;
  /** Gives one copy for equal certificates: many chains have the same intermediates. */
  readonly share?: (der: Uint8Array) => Uint8Array;
}

export interface SiteCredentialParts {
  readonly id: string;
  /** DER, leaf first. */
  readonly chain: readonly Uint8Array[];
  /** SignatureScheme code points, best first. */
  readonly schemes: readonly number[];
  /** PEM, or what it holds; read when it first signs. */
  readonly key: string | PrivateKeyBlock;
  /** Of the leaf: host names ("*.example.com" too) and IP addresses, canonical. */
  readonly names: readonly string[];
  readonly origin: "operator" | "managed";
  /** By what its key is known to whoever holds keys; default: the credential itself. */
  readonly keyOwner?: number | undefined;
  readonly notBeforeMs: number;
  /** The first end in the chain. */
  readonly notAfterMs: number;
}

/** A credential that knows which names it is for. Its key takes room only while it is used. */
export class SiteCredential extends ServerCredential {
  /** Of the leaf: host names ("*.example.com" too) and IP addresses, canonical. */
  readonly names: readonly string[];
  readonly origin: "operator" | "managed";
  readonly notBeforeMs: number;
  /** The private key as it was given. For whoever keeps it, never for a log. */
  readonly key: string | PrivateKeyBlock;
  /** By what its key is known to whoever holds keys: the same when a site is let go and made again. */
  readonly keyOwner: KeyOwner;
  readonly #keys: SigningKeys;

  constructor(keys: SigningKeys, parts: SiteCredentialParts) {
    const { id, chain, schemes, notAfterMs } = parts;
    super({
      id,
      chain,
      schemes,
      sign: keys.slowElsewhere && isSlow(schemes) ? undefined : signByOwnKey,
      notAfterMs,
    });
    this.#keys = keys;
    this.names = parts.names;
    this.origin = parts.origin;
    this.notBeforeMs = parts.notBeforeMs;
    this.key = parts.key;
    this.keyOwner = parts.keyOwner ?? this;
  }

  /** On this thread, however long it takes. */
  signHere(scheme: number, content: Uint8Array): Uint8Array {
    return this.#keys.sign(this.keyOwner, this.key, SCHEME_NAMES.get(scheme)!, content);
  }

  /** The same as PEM. */
  get keyPem(): string {
    return keyPemOf(this.key);
  }

  /** Would a client that was shown this certificate take it for `host` (in any spelling, without a port)? */
  covers(host: string): boolean {
    return coversHost(this.names, host);
  }
}

/**
 * The leaf is the certificate whose key this is; the others are brought in order behind it, what does not belong to
 * its chain and roots are left out (RFC 9846 §4.5.1).
 *
 * @throws {X509Error} one of the two cannot be read, they do not belong together, or the key is of a kind that TLS 1.3
 *   has no use for; the message names the source
 */
export function credentialFromPem(crypto: Crypto, pem: CredentialPem): SiteCredential {
  const certificateSource = pem.certificateSource ?? `the certificate of ${pem.id}`;
  const keySource = pem.keySource ?? `the key of ${pem.id}`;
  const certificates = naming(certificateSource, () => {
    const found = certificatesFromPem(pem.certificatePem);
    if (found.length === 0) throw missingBlock(pem.certificatePem, "CERTIFICATE");
    return found;
  });
  const keyPem = naming(keySource, () => privateKeyBlock(pem.keyPem).text);
  const key = naming(keySource, () => crypto.signingKey(keyPem));
  const leaf = certificates.find((certificate) => sameBytes(certificate.spki, key.spki));
  if (leaf === undefined) {
    throw new X509Error(
      `The key in ${keySource} does not belong to ${
        certificates.length > 1 ? "any certificate" : "the certificate"
      } in ${certificateSource}`,
    );
  }
  if (leaf.keyUsage !== undefined && (leaf.keyUsage & KeyUsage.digitalSignature) === 0) {
    throw new X509Error(`Cannot use ${certificateSource}: its keyUsage does not allow signatures`);
  }
  const chain = chainFrom(leaf, certificates);
  const { share = (der: Uint8Array) => der } = pem;
  const keys = SigningKeys.of(crypto);
  const credential = new SiteCredential(keys, {
    id: pem.id,
    chain: chain.map(({ der }, i) => i === 0 ? der : share(der)),
    schemes: key.schemes.map(schemeCode),
    key: keyPem,
    names: [...leaf.dnsNames, ...leaf.ipAddresses],
    origin: pem.origin ?? "managed",
    notBeforeMs: leaf.notBeforeMs,
    notAfterMs: Math.min(...chain.map((certificate) => certificate.notAfterMs)),
  });
  keys.put(credential, key);
  return credential;
}

/**
 * Several credentials of one site in the order of policy §6.2: unexpired first, then the operator's own, then ECDSA
 * before Ed25519 before RSA, then the one that lasts longest. The handshake takes the first that fits the client.
 */
export function orderCredentials(
  credentials: readonly SiteCredential[],
  nowMs: number,
): SiteCredential[] {
  const rank = (credential: SiteCredential): number =>
    (credential.notAfterMs <= nowMs ? 100 : 0) +
    (credential.origin === "operator" ? 0 : 10) +
    kindRank(credential.schemes[0]!);
  return credentials.toSorted((a, b) => rank(a) - rank(b) || b.notAfterMs - a.notAfterMs);
}

/** One for all of them: a closure each is two cells of the heap each. */
function signByOwnKey(this: SiteCredential, scheme: number, content: Uint8Array): Uint8Array {
  return this.signHere(scheme, content);
}

/** RSA: a signature takes milliseconds. */
function isSlow(schemes: readonly number[]): boolean {
  return schemes.some((scheme) => SCHEME_NAMES.get(scheme)?.startsWith("rsa_") === true);
}

function kindRank(scheme: number): number {
  switch (scheme) {
    case SignatureScheme.ecdsa_secp256r1_sha256:
    case SignatureScheme.ecdsa_secp384r1_sha384:
      return 0;
    case SignatureScheme.ed25519:
      return 1;
    default:
      return 2;
  }
}

/** One name above and below may also be a root's successor, certified by it: another key then. */
function isRoot(certificate: Certificate): boolean {
  const { authorityKeyId, subjectKeyId } = certificate;
  return isSelfIssued(certificate) &&
    (authorityKeyId === undefined || subjectKeyId === undefined ||
      sameBytes(authorityKeyId, subjectKeyId));
}

/** Leaf, its issuers, theirs, …; all of one level (cross-signed ones) in the order of the text. */
function chainFrom(leaf: Certificate, certificates: readonly Certificate[]): Certificate[] {
  const chain = [leaf];
  const left = new Set(
    certificates.filter((certificate) => certificate !== leaf && !isRoot(certificate)),
  );
  for (const certificate of chain) { // grows under way
    for (const candidate of left) {
      if (!sameBytes(candidate.subject, certificate.issuer)) continue;
      chain.push(candidate);
      left.delete(candidate);
    }
  }
  return chain;
}

function privateKeyBlock(pem: string): PemBlock {
  const blocks = decodePem(pem);
  const block = blocks.find(({ label }) => label.endsWith("PRIVATE KEY"));
  if (block === undefined) throw missingBlock(pem, "PRIVATE KEY");
  if (block.label === "ENCRYPTED PRIVATE KEY" || block.der.length === 0) {
    throw new X509Error("the key is encrypted. Decrypt it with: openssl pkey -in FILE -out NEW");
  }
  if (block.label === "OPENSSH PRIVATE KEY") {
    throw new X509Error(
      "it holds a key for OpenSSH, accepted: PKCS #8, as openssl genpkey makes it",
    );
  }
  checkWhole(block);
  return block;
}

/** What goes wrong in `read` is told with its source. */
function naming<T>(source: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    const isOurs = cause instanceof X509Error || cause instanceof TypeError;
    if (!isOurs) throw cause;
    throw new X509Error(`Cannot use ${source}: ${cause.message}`, { cause });
  }
}
