/**
 * The control plane in the process that serves: it builds the first snapshot, and a new one whenever something is due.
 *
 * Where storage fails at start, the last snapshot of this machine serves, if it was built from the same configuration;
 * storage is tried again each minute.
 *
 * @module
 */
import { createHash } from "node:crypto";

import type { Config } from "../config/config.ts";
import type { Crypto } from "../crypto/crypto.ts";
import type { StoredEchKeys, StoredSnapshot } from "../snapshot/codec.ts";
import type { SiteCredential } from "../snapshot/credential.ts";
import { Snapshot } from "../snapshot/snapshot.ts";
import { echKey, EchKeySet } from "../tls/ech.ts";
import { freshTicketKey, rotate, type TicketKey, TicketKeys } from "../tls/tickets.ts";
import {
  type BuiltSnapshot,
  serverConfig,
  SnapshotBuilder,
  type SnapshotWish,
} from "./build-snapshot.ts";
import { type LocalCa, openLocalCa } from "./certificates/local-ca.ts";
import { ClockWatch } from "./clock-watch.ts";
import { ensureEchKeySet, loadEchKeys } from "./ech/ech-key-store.ts";
import { maximumNameLength } from "./ech/ech-keys.ts";
import { foldElsewhere } from "./fold-names.ts";
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
  try {
    await plane.open();
  } catch (error) {
    if (!(error instanceof StorageError) || stored === undefined || !plane.canServe(stored)) {
      throw error;
    }
    plane.serve(stored, error);
  }
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
  #opened: Opened | undefined;
  #ech: Ech | undefined;
  #snapshot: Snapshot | undefined;
  #built: BuiltSnapshot | undefined;
  #rootKey = "";
  #warnings: readonly string[];
  /** Between these two times the local CA need not be looked after. */
  #lookedMs: number;
  #nextLookMs = 0;
  #nextSweepMs: number;
  #ticketKeys: readonly TicketKey[];
  #tickets: TicketKeys;
  #timer: ReturnType<typeof setInterval> | undefined;
  #onSnapshot: (snapshot: Snapshot) => void = () => {};
  /** One build at a time. */
  #queue: Promise<unknown> = Promise.resolve();
  #isTicking = false;
  #ticking: Promise<void> = Promise.resolve();
  #isFolding = false;
  #folding: Promise<void> = Promise.resolve();
  #writing: Promise<void> = Promise.resolve();
  /** What the file holds, or is about to. */
  #written: { readonly slots: Snapshot["slots"]; readonly ech: Ech | undefined } | undefined;

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
    await this.#writing;
  }

  /**
   * Takes another configuration: all of it, or with an error none.
   *
   * @throws {StorageError | EchKeyError | X509Error} whose message says what is wrong and where
   */
  async reload(config: Config): Promise<void> {
    await this.#inTurn(async () => {
      const opened = await this.#open();
      const ech = await this.#openEch(config, opened.storage);
      await this.#build(opened, { config, ech, changed: "all", isDue: () => false });
    });
    this.#tellNews();
    this.#onSnapshot(this.snapshot);
  }

  /** For `startControlPlane`: the first snapshot from storage. */
  async open(): Promise<void> {
    const opened = await this.#open();
    const ech = await this.#openEch(this.#config, opened.storage);
    await this.#build(opened, {
      config: this.#config,
      ech,
      changed: "all",
      isDue: () => false,
    });
  }

  /** For `startControlPlane`: was it built from this configuration? */
  canServe({ configHash }: StoredSnapshot): boolean {
    return configHash === hashOf(this.#config);
  }

  /** For `startControlPlane`: a snapshot of an earlier run. */
  serve(stored: StoredSnapshot, cause: StorageError): void {
    const { crypto, keyLog } = this.#parts;
    const { table, ech: keys, rootKey, flightPadding, createdMs, defaultSni, fallbackSni } = stored;
    this.#ech = keys && {
      set: new EchKeySet(keys.keys.map((key) => echKey(crypto, key)), keys.state),
      stored: keys,
    };
    const parts = { config: this.#config, crypto, keyLog, tickets: this.#tickets };
    const server = serverConfig({ ...parts, ech: this.#ech?.set }, flightPadding);
    this.#snapshot = new Snapshot({ server, sites: [], defaultSni, fallbackSni }, table);
    this.#written = { slots: table.slots, ech: this.#ech };
    this.#rootKey = rootKey;
    const since = new Date(createdMs).toISOString();
    this.#warnings = [
      ...this.#warnings,
      `Storage cannot be used, what it held at ${since} is served: ${cause.message}`,
    ];
  }

  async #open(): Promise<Opened> {
    if (this.#opened !== undefined) return this.#opened;
    const { openStorage, crypto, keyLog, now } = this.#parts;
    const storage = await openStorage();
    const localCa = await openLocalCa({ storage, now });
    const builder = new SnapshotBuilder({ crypto, localCa, keyLog });
    return { storage, localCa, builder };
  }

  async #openEch({ ech, sites }: Config, storage: Storage): Promise<Ech | undefined> {
    if (!ech.enabled) return undefined;
    const { crypto, now } = this.#parts;
    const set = await ensureEchKeySet(crypto, storage, {
      publicName: ech.publicName,
      maximumNameLength: maximumNameLength(
        sites.filter((site) => site.ech).flatMap((site) => site.names),
        false,
      ),
      nowMs: now(),
    });
    const keys = await loadEchKeys(storage);
    const isSame = this.#ech !== undefined &&
      JSON.stringify(this.#ech.stored.keys) === JSON.stringify(keys) &&
      this.#ech.set.state === set.state;
    return isSame ? this.#ech : { set, stored: { state: set.state, keys } };
  }

  /** With an error everything is as it was. */
  async #build(
    opened: Opened,
    wish: Pick<SnapshotWish, "config" | "isDue" | "changed"> & { readonly ech: Ech | undefined },
  ): Promise<void> {
    const { now } = this.#parts;
    const { config, ech } = wish;
    const built = await opened.builder.build({
      ...wish,
      ech: ech?.set,
      tickets: this.#tickets,
      nowMs: now(),
    });
    this.#opened = opened;
    this.#config = config;
    this.#ech = ech;
    this.#built = built;
    this.#snapshot = built.snapshot;
    this.#nextLookMs = opened.localCa.schedule(built.managed).nextLookMs;
    this.#writeFile();
    this.#fold();
  }

  async #tick(): Promise<void> {
    if (this.#isTicking) return await this.#ticking;
    this.#isTicking = true;
    try {
      const isRotated = this.#rotateTicketKeys();
      if (await this.#inTurn(() => this.#refresh(isRotated))) {
        this.#tellNews();
        this.#onSnapshot(this.snapshot);
      }
    } catch (error) {
      this.#parts.onTrouble(error);
    } finally {
      this.#isTicking = false;
    }
  }

  /** True: there is another snapshot. */
  async #refresh(isRotated: boolean): Promise<boolean> {
    const opened = this.#opened;
    if (opened === undefined) {
      await this.open();
      return true;
    }
    let trouble: unknown;
    const isRenewed = await this.#renewAuthorities(opened.localCa).catch((error: unknown) => {
      trouble = error; // what else is due need not wait for it
      return false;
    });
    const { leavesDue } = opened.localCa.schedule(this.#built!.managed);
    const changed = await opened.builder.changedFiles();
    const isNew = isRotated || isRenewed || leavesDue.length > 0 || changed.size > 0;
    if (isNew) {
      const due = new Set<SiteCredential>(leavesDue);
      const isDue = (credential: SiteCredential): boolean => isRenewed || due.has(credential);
      await this.#build(opened, { config: this.#config, ech: this.#ech, isDue, changed });
    }
    if (trouble !== undefined) this.#parts.onTrouble(trouble);
    return isNew;
  }

  #tellNews(): void {
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
    const { authoritiesDue, nextLookMs } = localCa.schedule(this.#built!.managed);
    // Before the last look: the clock was set back.
    const isDue = nowMs >= this.#nextLookMs || nowMs < this.#lookedMs;
    if (!isDue && !authoritiesDue) return false;
    this.#lookedMs = nowMs;
    this.#nextLookMs = nextLookMs;
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
      configHash: hashOf(this.#config),
      rootKey: this.rootKey,
      flightPadding: snapshot.server.flightPadding,
      ech: ech?.stored,
    };
    this.#writing = this.#writing.then(async () => {
      if (this.#written?.slots !== snapshot.slots) return; // a newer one waits behind
      try {
        await file.write(snapshot, facts);
      } catch (error) {
        this.#written = undefined;
        this.#parts.onTrouble(error);
      }
    });
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
        this.#built = this.#opened!.builder.rebase(base, index.overlay);
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

/** What a snapshot depends on. */
function hashOf({ file: _file, warnings: _warnings, ...config }: Config): string {
  return createHash("sha256").update(JSON.stringify(config)).digest("hex");
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
