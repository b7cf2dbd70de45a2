/**
 * What sessions and their server know of each other.
 * @module
 */
import type { Site, Snapshot } from "../snapshot/snapshot.ts";
import type { ClientAuth } from "../tls/config.ts";
import type { ClientVerdict, SignatureRequest } from "../tls/output.ts";
import type { Counters } from "./counters.ts";
import type { Clock, Deadlines } from "./deadlines.ts";
import type { Handler, PassOnHandler } from "./handlers/handler.ts";
import type { EdgeLimits } from "./limits.ts";
import type { Log } from "./log.ts";
import type { SessionEnds } from "./session-ends.ts";

/** What a session asks of its server. */
export interface SessionHost {
  readonly limits: EdgeLimits;
  readonly counters: Counters;
  readonly log: Log;
  readonly clock: Clock;
  readonly deadlines: Deadlines;
  /** For tests: what ended a connection as an exception is thrown again. */
  readonly rethrow: boolean;
  readonly snapshot: Snapshot;
  /** Undefined: no site is passed on, so no hello is looked at for it. */
  readonly passOn: PassOn | undefined;
  handlerOf(site: Site): Handler;
  /** For credentials that do not sign at once. */
  sign(request: SignatureRequest): Promise<Uint8Array>;
  /** For sites whose client authentication verifies. */
  verifyClient(
    chain: readonly Uint8Array[],
    auth: ClientAuth,
    site: Site,
  ): ClientVerdict | Promise<ClientVerdict>;
  /** For names that nobody serves. Undefined: certificates on demand are off. */
  askOnDemand(name: string, client: string): Promise<boolean> | undefined;
  /** A ClientHello has come. */
  helloCame(session: SessionEnds): void;
  /** The handshake is over, one way or the other; `peersFault` counts against its source. */
  handshakeOver(session: SessionEnds, peersFault: boolean): void;
  gone(session: SessionEnds): void;
}

/** Who gets a connection whose hello, as it was sent, has this name (lower case)? Undefined: it is ours to answer. */
export type PassOn = (name: string, snapshot: Snapshot) => PassOnHandler | undefined;
