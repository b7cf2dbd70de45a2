/**
 * What the log and the counters hear of a connection that ended by a fault.
 * @module
 */
import type { Socket } from "../runtime/runtime.ts";
import type { Site } from "../snapshot/snapshot.ts";
import type { TlsError } from "../tls/error.ts";
import type { EchStatus } from "../tls/output.ts";
import { describeException } from "./exception.ts";
import type { Log } from "./log.ts";
import type { SessionHost } from "./session-host.ts";

/** Of one connection. */
export interface Faulted {
  readonly socket: Socket;
  readonly site: Site | undefined;
  readonly ech: EchStatus | undefined;
  readonly isEstablished: boolean;
}

/** The peer's, or one that it told us of. */
export function reportTlsError({ log }: SessionHost, error: TlsError, faulted: Faulted): void {
  if (log.debug === false) return;
  log.event("debug", faulted.isEstablished ? "connection_failed" : "handshake_failed", {
    peer: faulted.socket.remoteAddress,
    err: error.reason,
    alert: error.alert,
    ech: faulted.ech?.outcome,
    site: siteForLog(log, faulted),
  });
}

/** Ours. */
export function reportException(
  { counters, log, rethrow }: SessionHost,
  error: unknown,
  faulted: Pick<Faulted, "site" | "ech">,
): void {
  counters.exceptions++;
  log.event("error", "exception_ended_connection", {
    ...describeException(error),
    site: siteForLog(log, faulted),
  });
  if (rethrow) {
    queueMicrotask(() => {
      throw error;
    });
  }
}

/** One name of it, whichever the client asked for; none where ECH hides it from everybody but us (policy §8.6). */
function siteForLog(log: Log, { site, ech }: Pick<Faulted, "site" | "ech">): string | undefined {
  const isHidden = ech?.outcome === "accepted";
  return isHidden && log.names !== true ? undefined : site?.names[0];
}
