/**
 * What a client is told: ordinary choices first, then the knobs by which a test makes it misbehave.
 * @module
 */
import type { Crypto } from "../crypto/crypto.ts";
import type { EchOuter, Extension } from "./extensions.ts";
import type { HelloFields } from "./hello.ts";
import type { ClientSession } from "./session.ts";

export interface ClientOptions {
  readonly crypto: Crypto;
  /** Sent as server_name and looked for in the certificate; undefined: neither. */
  readonly serverName?: string | undefined;
  readonly alpn?: readonly string[];
  /** TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384, TLS_CHACHA20_POLY1305_SHA256. */
  readonly suites?: readonly number[];
  /** x25519, secp256r1, secp384r1. */
  readonly groups?: readonly number[];
  /** Groups to send a share for; the first of `groups`. A group that we cannot do gets one byte (GREASE). */
  readonly keyShares?: readonly number[];
  readonly signatureSchemes?: readonly number[];
  /** supported_versions. TLS 1.3 alone. */
  readonly versions?: readonly number[];
  /** A real offer, or GREASE (RFC 9849 §6.2); undefined: no ECH extension. */
  readonly ech?: EchOptions | "grease";
  /** Sessions to offer, best first. */
  readonly sessions?: readonly ClientSession[];
  readonly pskModes?: readonly number[];
  /** Shown when the server asks. */
  readonly certificate?: ClientCertificate;
  /** PEM. Undefined: the server's chain is not verified, its CertificateVerify is. */
  readonly roots?: readonly string[];
  /** Sent as record_size_limit and enforced. */
  readonly recordSizeLimit?: number;
  /** CertificateCompressionAlgorithms to offer. */
  readonly compression?: readonly number[];
  readonly ocsp?: boolean;
  readonly scts?: boolean;
  readonly ticketRequest?: {
    readonly newSessionCount: number;
    readonly resumptionCount: number;
  };
  /** Offers early_data and sends so many bytes under a key that nobody knows, as a server sees that refuses 0-RTT. */
  readonly earlyDataBytes?: number;
  /** Further extensions, before encrypted_client_hello and pre_shared_key. */
  readonly extensions?: readonly Extension[];
  /** False: empty session id and no change_cipher_spec (RFC 9846 App. E.4). */
  readonly compatibilityMode?: boolean;
  /** Content bytes per record sent, at most. */
  readonly fragmentBytes?: number;
  /** Protected records are padded to a multiple of it. */
  readonly padTo?: number;
  readonly hooks?: Hooks;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  /** One SSLKEYLOGFILE line without its newline (RFC 9850). */
  readonly keyLog?: (line: string) => void;
}

export interface ClientCertificate {
  /** DER, leaf first. */
  readonly chain: readonly Uint8Array[];
  readonly keyPem: string;
  /** Sent as CompressedCertificate by this algorithm if the server lists it. */
  readonly compression?: number;
}

/** Which hello a hook is shown: without ECH (or with GREASE), or one of the two of a real offer. */
export type HelloRole = "plain" | "inner" | "outer";
/** 1, or 2 after a HelloRetryRequest. */
export type Attempt = 1 | 2;

/** Every hook may return its argument. */
export interface Hooks {
  /** The fields of a hello before PSK binders are made and ECH is sealed. */
  hello?(fields: HelloFields, role: HelloRole, attempt: Attempt): HelloFields;
  /**
   * Any handshake message before it is sent; what is returned is sent and is what the transcript holds.
   * Undefined: as it is; an empty array: nothing.
   */
  beforeSend?(message: Uint8Array, type: number): Uint8Array | Uint8Array[] | undefined;
  /** Any record as it goes on the wire, header and all. */
  beforeRecord?(record: Uint8Array): Uint8Array | Uint8Array[] | undefined;
}

export interface EchOptions {
  /** An ECHConfigList with its length, as DNS has it. The first config that fits is used (RFC 9849 §4). */
  readonly configList: Uint8Array;
  /** Prefer this pair where the config lists it. */
  readonly suite?: { readonly kdfId: number; readonly aeadId: number };
  /** Extension types that the inner hello takes from the outer. Only what both have is compressed. */
  readonly compress?: readonly number[];
  /** Protocols in the outer hello; none. */
  readonly outerAlpn?: readonly string[];
  readonly knobs?: EchKnobs;
}

/** What a test may spoil in an offer. */
export interface EchKnobs {
  /** server_name of the outer hello in place of the public name; null: none. */
  readonly outerName?: string | null;
  /** The inner hello's encrypted_client_hello body; null: without the extension. */
  readonly innerMark?: Uint8Array | null;
  /** What ech_outer_extensions lists, in place of the types that were compressed. */
  readonly outerExtensions?: readonly number[];
  /** legacy_session_id of the encoded inner hello. */
  readonly innerSessionId?: Uint8Array;
  /** EncodedClientHelloInner with its padding, before it is sealed. */
  encodedInner?(encoded: Uint8Array, attempt: Attempt): Uint8Array;
  /** ClientHelloOuterAAD. */
  aad?(aad: Uint8Array, attempt: Attempt): Uint8Array;
  /** The sealed extension: other fields, a raw body, or undefined to leave it out. */
  extension?(fields: EchOuter, attempt: Attempt): EchOuter | Uint8Array | undefined;
  /** Seal the second hello under a context of its own and send its enc. */
  readonly freshSecondContext?: boolean;
}
