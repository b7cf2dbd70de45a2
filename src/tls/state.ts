/**
 * One state of the server's handshake (RFC 9846 §A.2).
 *
 *     ExpectClientHello ──► AwaitSite ──► ExpectSecondClientHello (after a HelloRetryRequest)
 *            │                  │                     │
 *            └──────────────────┴──► AwaitSignature ◄─┘        (ServerHello .. Finished go out)
 *                                         │
 *              ┌── client certificate ────┴──────────────┐
 *              ▼                                         ▼
 *     ExpectCertificate ──► ExpectCertificateVerify ──► ExpectFinished ──► Traffic
 *                                  └─► AwaitClientVerdict ─┘
 *
 * A state holds what is known by then and nothing more. `handle` returns the next one; throwing a TlsError is the
 * only other way out. The Await… states take no input: the world has to speak first. What a state does not list in
 * `limitFor` is unexpected_message.
 *
 * @module
 */
import { TlsError } from "./error.ts";
import type { Limits } from "./limits.ts";
import type { Link } from "./link.ts";

export interface State {
  readonly name: string;

  /** Waiting for the world, not for the peer. */
  readonly parked: boolean;

  /** Largest body of a message of this type; undefined: such a message is not expected here. */
  limitFor(type: number, limits: Limits): number | undefined;

  /**
   * @param message the whole handshake message with its header; valid during the call
   * @param last nothing follows it in its record
   */
  handle(message: Uint8Array, last: boolean, link: Link): State;

  /** Called once, when the connection is in this state: the place to speak to the world. */
  enter?(link: Link): void;
}

/** For the states that take no input. */
export function refuseMessage(state: State): never {
  throw new TlsError("unexpected message", `in ${state.name}`);
}

/** A message before a key change ends its record (RFC 9846 §5.1). */
export function endsRecord(last: boolean, message: string): void {
  if (!last) throw new TlsError("excess handshake bytes", `after ${message}`);
}
