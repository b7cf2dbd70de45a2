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
import type { StoredSnapshot } from "../snapshot/codec.ts";
import type { Snapshot } from "../snapshot/snapshot.ts";
import type { EchKeySet } from "../tls/ech.ts";
import { AuthorityCare, type AuthorityCareParts } from "./authority-care.ts";
import type { LocalCa } from "./certificates/local-ca.ts";
import { Served, type ServedParts } from "./served.ts";
import { StorageError } from "./storage/storage.ts";

export interface ControlPlaneParts
  extends Omit<ServedParts, "onProgress" | "onReshaped">, AuthorityCareParts {
  /** While it serves the local CA has come to issue under another root: where its certificate lies in storage. */
  readonly onNewRoot?: (storageKey: string) => void;
  /** Sites that a first start has built, of how many: once a second. */
  readonly onProgress?: (done: number, total: number) => void;
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

export class ControlPlane {
  readonly #parts: ControlPlaneParts;
  readonly #served: Served;
  readonly #care: AuthorityCare;
  /** The last one that was told of. */
  #toldRootKey = "";
  #warnings: readonly string[];
  #timer: ReturnType<typeof setInterval> | undefined;
  #onSnapshot: (snapshot: Snapshot) => void = () => {};
  /** Whoever started it has not heard the warnings yet. */
  #isStarting = true;
  #isTicking = false;
  #ticking: Promise<void> = Promise.resolve();

  /** For `startControlPlane`. */
  constructor(parts: ControlPlaneParts, warnings: readonly string[]) {
    this.#parts = parts;
    this.#warnings = warnings;
    this.#care = new AuthorityCare(parts);
    this.#served = new Served({
      ...parts,
      onProgress: this.#progress(),
      onReshaped: () => this.#onSnapshot(this.snapshot),
    });
  }

  /** The newest one. */
  get snapshot(): Snapshot {
    return this.#served.snapshot;
  }

  /** Undefined: ECH is off. */
  get ech(): EchKeySet | undefined {
    return this.#served.ech?.set;
  }

  /** @throws {TypeError} storage has not been there yet */
  get localCa(): LocalCa {
    const { opened } = this.#served;
    if (opened === undefined) throw new TypeError("Cannot use the local CA without storage");
    return opened.localCa;
  }

  /** Where the certificate of the root that issues lies in storage. */
  get rootKey(): string {
    return this.#served.rootKey;
  }

  /** What the start gave reason to say, each a sentence. */
  get warnings(): readonly string[] {
    return [...this.#warnings, ...this.#served.built?.warnings ?? []];
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
    await this.#served.settled();
  }

  /** Resolves once the file holds what is served, or could not be written. */
  async written(): Promise<void> {
    await this.#served.written();
  }

  /**
   * Takes another configuration: all of it, or with an error none. Resolves with what the operator should hear of what
   * is served then, each a sentence; those of it that are new go to `onWarning` as well.
   *
   * @throws {StorageError | EchKeyError | X509Error} whose message says what is wrong and where
   */
  async reload(config: Config): Promise<readonly string[]> {
    await this.#served.configure(config);
    this.#changed();
    return this.#served.built?.warnings ?? [];
  }

  /** For `startControlPlane`. @param stored what an earlier run has left */
  async start(stored: StoredSnapshot | undefined): Promise<void> {
    const served = this.#served;
    const isSame = await served.hashConfig() === stored?.configHash;
    try {
      if (isSame) await served.goOn(stored!);
      else await served.configure(undefined, stored);
    } catch (error) {
      if (!(error instanceof StorageError) || !isSame) throw error;
      served.serveStored(stored!, undefined);
      const since = new Date(stored!.createdMs).toISOString();
      this.#warnings = [
        ...this.#warnings,
        `Storage cannot be used, what it held at ${since} is served: ${error.message}`,
      ];
    }
    this.#planCare();
    if (served.opened !== undefined && stored !== undefined) await this.#firstLook();
    this.#isStarting = false;
  }

  /**
   * Before anybody is served: what is due or has changed, as long as it does not take long. The rest goes on while it
   * serves. An expired certificate is worth waiting for.
   */
  async #firstLook(): Promise<void> {
    const { builder } = this.#served.opened!;
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

  async #tick(): Promise<void> {
    if (this.#isTicking) return await this.#ticking;
    this.#isTicking = true;
    try {
      await this.#refresh(this.#served.tickets.rotate());
    } catch (error) {
      this.#parts.onTrouble(error);
    } finally {
      this.#isTicking = false;
    }
  }

  /** In steps, each of them a snapshot that is served: whoever wants another configuration need not wait for all. */
  async #refresh(isRotated: boolean): Promise<void> {
    const served = this.#served;
    const { opened } = served;
    if (opened === undefined) {
      await served.configure();
      this.#changed();
      return await this.#refresh(isRotated);
    }
    const { localCa, builder } = opened;
    let trouble: unknown;
    const isRenewed = await this.#care.renew(localCa, this.#nextDueMs).catch((error: unknown) => {
      trouble = error; // what else is due need not wait for it
      return false;
    });
    const { authorities } = localCa;
    const all = isRenewed || served.authorities !== authorities;
    const nowMs = this.#parts.now();
    const due = await builder.due(nowMs, all);
    let changed: ReadonlySet<number> = await builder.changedFiles();
    let isNew = isRotated;
    for (let at = 0; at < due.length || changed.size > 0 || isNew; at += SITES_A_STEP) {
      const step = due.slice(at, at + SITES_A_STEP);
      const failed = await served.refresh(opened, step, changed, all, nowMs);
      trouble ??= failed;
      this.#changed();
      [changed, isNew] = [new Set(), false];
      if (trouble instanceof StorageError) break;
    }
    served.save(); // it may have failed
    if (trouble !== undefined) return this.#parts.onTrouble(trouble);
    if (served.authorities !== authorities) served.leadTo(authorities);
  }

  /** Something else is served from now on. */
  #changed(): void {
    this.#planCare();
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
    for (const what of this.#served.built?.news ?? []) this.#parts.onWarning?.(what);
  }

  #planCare(): void {
    const { opened } = this.#served;
    if (opened !== undefined) this.#care.plan(opened.localCa, this.#nextDueMs);
  }

  get #nextDueMs(): number {
    return this.#served.built?.nextDueMs ?? Infinity;
  }
}

const TICK_MS = 60_000;
const PROGRESS_MS = 1000;
const FIRST_LOOK_MS = 100;
const FIRST_LOOK_EXPIRED_MS = 1000;
/** Renewed together, and then served. */
const SITES_A_STEP = 256;
