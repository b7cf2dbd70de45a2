/**
 * All that a connection says to the world, in the order in which it says it.
 * @module
 */
import type { ClientAuth, Refusal, SiteConfig } from "./config.ts";
import type { TlsError } from "./error.ts";
import type { ClientHello } from "./wire/client-hello.ts";

export interface Output {
  /** `bytes[start, end)` for the peer: one call per flight. Valid only during the call. */
  send(bytes: Uint8Array, start: number, end: number): void;

  /**
   * Which site is it? Answer now, or undefined and `useSite(…)` later; until then no input is taken.
   * `hello` is the inner one if ECH was accepted; valid only during the call.
   */
  chooseSite(hello: ClientHello, ech: EchStatus): SiteConfig | Refusal | undefined;

  /** A slow key's turn: `useSignature(…)` or `failSignature()` later. `content` stays valid. */
  needSignature(request: SignatureRequest): void;

  /** A client showed a certificate and proved its key. `useClientVerdict(…)`, now or later. `chain` stays valid. */
  needClientVerdict(chain: readonly Uint8Array[], auth: ClientAuth): void;

  /** The handshake is done. */
  established(facts: Negotiated): void;

  /** `bytes[start, end)` from the peer. Valid only during the call. */
  plaintext(bytes: Uint8Array, start: number, end: number): void;

  /** The peer's close_notify: no more plaintext comes. Our side may go on writing. */
  closed(): void;

  /** The peer's fatal alert, which ends the connection and is not answered. During a call of receive or `use…`. */
  alerted(error: TlsError): void;
}

export interface SignatureRequest {
  readonly credential: { readonly id: string };
  /** SignatureScheme code point. */
  readonly scheme: number;
  readonly content: Uint8Array;
}

/** What is said of ECH on one connection (ech-server §3, §6). */
export interface EchStatus {
  readonly outcome: "not-offered" | "rejected" | "accepted";
  /** Rejected, and the outer name is the public name: most likely a stale key, else most likely GREASE. */
  readonly staleLikely: boolean;
  /** The config_id that the client named; undefined if it offered none. */
  readonly configId: number | undefined;
  /** Rejected although we hold a key under that id: its tag failed. */
  readonly heldId: boolean;
  /** The outer name, for logs at debug level; undefined if there was none. */
  readonly outerName: string | undefined;
}

export interface Negotiated {
  readonly cipherSuite: number;
  readonly group: number;
  /** Undefined on a resumption: there was no CertificateVerify. */
  readonly signatureScheme: number | undefined;
  readonly alpn: string | undefined;
  /** As it came, lower-cased; the inner one if ECH was accepted. */
  readonly serverName: string | undefined;
  readonly resumed: boolean;
  readonly helloRetried: boolean;
  readonly ech: EchStatus;
  readonly client: ClientIdentity | undefined;
}

/** A client certificate and what was found of it. */
export interface ClientIdentity {
  /** DER, leaf first. */
  readonly chain: readonly Uint8Array[];
  readonly verdict: "verified" | "unverified";
}

/** The answer to `needClientVerdict`. */
export type ClientVerdict =
  | { readonly verdict: "verified" | "unverified" }
  | {
    readonly refuse:
      | "bad certificate"
      | "unsupported certificate"
      | "certificate revoked"
      | "certificate expired"
      | "unknown certificate"
      | "unknown CA"
      | "access denied";
  };
