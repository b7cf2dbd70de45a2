/**
 * The control plane in the process that serves: it builds the first snapshot, and a new one whenever something is due.
 * @module
 */
import type { Config } from "../config/config.ts";
import type { Crypto } from "../crypto/crypto.ts";
import type { Snapshot } from "../snapshot/snapshot.ts";
import type { EchKeySet } from "../tls/ech.ts";
import { freshTicketKey, rotate, type TicketKey, TicketKeys } from "../tls/tickets.ts";
import { buildSnapshot, type BuiltSnapshot } from "./build-snapshot.ts";
import { type LocalCa, openLocalCa } from "./certificates/local-ca.ts";
import { ClockWatch } from "./clock-watch.ts";
import { ensureEchKeySet } from "./ech/ech-key-store.ts";
import { maximumNameLength } from "./ech/ech-keys.ts";
import type { Storage } from "./storage/storage.ts";

export interface ControlPlaneParts {
  readonly config: Config;
  readonly storage: Storage;
  readonly crypto: Crypto;
  readonly keyLog: ((line: string) => void) | undefined;
  /** The clock: ms since 1970. */
  readonly now: () => number;
  /** A clock that nobody sets, ms. Default: the runtime's. */
  readonly monotonicMs?: () => number;
  /** What the operator should hear while it serves, a sentence. */
  readonly onWarning?: (what: string) => void;
  /** A later snapshot could not be built: the last one goes on serving. */
  readonly onTrouble: (error: unknown) => void;
}

/**
 * Everything that has to be there before the first connection.
 *
 * @throws {StorageError | EchKeyError | X509Error} whose message says what is wrong and where
 */
export async function startControlPlane(parts: ControlPlaneParts): Promise<ControlPlane> {
  const { config, storage, crypto, now } = parts;
  const localCa = await openLocalCa({ storage, now });
  const ech = config.ech.enabled
    ? await ensureEchKeySet(crypto, storage, {
      publicName: config.ech.publicName,
      maximumNameLength: maximumNameLength(config.sites.flatMap((site) => site.names), false),
      nowMs: now(),
    })
    : undefined;
  const plane = new ControlPlane(parts, localCa, ech);
  await plane.refresh();
  return plane;
}

export class ControlPlane {
  readonly localCa: LocalCa;
  /** Undefined: ECH is off. */
  readonly ech: EchKeySet | undefined;
  readonly #parts: ControlPlaneParts;
  readonly #clock: ClockWatch;
  /** Between these two times the local CA need not be looked after. */
  #lookedMs: number;
  #nextLookMs = 0;
  #nextSweepMs: number;
  #ticketKeys: readonly TicketKey[];
  #built: BuiltSnapshot | undefined;
  #timer: ReturnType<typeof setInterval> | undefined;
  #isTicking = false;

  /** For `startControlPlane`. */
  constructor(parts: ControlPlaneParts, localCa: LocalCa, ech: EchKeySet | undefined) {
    this.#parts = parts;
    this.localCa = localCa;
    this.ech = ech;
    const { now, monotonicMs = () => performance.now() } = parts;
    this.#clock = new ClockWatch(now, monotonicMs);
    this.#lookedMs = now();
    this.#nextSweepMs = now() + SWEEP_EVERY_MS;
    this.#ticketKeys = [freshTicketKey(parts.crypto, parts.now())];
  }

  /** The newest one. */
  get snapshot(): Snapshot {
    return this.#built!.snapshot;
  }

  /** What building it gave reason to say, each a sentence. */
  get warnings(): readonly string[] {
    return this.#built!.warnings;
  }

  /** Looks after what is due, once a minute from now on. */
  keepFresh(onSnapshot: (snapshot: Snapshot) => void): void {
    this.#nextLookMs = this.localCa.schedule(this.#built!.managed).nextLookMs;
    this.#timer = setInterval(() => void this.#tick(onSnapshot), TICK_MS);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Builds a snapshot from what files and storage hold now. With an error the old one stays. */
  async refresh(): Promise<void> {
    const { config, crypto, keyLog, now } = this.#parts;
    this.#built = await buildSnapshot({
      config,
      crypto,
      keyLog,
      localCa: this.localCa,
      ech: this.ech,
      tickets: new TicketKeys(crypto, this.#ticketKeys, TICKET_LIFETIME_SECONDS),
      nowMs: now(),
    });
  }

  async #tick(onSnapshot: (snapshot: Snapshot) => void): Promise<void> {
    if (this.#isTicking) return;
    this.#isTicking = true;
    try {
      const isRotated = this.#rotateTicketKeys();
      const isRenewed = await this.#renewAuthorities();
      const { leavesDue } = this.localCa.schedule(this.#built!.managed);
      if (!isRotated && !isRenewed && leavesDue.length === 0) return;
      await this.refresh();
      onSnapshot(this.snapshot);
      this.#nextLookMs = this.localCa.schedule(this.#built!.managed).nextLookMs;
    } catch (error) {
      this.#parts.onTrouble(error);
    } finally {
      this.#isTicking = false;
    }
  }

  /** True if there is a new generation. */
  #rotateTicketKeys(): boolean {
    const nowMs = this.#parts.now();
    const ageMs = nowMs - this.#ticketKeys[0]!.createdMs;
    // Below 0 the clock was set back: rather one rotation too many than none for long.
    if (ageMs >= 0 && ageMs < TICKET_ROTATION_MS) return false;
    const next = freshTicketKey(this.#parts.crypto, nowMs);
    this.#ticketKeys = rotate(this.#ticketKeys, next, TICKET_GENERATIONS);
    return true;
  }

  /** True: chains are others from now on. */
  async #renewAuthorities(): Promise<boolean> {
    const nowMs = this.#parts.now();
    const { authoritiesDue, nextLookMs } = this.localCa.schedule(this.#built!.managed);
    // Before the last look: the clock was set back.
    const isDue = nowMs >= this.#nextLookMs || nowMs < this.#lookedMs;
    if (!isDue && !authoritiesDue) return false;
    this.#lookedMs = nowMs;
    this.#nextLookMs = nextLookMs;
    const { mayErase, jumpMs } = this.#clock.look();
    if (jumpMs !== 0) this.#parts.onWarning?.(aboutJump(jumpMs));
    const isRenewed = await this.localCa.renew();
    if (mayErase && nowMs >= this.#nextSweepMs) {
      this.#nextSweepMs = nowMs + SWEEP_EVERY_MS;
      await this.localCa.sweep(mayErase);
    }
    return isRenewed;
  }
}

function aboutJump(jumpMs: number): string {
  const minutes = Math.round(Math.abs(jumpMs) / 60_000);
  return `The clock was set ${
    jumpMs > 0 ? "forward" : "back"
  } by ${minutes} minutes: nothing that has expired is ` +
    "erased until it has run for an hour without that";
}

const TICK_MS = 60_000;
/** acme §14.12. */
const SWEEP_EVERY_MS = 86_400_000;
/** policy §5 and tls13-server §7.1: a key opens what it sealed for as long as that may be used. */
const TICKET_ROTATION_MS = 12 * 3600_000;
const TICKET_GENERATIONS = 4;
const TICKET_LIFETIME_SECONDS = 36 * 3600;
