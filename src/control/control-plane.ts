/**
 * The control plane in the process that serves: it builds the first snapshot, and a new one whenever something is due.
 *
 * A start serves what the last run of the same configuration has left in the snapshot's file, at once; then it looks
 * after what may have changed, as it does each minute from then on. So
 * - a file that has changed meanwhile is read, and one that cannot be used is a warning, as in a server that runs: what
 *   was read before goes on serving. A first start, and another configuration, refuse it;
 * - of another configuration only those sites are built that are not the same as before;
 * - where storage fails, what is in the file serves, and storage is tried again each minute.
 *
 * @module
 */
import type { Config } from "../config/config.ts";
import type { Crypto } from "../crypto/crypto.ts";
import type { StoredEchKeys, StoredSnapshot } from "../snapshot/codec.ts";
import { Snapshot } from "../snapshot/snapshot.ts";
import { echKey, EchKeySet } from "../tls/ech.ts";
import { freshTicketKey, rotate, type TicketKey, TicketKeys } from "../tls/tickets.ts";
import { type BuiltSnapshot, serverConfig, SnapshotBuilder } from "./build-snapshot.ts";
import { type LocalCa, openLocalCa } from "./certificates/local-ca.ts";
import { ClockWatch } from "./clock-watch.ts";
import { ensureEchKeySet, loadEchKeys } from "./ech/ech-key-store.ts";
import { maximumNameLength } from "./ech/ech-keys.ts";
import { foldElsewhere } from "./fold-names.ts";
import { inTurns } from "./pace.ts";
import { hashingConfig } from "./site-keys.ts";
import type { SnapshotFile } from "./snapshot-file.ts";
import { type Storage, StorageError } from "./storage/storage.ts";

export interface ControlPlaneParts {
  readonly config: Config;
  /** Asked again where it failed at start. */
  readonly openStorage: () => Promise<Storage>;
  /** Undefined: none is kept. */
  readonly file?: SnapshotFile | undefined;
  readonly crypto: Crypto;
  readonly keyLog: ((line: string) => void) | undefined;
  /** The clock: ms since 1970. */
  readonly now: () => number;
  /** A clock that nobody sets, ms. Default: the runtime's. */
  readonly monotonicMs?: () => number;
  /** What the operator should hear while it serves, a sentence. */
  readonly onWarning?: (what: string) => void;
  /** While it serves the local CA has come to issue under another root: where its certificate lies in storage. */
  readonly onNewRoot?: (storageKey: string) => void;
  /** Sites that a first start has built, of how many: once a second. */
  readonly onProgress?: (done: number, total: number) => void;
  /** A later snapshot could not be built: the last one goes on serving. */
  readonly onTrouble: (error: unknown) => void;
}

/**
 * Everything that has to be there before the first connection.
 *
 * @throws {StorageError | EchKeyError | X509Error} whose message says what is wrong and where
 */
export async function startControlPlane(parts: ControlPlaneParts): Promise<ControlPlane> {
  const { stored, warning } = await parts.file?.read() ?? {};
  const plane = new ControlPlane(parts, warning === undefined ? [] : [warning]);
  await plane.start(stored);
  return plane;
}

/** What is there once storage is. */
interface Opened {
  readonly storage: Storage;
  readonly localCa: LocalCa;
  readonly builder: SnapshotBuilder;
}

/** Of one configuration. */
interface Ech {
  readonly set: EchKeySet;
  /** The same keys, as they are kept. */
  readonly stored: StoredEchKeys;
}

export class ControlPlane {
  readonly #parts: ControlPlaneParts;
  readonly #clock: ClockWatch;
  #config: Config;
  #configHash = "";
  #opened: Opened | undefined;
  #ech: Ech | undefined;
  #snapshot: Snapshot | undefined;
  #built: BuiltSnapshot | undefined;
  #rootKey = "";
  /** The last one that was told of. */
  #toldRootKey = "";
  /** What the chains of all sites lead to; while it is another than the local CA's they are obtained anew. */
  #authorities = "";
  #warnings: readonly string[];
  /** Between these two times the local CA need not be looked after. */
  #lookedMs: number;
  #nextLookMs = 0;
  #nextSweepMs: number;
  #ticketKeys: readonly TicketKey[];
  #tickets: TicketKeys;
  #timer: ReturnType<typeof setInterval> | undefined;
  #onSnapshot: (snapshot: Snapshot) => void = () => {};
  /** Whoever started it has not heard the warnings yet. */
  #isStarting = true;
  /** One build at a time. */
  #queue: Promise<unknown> = Promise.resolve();
  #isTicking = false;
  #ticking: Promise<void> = Promise.resolve();
  #isFolding = false;
  #folding: Promise<void> = Promise.resolve();
  #writing: Promise<void> = Promise.resolve();
  /** What the file holds, or is about to. */
  #written: { readonly slots: Snapshot["slots"]; readonly ech: Ech | undefined } | undefined;
  #endRest: () => void = () => {};
  /** Who waits in `written`. */
  #awaited = 0;

  /** For `startControlPlane`. */
  constructor(parts: ControlPlaneParts, warnings: readonly string[]) {
    this.#parts = parts;
    this.#config = parts.config;
    this.#warnings = warnings;
    const { now, crypto, monotonicMs = () => performance.now() } = parts;
    this.#clock = new ClockWatch(now, monotonicMs);
    this.#lookedMs = now();
    this.#nextSweepMs = now() + SWEEP_EVERY_MS;
    this.#ticketKeys = [freshTicketKey(crypto, now())];
    this.#tickets = new TicketKeys(crypto, this.#ticketKeys, TICKET_LIFETIME_SECONDS);
  }

  /** The newest one. */
  get snapshot(): Snapshot {
    return this.#snapshot!;
  }

  /** Undefined: ECH is off. */
  get ech(): EchKeySet | undefined {
    return this.#ech?.set;
  }

  /** @throws {TypeError} storage has not been there yet */
  get localCa(): LocalCa {
    if (this.#opened === undefined) throw new TypeError("Cannot use the local CA without storage");
    return this.#opened.localCa;
  }

  /** Where the certificate of the root that issues lies in storage. */
  get rootKey(): string {
    return this.#opened?.localCa.root.storageKey ?? this.#rootKey;
  }

  /** What the start gave reason to say, each a sentence. */
  get warnings(): readonly string[] {
    return [...this.#warnings, ...this.#built?.warnings ?? []];
  }

  /** Looks after what is due, once a minute from now on. */
  keepFresh(onSnapshot: (snapshot: Snapshot) => void): void {
    this.#onSnapshot = onSnapshot;
    this.#toldRootKey = this.rootKey;
    onSnapshot(this.snapshot); // it may have changed since it was asked for
    this.#timer = setInterval(() => this.#ticking = this.#tick(), TICK_MS);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Resolves once what is under way is done. */
  async settled(): Promise<void> {
    await this.#ticking;
    await this.#folding;
  }

  /** Resolves once the file holds what is served, or could not be written. */
  async written(): Promise<void> {
    this.#awaited++; // a rest that is still to come must not hold anybody up
    this.#endRest();
    try {
      await this.#writing;
    } finally {
      this.#awaited--;
    }
  }

  /**
   * Takes another configuration: all of it, or with an error none.
   *
   * @throws {StorageError | EchKeyError | X509Error} whose message says what is wrong and where
   */
  async reload(config: Config): Promise<void> {
    await this.#inTurn(() => this.#configure(config));
    this.#tell();
  }

  /** For `startControlPlane`. @param stored what an earlier run has left */
  async start(stored: StoredSnapshot | undefined): Promise<void> {
    this.#configHash = await inTurns(hashingConfig(this.#config));
    const isSame = stored?.configHash === this.#configHash;
    try {
      if (isSame) await this.#goOn(stored);
      else await this.#configure(this.#config, stored);
    } catch (error) {
      if (!(error instanceof StorageError) || !isSame) throw error;
      this.#serve(stored, undefined);
      const since = new Date(stored.createdMs).toISOString();
      this.#warnings = [
        ...this.#warnings,
        `Storage cannot be used, what it held at ${since} is served: ${error.message}`,
      ];
    }
    if (this.#opened !== undefined && stored !== undefined) await this.#firstLook();
    this.#isStarting = false;
  }

  /** What an earlier run of the same configuration has built. */
  async #goOn(stored: StoredSnapshot): Promise<void> {
    const opened = await this.#open();
    const ech = await this.#openEch(this.#config, opened.storage);
    this.#serve(stored, ech);
    this.#opened = opened;
    this.#built = await opened.builder.adopt(this.snapshot, this.#config);
    this.#nextLookMs = this.#nextLookOf(opened.localCa);
    this.#writeFile();
  }

  /** @param stored of another configuration: what is the same in both is not built again */
  async #configure(config: Config, stored?: StoredSnapshot): Promise<void> {
    const opened = await this.#open();
    const configHash = await inTurns(hashingConfig(config));
    const ech = await this.#openEch(config, opened.storage);
    if (stored !== undefined) {
      const { crypto, keyLog } = this.#parts;
      const parts = { config, crypto, keyLog, tickets: this.#tickets, ech: undefined };
      const server = serverConfig(parts, stored.flightPadding);
      await opened.builder.adopt(new Snapshot({ server, sites: [] }, stored.table), undefined);
      this.#authorities = stored.authorities;
    } else if (this.#opened === undefined && this.#snapshot !== undefined) {
      await opened.builder.adopt(this.#snapshot, this.#config);
    }
    const wish = { config, ech: ech?.set, tickets: this.#tickets, nowMs: this.#parts.now() };
    const isFirst = this.#snapshot === undefined && stored === undefined;
    const built = await opened.builder.build(wish);
    if (isFirst) this.#authorities = opened.localCa.authorities;
    this.#config = config;
    this.#configHash = configHash;
    this.#ech = ech;
    this.#take(opened, built);
  }

  /** Puts a snapshot of an earlier run in the place of what was there. @param ech undefined: as it was then */
  #serve(stored: StoredSnapshot, ech: Ech | undefined): void {
    const { crypto, keyLog } = this.#parts;
    const { table, ech: keys, rootKey, flightPadding, defaultSni, fallbackSni } = stored;
    const before = keys && {
      set: new EchKeySet(keys.keys.map((key) => echKey(crypto, key)), keys.state),
      stored: keys,
    };
    this.#ech = ech === undefined || (before !== undefined && isSameEch(ech, before))
      ? before
      : ech;
    const parts = { config: this.#config, crypto, keyLog, tickets: this.#tickets };
    const server = serverConfig({ ...parts, ech: this.#ech?.set }, flightPadding);
    this.#snapshot = new Snapshot({ server, sites: [], defaultSni, fallbackSni }, table);
    this.#written = { slots: table.slots, ech: before };
    this.#rootKey = rootKey;
    this.#authorities = stored.authorities;
  }

  /**
   * Before anybody is served: what is due or has changed, as long as it does not take long. The rest goes on while it
   * serves. An expired certificate is worth waiting for.
   */
  async #firstLook(): Promise<void> {
    const { builder } = this.#opened!;
    const { slots } = this.snapshot;
    const nowMs = this.#parts.now();
    const due = await builder.due(nowMs, false);
    const isExpired = due.some((slot) => {
      const { sinceMs, dueMs } = slots.origin(slot)!;
      return nowMs >= dueMs + (dueMs - sinceMs) / 4; // due when four fifths of its life are over
    });
    const timeout = Promise.withResolvers<void>();
    const timer = setTimeout(timeout.resolve, isExpired ? FIRST_LOOK_EXPIRED_MS : FIRST_LOOK_MS);
    await Promise.race([this.#ticking = this.#tick(), timeout.promise]);
    clearTimeout(timer);
  }

  async #open(): Promise<Opened> {
    if (this.#opened !== undefined) return this.#opened;
    const { openStorage, crypto, keyLog, now } = this.#parts;
    const storage = await openStorage();
    const localCa = await openLocalCa({ storage, now });
    const onProgress = this.#progress();
    const builder = new SnapshotBuilder({ crypto, localCa, keyLog, onProgress });
    return { storage, localCa, builder };
  }

  /** Tells the first start's progress, from its second second on. */
  #progress(): (done: number, total: number) => void {
    let nextMs = performance.now() + PROGRESS_MS;
    return (done, total) => {
      const nowMs = performance.now();
      if (!this.#isStarting || nowMs < nextMs) return;
      nextMs = nowMs + PROGRESS_MS;
      this.#parts.onProgress?.(done, total);
    };
  }

  async #openEch({ ech, sites }: Config, storage: Storage): Promise<Ech | undefined> {
    if (!ech.enabled) return undefined;
    const { crypto, now } = this.#parts;
    const set = await ensureEchKeySet(crypto, storage, {
      publicName: ech.publicName,
      maximumNameLength: maximumNameLength(namesOf(sites), false),
      nowMs: now(),
    });
    const next = { set, stored: { state: set.state, keys: await loadEchKeys(storage) } };
    return this.#ech !== undefined && isSameEch(this.#ech, next) ? this.#ech : next;
  }

  #take(opened: Opened, built: BuiltSnapshot): void {
    this.#opened = opened;
    this.#built = built;
    this.#snapshot = built.snapshot;
    this.#nextLookMs = this.#nextLookOf(opened.localCa);
    this.#writeFile();
    this.#fold();
  }

  #nextLookOf(localCa: LocalCa): number {
    const nextDueMs = this.#built?.nextDueMs ?? Infinity;
    const { nextLookMs } = localCa.schedule([]);
    return nextDueMs > this.#parts.now() ? Math.min(nextLookMs, nextDueMs) : nextLookMs;
  }

  async #tick(): Promise<void> {
    if (this.#isTicking) return await this.#ticking;
    this.#isTicking = true;
    try {
      await this.#refresh(this.#rotateTicketKeys());
    } catch (error) {
      this.#parts.onTrouble(error);
    } finally {
      this.#isTicking = false;
    }
  }

  /** In steps, each of them a snapshot that is served: whoever wants another configuration need not wait for all. */
  async #refresh(isRotated: boolean): Promise<void> {
    const opened = this.#opened;
    if (opened === undefined) {
      await this.#inTurn(() => this.#configure(this.#config));
      this.#tell();
      return await this.#refresh(isRotated);
    }
    const { localCa, builder } = opened;
    let trouble: unknown;
    const isRenewed = await this.#renewAuthorities(localCa).catch((error: unknown) => {
      trouble = error; // what else is due need not wait for it
      return false;
    });
    const { authorities } = localCa;
    const all = isRenewed || this.#authorities !== authorities;
    const nowMs = this.#parts.now();
    const due = await builder.due(nowMs, all);
    let changed: ReadonlySet<number> = await builder.changedFiles();
    let isNew = isRotated;
    for (let at = 0; at < due.length || changed.size > 0 || isNew; at += SITES_A_STEP) {
      const step = due.slice(at, at + SITES_A_STEP);
      await this.#inTurn(async () => {
        const wish = { config: this.#config, ech: this.#ech?.set, tickets: this.#tickets, nowMs };
        const refreshed = await builder.refresh(wish, step, changed, all);
        trouble ??= refreshed.trouble;
        this.#take(opened, refreshed.built);
      });
      this.#tell();
      [changed, isNew] = [new Set(), false];
      if (trouble instanceof StorageError) break;
    }
    if (trouble !== undefined) return this.#parts.onTrouble(trouble);
    if (this.#authorities === authorities) return;
    this.#authorities = authorities;
    this.#written = undefined;
    this.#writeFile();
  }

  #tell(): void {
    this.#tellNews();
    const { rootKey } = this;
    if (this.#toldRootKey !== "" && rootKey !== this.#toldRootKey) {
      this.#parts.onNewRoot?.(rootKey);
    }
    this.#toldRootKey = rootKey;
    this.#onSnapshot(this.snapshot);
  }

  #tellNews(): void {
    if (this.#isStarting) return;
    for (const what of this.#built?.news ?? []) this.#parts.onWarning?.(what);
  }

  /** True if there is a new generation. */
  #rotateTicketKeys(): boolean {
    const { crypto, now } = this.#parts;
    const nowMs = now();
    const ageMs = nowMs - this.#ticketKeys[0]!.createdMs;
    // Below 0 the clock was set back: rather one rotation too many than none for long.
    if (ageMs >= 0 && ageMs < TICKET_ROTATION_MS) return false;
    const next = freshTicketKey(crypto, nowMs);
    this.#ticketKeys = rotate(this.#ticketKeys, next, TICKET_GENERATIONS);
    this.#tickets = new TicketKeys(crypto, this.#ticketKeys, TICKET_LIFETIME_SECONDS);
    return true;
  }

  /** True: chains are others from now on. */
  async #renewAuthorities(localCa: LocalCa): Promise<boolean> {
    const nowMs = this.#parts.now();
    const { authoritiesDue } = localCa.schedule([]);
    // Before the last look: the clock was set back.
    const isDue = nowMs >= this.#nextLookMs || nowMs < this.#lookedMs;
    if (!isDue && !authoritiesDue) return false;
    this.#lookedMs = nowMs;
    this.#nextLookMs = this.#nextLookOf(localCa);
    const { mayErase, jumpMs } = this.#clock.look();
    if (jumpMs !== 0) this.#parts.onWarning?.(aboutJump(jumpMs));
    const isRenewed = await localCa.renew();
    if (mayErase && nowMs >= this.#nextSweepMs) {
      this.#nextSweepMs = nowMs + SWEEP_EVERY_MS;
      await localCa.sweep(mayErase);
    }
    return isRenewed;
  }

  /** In the background, the newest one after the other. */
  #writeFile(): void {
    const { file, now } = this.#parts;
    const snapshot = this.snapshot;
    const ech = this.#ech;
    const isWritten = this.#written?.slots === snapshot.slots && this.#written.ech === ech;
    if (file === undefined || isWritten) return;
    this.#written = { slots: snapshot.slots, ech };
    const facts = {
      createdMs: now(),
      configHash: this.#configHash,
      rootKey: this.rootKey,
      authorities: this.#authorities,
      flightPadding: snapshot.server.flightPadding,
      ech: ech?.stored,
    };
    this.#writing = this.#writing.then(async () => {
      if (this.#written?.slots !== snapshot.slots) return; // a newer one waits behind
      try {
        const startMs = performance.now();
        await file.write(snapshot, facts);
        if (snapshot.slots.looseCount > MAX_LOOSE) await this.#packSites(file, snapshot.slots);
        await this.#rest(WRITE_REST * (performance.now() - startMs));
      } catch (error) {
        this.#written = undefined;
        this.#parts.onTrouble(error);
      }
    });
  }

  /** A large file takes its time: it is not written for each change of many, the last one counts. */
  async #rest(ms: number): Promise<void> {
    if (ms < MIN_REST_MS || this.#awaited > 0) return;
    const rest = Promise.withResolvers<void>();
    const timer = setTimeout(rest.resolve, ms);
    timer.unref();
    this.#endRest = rest.resolve;
    await rest.promise;
    clearTimeout(timer);
  }

  /** Sites that are objects take ten times the room of their bytes, which have just been written. */
  async #packSites(file: SnapshotFile, written: Snapshot["slots"]): Promise<void> {
    const { stored, warning } = await file.read();
    if (stored === undefined) throw new Error(warning ?? "The snapshot's file has gone");
    await this.#inTurn(() => {
      const { slots } = this.snapshot;
      this.#built = this.#opened!.builder.rebase((snapshot) =>
        snapshot.withSites(stored.table.slots.base, written)
      );
      this.#snapshot = this.#built.snapshot;
      if (slots === written) this.#written = { slots: this.snapshot.slots, ech: this.#ech };
      return Promise.resolve();
    });
    this.#onSnapshot(this.snapshot);
  }

  /** In the background, on another thread: the overlay has grown large. */
  #fold(): void {
    const { index } = this.snapshot;
    if (this.#isFolding || !index.isCrowded) return;
    this.#isFolding = true;
    this.#folding = foldElsewhere(index).then(async (base) => {
      await this.#inTurn(() => {
        // Whoever had more changes than an overlay holds has built a base of its own.
        if (this.snapshot.index.base !== index.base) return Promise.resolve();
        this.#built = this.#opened!.builder.rebase((snapshot) =>
          snapshot.withBase(base, index.overlay)
        );
        this.#snapshot = this.#built.snapshot;
        return Promise.resolve();
      });
      this.#onSnapshot(this.snapshot);
    }).catch((error: unknown) => this.#parts.onTrouble(error)).finally(() => {
      this.#isFolding = false;
    });
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work);
    this.#queue = result.catch(() => {});
    return result;
  }
}

function isSameEch(a: Ech, b: Ech): boolean {
  return a.stored.state === b.stored.state &&
    JSON.stringify(a.stored.keys) === JSON.stringify(b.stored.keys);
}

function* namesOf(sites: Config["sites"]): Generator<string> {
  for (const { names, ech } of sites) if (ech) yield* names;
}

function aboutJump(jumpMs: number): string {
  const minutes = Math.round(Math.abs(jumpMs) / 60_000);
  return `The clock was set ${
    jumpMs > 0 ? "forward" : "back"
  } by ${minutes} minutes: nothing that has expired is ` +
    "erased until it has run for an hour without that";
}

const TICK_MS = 60_000;
const PROGRESS_MS = 1000;
const FIRST_LOOK_MS = 100;
const FIRST_LOOK_EXPIRED_MS = 1000;
/** Renewed together, and then served. */
const SITES_A_STEP = 256;
/** Sites that may be objects before they are packed. */
const MAX_LOOSE = 2048;
/** After writing it rests for so many times as long as that took, where that is long at all. */
const WRITE_REST = 4;
const MIN_REST_MS = 400;
/** acme §14.12. */
const SWEEP_EVERY_MS = 86_400_000;
/** policy §5 and tls13-server §7.1: a key opens what it sealed for as long as that may be used. */
const TICKET_ROTATION_MS = 12 * 3600_000;
const TICKET_GENERATIONS = 4;
const TICKET_LIFETIME_SECONDS = 36 * 3600;
