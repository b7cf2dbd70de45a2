/**
 * What is served now, and each way in which it becomes another: by a snapshot of an earlier run, by a configuration, by
 * what was due, and in the background where it has grown large. One after the other.
 * @module
 */
import type { Config } from "../config/config.ts";
import type { Crypto } from "../crypto/crypto.ts";
import type { StoredSnapshot } from "../snapshot/codec.ts";
import { Snapshot } from "../snapshot/snapshot.ts";
import { type BuiltSnapshot, SnapshotBuilder } from "./build-snapshot.ts";
import { type LocalCa, openLocalCa } from "./certificates/local-ca.ts";
import { isSameEch, type KeptEch, keptEchOf, openKeptEch } from "./ech/kept-ech.ts";
import { foldElsewhere } from "./fold-names.ts";
import { inTurns } from "./pace.ts";
import { serverConfig } from "./server-config.ts";
import { hashingConfig } from "./site-keys.ts";
import type { SnapshotFile } from "./snapshot-file.ts";
import { SnapshotWriter } from "./snapshot-writer.ts";
import type { Storage } from "./storage/storage.ts";
import { TicketRotation } from "./ticket-rotation.ts";

export interface ServedParts {
  readonly config: Config;
  /** Asked again where it failed at start. */
  readonly openStorage: () => Promise<Storage>;
  /** Undefined: none is kept. */
  readonly file?: SnapshotFile | undefined;
  readonly crypto: Crypto;
  readonly keyLog: ((line: string) => void) | undefined;
  /** The clock: ms since 1970. */
  readonly now: () => number;
  /** Sites that are built, of how many. */
  readonly onProgress: (done: number, total: number) => void;
  /** It is another in form, and the same in what is served. */
  readonly onReshaped: () => void;
  /** What failed in the background: the last snapshot goes on serving. */
  readonly onTrouble: (error: unknown) => void;
}

/** What is there once storage is. */
export interface Opened {
  readonly storage: Storage;
  readonly localCa: LocalCa;
  readonly builder: SnapshotBuilder;
}

export class Served {
  readonly tickets: TicketRotation;
  readonly #parts: ServedParts;
  readonly #writer: SnapshotWriter | undefined;
  #config: Config;
  #configHash = "";
  #opened: Opened | undefined;
  #ech: KeptEch | undefined;
  #snapshot: Snapshot | undefined;
  #built: BuiltSnapshot | undefined;
  #rootKey = "";
  #authorities = "";
  /** One change at a time. */
  #queue: Promise<unknown> = Promise.resolve();
  #isFolding = false;
  #folding: Promise<void> = Promise.resolve();

  constructor(parts: ServedParts) {
    this.#parts = parts;
    this.#config = parts.config;
    const { file, crypto, now, onTrouble } = parts;
    this.tickets = new TicketRotation(crypto, now);
    this.#writer = file && new SnapshotWriter({
      file,
      pack: (bytes, written) => this.#pack(bytes, written),
      onTrouble,
    });
  }

  get snapshot(): Snapshot {
    return this.#snapshot!;
  }

  get ech(): KeptEch | undefined {
    return this.#ech;
  }

  /** Undefined: storage has not been there yet. */
  get opened(): Opened | undefined {
    return this.#opened;
  }

  /** Undefined: what an earlier run has built is served as it was. */
  get built(): BuiltSnapshot | undefined {
    return this.#built;
  }

  /** Where the certificate of the root that issues lies in storage. */
  get rootKey(): string {
    return this.#opened?.localCa.root.storageKey ?? this.#rootKey;
  }

  /** What the chains of all sites lead to; while it is another than the local CA's they are obtained anew. */
  get authorities(): string {
    return this.#authorities;
  }

  /** Resolves once the file holds what is served, or could not be written. */
  async written(): Promise<void> {
    await this.#writer?.written();
  }

  /** Resolves once what is under way in the background is done. */
  async settled(): Promise<void> {
    await this.#folding;
  }

  /** Before all else. @returns of the configuration that it has */
  async hashConfig(): Promise<string> {
    return this.#configHash = await inTurns(hashingConfig(this.#config));
  }

  /** What an earlier run of the same configuration has built. */
  async goOn(stored: StoredSnapshot): Promise<void> {
    const opened = await this.#open();
    const ech = await this.#openEch(this.#config, opened.storage);
    this.serveStored(stored, ech);
    this.#opened = opened;
    this.#built = await opened.builder.adopt(this.snapshot, this.#config);
    this.save();
  }

  /** Puts a snapshot of an earlier run in the place of what was there. @param ech undefined: as it was then */
  serveStored(stored: StoredSnapshot, ech: KeptEch | undefined): void {
    const { crypto, keyLog } = this.#parts;
    const { table, flightPadding, defaultSni, fallbackSni } = stored;
    const before = stored.ech && keptEchOf(crypto, stored.ech);
    this.#ech = ech === undefined || (before !== undefined && isSameEch(ech, before))
      ? before
      : ech;
    const { tickets } = this.tickets;
    const parts = { config: this.#config, crypto, keyLog, tickets, ech: this.#ech?.set };
    const server = serverConfig(parts, flightPadding);
    this.#snapshot = new Snapshot({ server, sites: [], defaultSni, fallbackSni }, table);
    this.#writer?.holds(table.slots, before);
    this.#rootKey = stored.rootKey;
    this.#authorities = stored.authorities;
  }

  /**
   * All of it, or with an error nothing.
   *
   * @param config undefined: the one that it has already
   * @param stored of another configuration: what is the same in both is not built again
   */
  async configure(config: Config = this.#config, stored?: StoredSnapshot): Promise<void> {
    await this.#inTurn(() => this.#configure(config, stored));
  }

  /**
   * Builds anew what is due. What could not be stays as it was, and is the result.
   *
   * @param due places of sites; @param changed those with files that have changed
   * @param all chains lead elsewhere from now on
   */
  async refresh(
    { builder }: Opened,
    due: readonly number[],
    changed: ReadonlySet<number>,
    all: boolean,
    nowMs: number,
  ): Promise<unknown> {
    return await this.#inTurn(async () => {
      const wish = { ...this.#wish(this.#config, this.#ech), nowMs };
      const { built, trouble } = await builder.refresh(wish, due, changed, all);
      this.#take(built);
      return trouble;
    });
  }

  /** All sites' chains lead there now. */
  leadTo(authorities: string): void {
    this.#authorities = authorities;
    this.#writer?.invalidate();
    this.save();
  }

  /** Has the file hold what is served, if it does not. */
  save(): void {
    this.#writer?.write(this.snapshot, this.#ech, {
      createdMs: this.#parts.now(),
      configHash: this.#configHash,
      rootKey: this.rootKey,
      authorities: this.#authorities,
      flightPadding: this.snapshot.server.flightPadding,
    });
  }

  async #configure(config: Config, stored: StoredSnapshot | undefined): Promise<void> {
    const opened = await this.#open();
    const { builder, localCa, storage } = opened;
    const configHash = await inTurns(hashingConfig(config));
    const ech = await this.#openEch(config, storage);
    if (stored !== undefined) {
      const { crypto, keyLog } = this.#parts;
      const { tickets } = this.tickets;
      const parts = { config, crypto, keyLog, tickets, ech: undefined };
      const server = serverConfig(parts, stored.flightPadding);
      await builder.adopt(new Snapshot({ server, sites: [] }, stored.table), undefined);
      this.#authorities = stored.authorities;
    } else if (this.#opened === undefined && this.#snapshot !== undefined) {
      await builder.adopt(this.#snapshot, this.#config);
    }
    const isFirst = this.#snapshot === undefined && stored === undefined;
    const built = await builder.build(this.#wish(config, ech));
    if (isFirst) this.#authorities = localCa.authorities;
    this.#config = config;
    this.#configHash = configHash;
    this.#ech = ech;
    this.#opened = opened;
    this.#take(built);
  }

  #wish(config: Config, ech: KeptEch | undefined) {
    const { tickets } = this.tickets;
    return { config, ech: ech?.set, tickets, nowMs: this.#parts.now() };
  }

  async #open(): Promise<Opened> {
    if (this.#opened !== undefined) return this.#opened;
    const { openStorage, crypto, keyLog, now, onProgress } = this.#parts;
    const storage = await openStorage();
    const localCa = await openLocalCa({ storage, now });
    const builder = new SnapshotBuilder({ crypto, localCa, keyLog, onProgress });
    return { storage, localCa, builder };
  }

  #openEch(config: Config, storage: Storage): Promise<KeptEch | undefined> {
    const { crypto, now } = this.#parts;
    return openKeptEch(config, storage, crypto, now(), this.#ech);
  }

  #take(built: BuiltSnapshot): void {
    this.#built = built;
    this.#snapshot = built.snapshot;
    this.save();
    this.#fold();
  }

  async #pack(
    bytes: Snapshot["slots"]["base"],
    written: Snapshot["slots"],
  ): Promise<Snapshot["slots"] | undefined> {
    const packed = await this.#inTurn(() => {
      const { slots } = this.snapshot;
      this.#reshape((snapshot) => snapshot.withSites(bytes, written));
      return slots === written ? this.snapshot.slots : undefined;
    });
    this.#parts.onReshaped();
    return packed;
  }

  /** In the background, on another thread: the overlay has grown large. */
  #fold(): void {
    const { index } = this.snapshot;
    if (this.#isFolding || !index.isCrowded) return;
    this.#isFolding = true;
    this.#folding = foldElsewhere(index).then(async (base) => {
      await this.#inTurn(() => {
        // Whoever had more changes than an overlay holds has built a base of its own.
        if (this.snapshot.index.base !== index.base) return;
        this.#reshape((snapshot) => snapshot.withBase(base, index.overlay));
      });
      this.#parts.onReshaped();
    }).catch((error: unknown) => this.#parts.onTrouble(error)).finally(() => {
      this.#isFolding = false;
    });
  }

  #reshape(change: (snapshot: Snapshot) => Snapshot): void {
    this.#built = this.#opened!.builder.rebase(change);
    this.#snapshot = this.#built.snapshot;
  }

  #inTurn<T>(work: () => T | Promise<T>): Promise<T> {
    const result = this.#queue.then(work);
    this.#queue = result.catch(() => {});
    return result;
  }
}
