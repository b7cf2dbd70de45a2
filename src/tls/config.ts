/**
 * What a connection is given: the server's part, shared by all connections, and the site's, chosen by name.
 *
 * Both are immutable. A server that changes builds a new one; running connections keep theirs.
 *
 * @module
 */
import type { Crypto, SignatureName } from "../crypto/crypto.ts";
import type { ServerCredential } from "./credential.ts";
import type { EchKeySet } from "./ech.ts";
import type { Reason } from "./error.ts";
import type { Limits } from "./limits.ts";
import type { TicketKeys } from "./tickets.ts";
import type { CipherSuite, NamedGroup } from "./wire/code-points.ts";

export interface ServerConfig {
  readonly crypto: Crypto;
  readonly limits: Limits;
  /** Best first. A client that lists ChaCha20 before AES gets ChaCha20 (policy §5). */
  readonly suites: readonly CipherSuite[];
  /** Best first: what a refused name is answered with where that happens under handshake keys (policy §8.10). */
  readonly groups: readonly NamedGroup[];
  /** Undefined: the extension is ignored and nothing about ECH is ever sent (ech-server §3.4). */
  readonly ech: EchKeySet | undefined;
  /** Undefined: no resumption. */
  readonly tickets: TicketKeys | undefined;
  /** The encrypted flight is padded to a multiple of this many bytes; 0: not at all (ech-server §10). */
  readonly flightPadding: number;
  /** By CertificateCompressionAlgorithm, in our order of preference. What the runtime lacks is absent. */
  readonly compress: ReadonlyMap<number, (certificateBody: Uint8Array) => Uint8Array>;
  /** The other way, for clients' certificates. Throws on a broken stream or on more than `limit` bytes. */
  readonly decompress: ReadonlyMap<number, (data: Uint8Array, limit: number) => Uint8Array>;
  /** What CertificateVerify needs of a client's leaf; undefined if it cannot be parsed. */
  readonly readCertificate: (der: Uint8Array) => LeafKey | undefined;
  /** policy §8.2: refuse an accepted ECH whose outer name is none of the key set's public names. */
  readonly strictOuterSni: boolean;
  /** ech-server §6: 8 random bytes in a HelloRetryRequest on a rejected hello. */
  readonly greaseHelloRetry: boolean;
  /** Keep the exporter secret, so that `exportKeyingMaterial` works after the handshake. */
  readonly keepExporterSecret: boolean;
  /** One SSLKEYLOGFILE line without its newline (RFC 9850). Undefined: nothing is logged. */
  readonly keyLog: ((line: string) => void) | undefined;
}

/** The public key of a client's certificate. */
export interface LeafKey {
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Uint8Array;
  /** What such a key can sign with. */
  readonly schemes: readonly SignatureName[];
  /** False: keyUsage is present and lacks digitalSignature. */
  readonly maySign: boolean;
}

export interface SiteConfig {
  /** Tickets are bound to it: a site whose client authentication changes gets another. */
  readonly policyId: number;
  /** In the order of policy §6.2; the first that fits the client's signature_algorithms is used. */
  readonly credentials: readonly ServerCredential[];
  /** Protocols as the handler speaks them, best first; undefined: the client's extension is ignored. */
  readonly alpn: readonly string[] | undefined;
  /** Best first. */
  readonly groups: readonly NamedGroup[];
  readonly clientAuth: ClientAuth | undefined;
  /** False: issue none, accept none (sites with client authentication). */
  readonly tickets: boolean;
}

export interface ClientAuth {
  /** policy §7.1. `request` and `require` do not verify the chain; the verdict says so. */
  readonly mode: "request" | "require" | "verify_if_given" | "require_and_verify";
  /** DER names for certificate_authorities in the CertificateRequest; empty: the extension is left out. */
  readonly authorities: readonly Uint8Array[];
}

/** Why a name is not served. Where ECH was accepted it is said under handshake keys (policy §8.10). */
export interface Refusal {
  readonly refuse: Extract<
    Reason,
    | "unrecognized name"
    | "missing server_name"
    | "no application protocol in common"
    | "access denied"
    | "site lookup failed"
  >;
}
