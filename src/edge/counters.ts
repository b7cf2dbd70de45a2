/**
 * What happened so far, as plain numbers. Every label is from a fixed set, so nothing here grows with what peers send.
 * @module
 */
import { Alert, alertName } from "../tls/alert.ts";
import { ALERT_FOR, type TlsError } from "../tls/error.ts";
import type { EchStatus, Negotiated } from "../tls/output.ts";
import type { EndingLimit, RefusingLimit } from "./limits.ts";

/** Label → count. What is missing is 0. */
export type Tally = Record<string, number>;

export class Counters {
  accepted = 0;
  live = 0;
  /** Handshakes under way. */
  pending = 0;
  /** New connections closed at once, by the limit that said so. */
  readonly refused: Tally = {};
  /** Accepted connections ended by a limit, by its name. */
  readonly limits: Tally = {};
  /** full, resumed, failed (by the peer), abandoned (by the peer, without a word), broken (by us). */
  readonly handshakes: Tally = {};
  readonly helloRetried: Tally = {};
  /** By the reason of the TlsError. */
  readonly errors: Tally = {};
  readonly alertsSent: Tally = {};
  readonly alertsReceived: Tally = {};
  /** not-offered, rejected, rejected stale-likely, accepted, ech_required. */
  readonly ech: Tally = {};
  /** The same of the outcomes that name a config_id, by it: 256 at most. */
  readonly echByConfigId: Tally[] = [];
  plainHttp = 0;
  /** Connections passed on without being decrypted. */
  passedOn = 0;
  /** How late the serving thread was, in ms: samples by their upper bound (`LoopLag`). */
  readonly loopLag: Tally = {};
  /** Our own faults: exceptions that ended a connection. */
  exceptions = 0;

  refuse(limit: RefusingLimit): void {
    add(this.refused, limit);
  }

  endedBy(limit: EndingLimit): void {
    add(this.limits, limit);
  }

  handshake(facts: Negotiated): void {
    add(this.handshakes, facts.resumed ? "resumed" : "full");
    this.echOutcome(facts.ech);
  }

  echOutcome(ech: EchStatus): void {
    add(this.ech, ech.outcome);
    if (ech.staleLikely) add(this.ech, "rejected stale-likely");
    if (ech.configId === undefined) return;
    const byId = this.echByConfigId[ech.configId] ??= {};
    add(byId, ech.outcome);
    if (ech.staleLikely) add(byId, "rejected stale-likely");
  }

  /** A connection ended with this error; `ech` is what it had come to by then. */
  error(error: TlsError, ech: EchStatus | undefined): void {
    add(this.errors, error.reason);
    const sent = ALERT_FOR[error.reason];
    if (sent !== undefined) add(this.alertsSent, sent);
    if (error.received === undefined) return;
    const received = alertName(error.received);
    add(this.alertsReceived, received in Alert ? received : "unknown");
    // A client that learnt our new keys goes away with this alert, to come back with them (RFC 9849 §6.1.6).
    if (error.received !== Alert.ech_required || ech?.outcome !== "rejected") return;
    add(this.ech, "ech_required");
    if (ech.configId !== undefined) {
      add(this.echByConfigId[ech.configId] ??= {}, "ech_required");
    }
  }
}

export function add(tally: Tally, label: string, by: number = 1): void {
  tally[label] = (tally[label] ?? 0) + by;
}
