/**
 * An established connection: KeyUpdate, tickets, exporters (RFC 9846 §4.7, §7.5).
 * @module
 */
import type { ApplicationSecrets, Suite, TrafficKeys } from "../crypto/crypto.ts";
import { TlsError } from "./error.ts";
import type { Limits } from "./limits.ts";
import type { Link } from "./link.ts";
import type { Negotiated } from "./output.ts";
import { endsRecord, type State } from "./state.ts";
import { ContentType, HandshakeType } from "./wire/code-points.ts";
import { decodeKeyUpdate, encodeKeyUpdate } from "./wire/key-update.ts";
import { encodeNewSessionTicket } from "./wire/new-session-ticket.ts";
import { Writer } from "./wire/writer.ts";

/** Tickets that are still to be sent. Gone once they are: an established connection keeps keys and nothing else. */
export interface TicketPlan {
  readonly count: number;
  readonly resumptionSecret: Uint8Array;
  readonly cipherSuite: number;
  readonly alpn: string | undefined;
  readonly serverNameHash: Uint8Array;
  readonly policyId: number;
  readonly echAccepted: boolean;
  /** When the full handshake was that all this rests on. */
  readonly authenticatedSeconds: number;
}

/** What the handshake has come to. */
interface Agreed {
  readonly suite: Suite;
  readonly application: ApplicationSecrets;
  readonly facts: Negotiated;
}

/** Idle connections are many, and each has one of these: its secrets lie in one array. */
export class Traffic implements State {
  readonly #suite: Suite;
  /** client_application_traffic_secret_N ‖ server_application_traffic_secret_N, then exporter_secret where it is kept. */
  readonly #secrets: Uint8Array;
  /** Undefined once the world has heard of it. */
  #agreed: Agreed | undefined;
  #tickets: TicketPlan | undefined;
  #updatesWithoutData = 0;
  /** Our KeyUpdate is sealed and has not gone to the socket: further requests ask for nothing more. */
  #updateQueued = false;

  /** Takes the secrets: they are wiped where they were. */
  constructor(agreed: Agreed, tickets: TicketPlan | undefined, keepExporterSecret: boolean) {
    const { clientTraffic, serverTraffic, exporter } = agreed.application;
    const length = agreed.suite.hashLength;
    this.#suite = agreed.suite;
    this.#secrets = new Uint8Array((keepExporterSecret ? 3 : 2) * length);
    this.#secrets.set(clientTraffic);
    this.#secrets.set(serverTraffic, length);
    if (keepExporterSecret) this.#secrets.set(exporter, 2 * length);
    clientTraffic.fill(0);
    serverTraffic.fill(0);
    this.#agreed = agreed;
    this.#tickets = tickets;
  }

  // No fields: those would be 16 bytes more of each.
  get name(): string {
    return "Traffic";
  }
  get parked(): boolean {
    return false;
  }

  limitFor(type: number, limits: Limits): number | undefined {
    return type === HandshakeType.key_update ? limits.maxPostHandshakeMessage : undefined;
  }

  enter(link: Link): void {
    const agreed = this.#agreed;
    if (agreed === undefined) return;
    try {
      link.out.established(agreed.facts);
    } finally {
      agreed.application.exporter.fill(0);
      this.#agreed = undefined;
    }
  }

  /** KeyUpdate (RFC 9846 §4.7.3): the read key changes at once, ours in answer to a request. */
  handle(message: Uint8Array, last: boolean, link: Link): State {
    const requested = decodeKeyUpdate(message);
    endsRecord(last, "KeyUpdate");
    if (++this.#updatesWithoutData > link.config.limits.maxKeyUpdatesWithoutData) {
      throw new TlsError("too many KeyUpdates");
    }
    link.protectRead(this.#suite, this.#nextKeys(0, link));
    if (requested && !this.#updateQueued && !link.isClosed) this.updateWriteKey(link);
    return this;
  }

  /** KeyUpdate(update_not_requested) under the old key; whatever is sealed after it uses the new one. */
  updateWriteKey(link: Link): void {
    scratch.reset();
    encodeKeyUpdate(scratch, false);
    link.write(ContentType.handshake, scratch.view(), 0, scratch.length);
    link.protectWrite(this.#suite, this.#nextKeys(this.#suite.hashLength, link));
    this.#updateQueued = true;
  }

  /** Puts the next generation of a traffic secret in its place, `at` in the array (RFC 9846 §7.2). */
  #nextKeys(at: number, link: Link): TrafficKeys {
    const secret = this.#secrets.slice(at, at + this.#suite.hashLength);
    const next = link.config.crypto.schedule.update(this.#suite, secret);
    this.#secrets.set(next.secret, at);
    secret.fill(0);
    next.secret.fill(0);
    return next.keys;
  }

  /** RFC 9846 §5.5. ChaCha20-Poly1305 has no such limit. */
  needsRekey(link: Link): boolean {
    return link.writer.sealedRecords >= link.config.limits.rekeyAfterRecords &&
      this.#suite.aead !== "chacha20-poly1305";
  }

  dataReceived(): void {
    this.#updatesWithoutData = 0;
  }

  flushed(): void {
    this.#updateQueued = false;
  }

  /** NewSessionTicket × count, in one record; sizes are the same for every site (tls13-server §7.1). */
  sendTickets(link: Link): void {
    const plan = this.#tickets;
    if (plan === undefined) return;
    this.#tickets = undefined;
    const { crypto, tickets } = link.config;
    if (tickets === undefined) return;
    scratch.reset();
    for (let i = 0; i < plan.count; i++) {
      const nonce = new Uint8Array(1);
      nonce[0] = i;
      const ageAdd = readUint32(crypto.random(4));
      const ticket = tickets.seal({
        suite: plan.cipherSuite,
        psk: crypto.schedule.ticketPsk(this.#suite.hash, plan.resumptionSecret, nonce),
        createdMs: link.nowMs,
        authenticatedSeconds: plan.authenticatedSeconds,
        lifetimeSeconds: tickets.lifetimeSeconds,
        ageAdd,
        serverNameHash: plan.serverNameHash,
        alpn: plan.alpn,
        policyId: plan.policyId,
        echAccepted: plan.echAccepted,
      });
      const { lifetimeSeconds } = tickets;
      encodeNewSessionTicket(scratch, { lifetimeSeconds, ageAdd, nonce, ticket });
    }
    plan.resumptionSecret.fill(0);
    link.write(ContentType.handshake, scratch.view(), 0, scratch.length);
  }

  /** The tickets that are still to be sent will not be. */
  dropTickets(): void {
    this.#tickets?.resumptionSecret.fill(0);
    this.#tickets = undefined;
  }

  /**
   * RFC 9846 §7.5.
   * @throws {RangeError} after `established`, unless the server keeps exporter secrets
   */
  exportKeyingMaterial(
    label: string,
    context: Uint8Array,
    length: number,
    link: Link,
  ): Uint8Array {
    const exporter = this.#agreed?.application.exporter ??
      this.#secrets.slice(2 * this.#suite.hashLength);
    if (exporter.length === 0) {
      throw new RangeError("Cannot export keying material: keepExporterSecret is off");
    }
    const { schedule } = link.config.crypto;
    return schedule.exporter(this.#suite.hash, exporter, label, context, length);
  }
}

function readUint32(bytes: Uint8Array): number {
  return ((bytes[0]! << 24) | (bytes[1]! << 16) | (bytes[2]! << 8) | bytes[3]!) >>> 0;
}

/** Used within one call. */
const scratch = new Writer(1024);
