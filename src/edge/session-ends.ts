/**
 * How a session ends: in good order, by a fault, or cut off; and who hears of it.
 *
 * This is where a fault ends. What the peer does wrong comes as a TlsError and ends with its alert; any other exception, of
 * the core, of a handler or of the session itself, ends this one connection with internal_error.
 *
 * @module
 */
import type { Site, Snapshot } from "../snapshot/snapshot.ts";
import type { ServerConnection } from "../tls/connection.ts";
import { type Reason, TlsError } from "../tls/error.ts";
import { add } from "./counters.ts";
import { reportException, reportTlsError } from "./fault-report.ts";
import type { HandlerConnection } from "./handlers/handler.ts";
import type { EndingLimit } from "./limits.ts";
import type { PlainConnection } from "./passthrough.ts";
import { Flag, Phase } from "./session-phase.ts";
import { SessionSocket } from "./session-socket.ts";

export abstract class SessionEnds extends SessionSocket {
  /** A PlainConnection where we are not the ones to decrypt. */
  protected connection: ServerConnection | PlainConnection | undefined;
  /** The one that was current at the first byte. */
  snapshot: Snapshot | undefined;
  site: Site | undefined;
  protected handler: HandlerConnection | undefined;

  /** close_notify from us, and the handler is told. */
  closeGently(): void {
    this.set(Flag.WeEnded);
    this.connection!.closeWrite();
    this.linger(Infinity);
    this.leaveHandler();
  }

  /** Makes room for others: it has said nothing yet. */
  evict(): void {
    this.cut("maxPendingHandshakes");
  }

  /** The server stops, and this one has had its time. */
  cutForStop(): void {
    this.cut("drainTimeout");
  }

  /** The boundary: whatever went wrong in a turn ends this connection and nothing else. */
  protected fault(error: unknown): void {
    if (this.phase >= Phase.Lingering) {
      if (!(error instanceof TlsError)) this.#exception(error);
      return;
    }
    if (error instanceof TlsError) this.#peerFault(error);
    else this.#ownFault(error);
  }

  #peerFault(error: TlsError): void {
    const ech = this.connection?.ech;
    this.host.counters.error(error, ech);
    reportTlsError(this.host, error, {
      socket: this.socket,
      site: this.site,
      ech,
      isEstablished: this.phase >= Phase.Fresh,
    });
    const peersFault = error.alert !== undefined && error.alert !== "internal_error";
    if (this.phase < Phase.Fresh) this.handshakeOver("failed", peersFault);
    if (error.reason === "received alert") this.closeSocket();
    else this.linger(this.host.limits.lingerBytes);
    this.leaveHandler();
  }

  #ownFault(error: unknown): void {
    try {
      this.connection?.fail("internal error");
    } catch {
      // broken altogether: then without the alert
    }
    this.lost("internal error");
    this.#exception(error);
  }

  /** By our own fault; the connection has said so. */
  protected lost(reason: Reason): void {
    this.host.counters.error(new TlsError(reason), this.connection?.ech);
    if (this.phase < Phase.Fresh) this.handshakeOver("broken");
    this.linger(this.host.limits.lingerBytes);
    this.leaveHandler();
  }

  #exception(error: unknown): void {
    reportException(this.host, error, { site: this.site, ech: this.connection?.ech });
  }

  /** Closes at once, without a word. */
  protected cut(limit: EndingLimit): void {
    if (this.phase >= Phase.Cut) return;
    this.host.counters.endedBy(limit);
    if (this.phase < Phase.Fresh) {
      this.handshakeOver(limit === "maxPendingHandshakes" ? "evicted" : "timed out");
    }
    this.terminate();
  }

  protected terminate(): void {
    if (this.phase >= Phase.Cut) return;
    if (this.phase < Phase.Fresh) this.handshakeOver("abandoned");
    this.cutSocket();
  }

  protected handshakeOver(
    outcome: "failed" | "abandoned" | "broken" | "timed out" | "evicted",
    peersFault = false,
  ): void {
    const { counters } = this.host;
    add(counters.handshakes, outcome);
    const ech = this.connection?.ech;
    if (ech !== undefined) counters.echOutcome(ech);
    this.host.handshakeOver(this, peersFault);
    this.phase = Phase.Closing;
  }

  protected override linger(discards: number): void {
    this.connection = undefined;
    super.linger(discards);
  }

  protected leaveHandler(): void {
    const handler = this.handler;
    this.handler = undefined;
    try {
      handler?.close();
    } catch (error) {
      this.#exception(error);
    }
  }
}
