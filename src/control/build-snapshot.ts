/**
 * From configuration and storage to the one value that the data plane gets.
 * @module
 */
import type { Config } from "../config/config.ts";
import type { Crypto } from "../crypto/crypto.ts";
import { drawHashKey, type HashKey } from "../snapshot/name-hash.ts";
import { NameIndex } from "../snapshot/name-index.ts";
import { originFields, type SiteSlots } from "../snapshot/site-slots.ts";
import {
  listingNames,
  nameChanges,
  type Site,
  type SiteChange,
  Snapshot,
  type SnapshotParts,
} from "../snapshot/snapshot.ts";
import type { ServerConfig } from "../tls/config.ts";
import type { EchKeySet } from "../tls/ech.ts";
import type { TicketKeys } from "../tls/tickets.ts";
import type { LocalCa } from "./certificates/local-ca.ts";
import { SharedCertificates } from "./certificates/shared.ts";
import { foldElsewhere } from "./fold-names.ts";
import { eachOf, inTurns } from "./pace.ts";
import { flightPadding, serverConfig } from "./server-config.ts";
import { filesStamp, hasFiles, makeSites, renewSite, type SiteSources } from "./site-builder.ts";
import { keyOf, type WantedSite, wantedSites } from "./site-keys.ts";
import { StorageError } from "./storage/storage.ts";

export interface BuilderParts {
  readonly crypto: Crypto;
  readonly localCa: LocalCa;
  readonly keyLog: ((line: string) => void) | undefined;
  /** Sites that are built, of how many that have to be: called often. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/** Of the process rather than of a site. */
export interface SnapshotWish {
  readonly config: Config;
  /** Undefined: ECH is off. */
  readonly ech: EchKeySet | undefined;
  readonly tickets: TicketKeys;
  readonly nowMs: number;
}

export interface BuiltSnapshot {
  readonly snapshot: Snapshot;
  /** What the operator should hear, each a sentence. */
  readonly warnings: readonly string[];
  /** Those among them that the build before did not have. */
  readonly news: readonly string[];
  /** The next moment at which something is due. */
  readonly nextDueMs: number;
}

/** Builds one snapshot after the other, each from the one before: what has not changed is not made again. */
export class SnapshotBuilder {
  readonly #parts: BuilderParts;
  readonly #sources: SiteSources;
  #keySeed: HashKey = drawHashKey();
  #built: BuiltSnapshot | undefined;
  #config: Config | undefined;
  /** Of #config: those that have files, by their keys, and their places. */
  #filed: ReadonlyMap<number, FiledSite> | undefined;

  constructor(parts: BuilderParts) {
    this.#parts = parts;
    this.#sources = { ...parts, share: new SharedCertificates().share };
  }

  /**
   * Goes on from what another run has built.
   * @param config undefined: it was built from another one than is known
   */
  async adopt(snapshot: Snapshot, config: Config | undefined): Promise<BuiltSnapshot> {
    this.#keySeed = snapshot.slots.keySeed;
    this.#config = config;
    this.#filed = undefined;
    const { warnings, nextDueMs } = await inTurns(survey(snapshot.slots));
    return this.#built = { snapshot, warnings, news: [], nextDueMs };
  }

  /**
   * From another configuration. Sites that were the same in the one before stay, but for files that have changed.
   * With an error everything is as it was.
   *
   * @throws {X509Error} an operator's file cannot be used; the message names it
   * @throws {StorageError}
   */
  async build(wish: SnapshotWish): Promise<BuiltSnapshot> {
    const { config, nowMs } = wish;
    const last = this.#built?.snapshot;
    const stays = new Uint8Array(last?.slots.length ?? 0);
    const made: (readonly [old: readonly number[], sites: readonly Site[]])[] = [];
    let [done, total] = [0, config.sites.length];
    await eachOf(wantedSites(config), AT_ONCE, (wanted) => {
      const key = keyOf(wanted, this.#keySeed);
      const places = last === undefined ? NO_PLACES : placesOf(last, key, wanted);
      for (const slot of places) stays[slot] = 1;
      if (places.length > 0 && !hasFiles(wanted) && !areDamaged(last!.slots, places)) {
        total--;
        return undefined;
      }
      const at = made.push([places, []]) - 1;
      const { before, anew } = sitesAt(last?.slots, places);
      const wish = { key, nowMs, before, anew, otherwise: "refuse" } as const;
      return makeSites(this.#sources, wanted, wish).then((sites) => {
        made[at] = [sites === before ? [] : places, sites === before ? [] : sites];
        this.#parts.onProgress?.(++done, total);
      });
    });
    const changes: SiteChange[] = [];
    for (const [places, sites] of made) changes.push(...changesBetween(last, places, sites));
    if (last !== undefined) await inTurns(removing(last.slots, stays, changes));
    return await this.#finish(wish, changes);
  }

  /** Keys of sites whose files are not as they were when they were read. */
  async changedFiles(): Promise<Set<number>> {
    const changed = new Set<number>();
    await eachOf(await this.#filedSites(), AT_ONCE, async ([key, { wanted, places }]) => {
      const old = this.#built!.snapshot.slots.get(places[0]!)?.files?.stamp;
      if (await filesStamp(wanted) !== old) changed.add(key);
    });
    return changed;
  }

  /** Places of sites for which something is due; of all whose certificates are the local CA's where `all` says so. */
  due(nowMs: number, all: boolean): Promise<number[]> {
    return inTurns(dueSites(this.#built!.snapshot.slots, nowMs, all));
  }

  /**
   * The same configuration, with some sites looked after. Of what cannot be renewed or read the old stays.
   *
   * @param due places; their certificates are obtained anew, where `all` says so also those that are not due
   * @param changed what `changedFiles` found
   * @throws {StorageError | X509Error} the first trouble; what could be done is in `current` all the same
   */
  async refresh(
    wish: SnapshotWish,
    due: readonly number[],
    changed: ReadonlySet<number>,
    all: boolean,
  ): Promise<{ readonly built: BuiltSnapshot; readonly trouble: unknown }> {
    const { nowMs } = wish;
    const { slots } = this.#built!.snapshot;
    const changes: SiteChange[] = [];
    const toRead = new Set(changed);
    const damaged = new Set<number>();
    const isDue = all ? () => true : undefined;
    let trouble: unknown;
    await eachOf(due, AT_ONCE, (slot) => {
      const site = slots.get(slot);
      if (site === undefined && slots.isDamaged(slot)) {
        const { key } = slots.origin(slot)!;
        damaged.add(key);
        toRead.add(key);
      }
      if (site?.origin === undefined) return undefined;
      if (site.files !== undefined) {
        toRead.add(site.origin.key);
        return undefined;
      }
      return renewSite(this.#sources, site, nowMs, isDue).then(
        (renewed) => void changes.push([slot, renewed]),
        (error: unknown) => {
          trouble ??= error;
          if (error instanceof StorageError) throw error; // no other one will fare better
        },
      );
    }).catch(() => {});
    const filed = toRead.size === 0 ? undefined : await this.#filedSites(damaged);
    await eachOf(toRead, AT_ONCE, async (key) => {
      const { wanted, places } = filed?.get(key) ?? {};
      if (wanted === undefined || places === undefined) return;
      const { before, anew } = sitesAt(slots, places);
      const one = {
        key,
        nowMs,
        before,
        otherwise: "keep",
        anew: anew || !changed.has(key),
        isDue,
      } as const;
      const sites = await makeSites(this.#sources, wanted, one);
      if (sites === before) return;
      changes.push(...changesBetween(this.#built!.snapshot, places, sites));
    }).catch((error: unknown) => trouble ??= error);
    return { built: await this.#finish(wish, changes), trouble };
  }

  /** The last snapshot with another table under it, that says the same. */
  rebase(change: (snapshot: Snapshot) => Snapshot): BuiltSnapshot {
    const built = this.#built!;
    return this.#built = { ...built, snapshot: change(built.snapshot), news: [] };
  }

  async #finish(wish: SnapshotWish, changes: readonly SiteChange[]): Promise<BuiltSnapshot> {
    const { config: { defaultSni, fallbackSni }, config } = wish;
    const last = this.#built?.snapshot;
    const server = serverConfig({ ...this.#parts, ...wish }, 0);
    const parts = { server, defaultSni, fallbackSni };
    let snapshot = last === undefined
      ? new Snapshot({ ...parts, keySeed: this.#keySeed, sites: changes.map(([, site]) => site!) })
      : await changed(last, changes, parts);
    const { longestFlight, warnings, nextDueMs } = await inTurns(survey(snapshot.slots));
    snapshot = snapshot.withTable(snapshot, { server: this.#server(wish, longestFlight) });
    const known = new Set(this.#built?.warnings);
    const news = warnings.filter((warning) => !known.has(warning));
    if (this.#config !== config || changes.length > 0) this.#filed = undefined;
    this.#config = config;
    return this.#built = { snapshot, warnings, news, nextDueMs };
  }

  /** The same object where nothing has changed. */
  #server(wish: SnapshotWish, longestFlight: number): ServerConfig {
    const { config, ech, tickets } = wish;
    const padding = config.ech.enabled ? flightPadding(longestFlight) : 0;
    const last = this.#built?.snapshot.server;
    const isSame = last?.ech === ech && last?.tickets === tickets &&
      last?.flightPadding === padding && this.#config === config;
    return isSame ? last! : serverConfig({ ...this.#parts, config, ech, tickets }, padding);
  }

  /** @param also keys of others */
  async #filedSites(
    also: ReadonlySet<number> = new Set(),
  ): Promise<ReadonlyMap<number, FiledSite>> {
    const { snapshot } = this.#built!;
    if (also.size > 0 && this.#config !== undefined) {
      return await inTurns(filedSites(this.#config, snapshot, also));
    }
    return this.#filed ??= this.#config?.sites.some(hasFiles) !== true
      ? new Map()
      : await inTurns(filedSites(this.#config, snapshot, also));
  }
}

interface FiledSite {
  readonly wanted: WantedSite;
  readonly places: readonly number[];
}

function* filedSites(
  config: Config,
  snapshot: Snapshot,
  also: ReadonlySet<number>,
): Generator<void, Map<number, FiledSite>> {
  const filed = new Map<number, FiledSite>();
  let left = SITES_A_STEP;
  for (const wanted of wantedSites(config)) {
    if (--left === 0) {
      left = SITES_A_STEP;
      yield;
    }
    if (also.size === 0 && !hasFiles(wanted)) continue;
    const key = keyOf(wanted, snapshot.slots.keySeed);
    if (!hasFiles(wanted) && !also.has(key)) continue;
    const places = placesOf(snapshot, key, wanted);
    if (places.length > 0) filed.set(key, { wanted, places });
  }
  return filed;
}

/** What there is of a [[site]], which is to be made anew where some of it cannot be read. */
function sitesAt(
  slots: SiteSlots | undefined,
  places: readonly number[],
): { readonly before: readonly Site[]; readonly anew: boolean } {
  const before = places.map((slot) => slots?.get(slot)).filter((site) => site !== undefined);
  return { before, anew: before.length < places.length };
}

function areDamaged(slots: SiteSlots, places: readonly number[]): boolean {
  return places.some((slot) => slots.isDamaged(slot));
}

/** Of all that came of a [[site]]: where its names are found, if its key is the same. */
function placesOf(snapshot: Snapshot, key: number, { names }: WantedSite): readonly number[] {
  let places: number[] | undefined;
  for (const name of names) {
    const slot = snapshot.slotOf(name);
    if (slot === undefined || places?.includes(slot) === true) continue;
    if (!snapshot.slots.readOrigin(slot, scratch) || scratch.key !== key) continue;
    if (places === undefined) places = [slot];
    else places.push(slot);
  }
  return places ?? NO_PLACES;
}

/** For `placesOf`, which is done with it when it returns. */
const scratch = originFields();
const NO_PLACES: readonly number[] = [];

function* removing(
  slots: SiteSlots,
  stays: Uint8Array,
  changes: SiteChange[],
): Generator<void, void> {
  for (let slot = 0; slot < slots.length; slot++) {
    if (slot % SLOTS_A_STEP === 0) yield;
    if (stays[slot] === 0 && !slots.isFree(slot)) changes.push([slot, undefined]);
  }
}

function* dueSites(slots: SiteSlots, nowMs: number, all: boolean): Generator<void, number[]> {
  const due: number[] = [];
  const origin = originFields();
  for (let slot = 0; slot < slots.length; slot++) {
    if (slot % SLOTS_A_STEP === 0) yield;
    if (!slots.readOrigin(slot, origin)) continue;
    const isDue = nowMs < origin.sinceMs || nowMs >= origin.dueMs || (all && origin.isManaged) ||
      slots.isDamaged(slot);
    if (isDue) due.push(slot);
  }
  return due;
}

/** What is to be known of all sites together. */
function* survey(
  slots: SiteSlots,
): Generator<void, { longestFlight: number; warnings: string[]; nextDueMs: number }> {
  let [longestFlight, nextDueMs] = [0, Infinity];
  const warnings: string[] = [];
  const origin = originFields();
  for (let slot = 0; slot < slots.length; slot++) {
    if (slot % SLOTS_A_STEP === 0) yield;
    if (!slots.readOrigin(slot, origin)) continue;
    longestFlight = Math.max(longestFlight, origin.flightLength);
    nextDueMs = Math.min(nextDueMs, origin.dueMs);
    if (origin.hasWarnings) warnings.push(...slots.get(slot)?.files?.warnings ?? []);
  }
  return { longestFlight, warnings, nextDueMs };
}

/** Many changes are planned in turns, and names found again on another thread. */
async function changed(
  snapshot: Snapshot,
  changes: readonly SiteChange[],
  parts: Partial<SnapshotParts>,
): Promise<Snapshot> {
  if (changes.length === 0) return snapshot.withTable(snapshot, parts);
  const { slots, names } = await inTurns(snapshot.planning(changes));
  const { index } = snapshot;
  if (index.hasRoomFor(names.size)) {
    const next = names.size === 0 ? index : index.withChanges(nameChanges(names));
    return snapshot.withTable({ slots, index: next }, parts);
  }
  const base = await foldElsewhere(index, await inTurns(listingNames(names)));
  return snapshot.withTable({ slots, index: new NameIndex(base) }, parts);
}

/** Of one [[site]], which may have come apart in another way. */
function changesBetween(
  snapshot: Snapshot | undefined,
  places: readonly number[],
  after: readonly Site[],
): SiteChange[] {
  const isSameShape = places.length === after.length &&
    after.every(({ names }, i) => names.join() === snapshot?.slots.get(places[i]!)?.names.join());
  if (isSameShape) return places.map((slot, i) => [slot, after[i]]);
  return [
    ...places.map((slot): SiteChange => [slot, undefined]),
    ...after.map((site): SiteChange => [undefined, site]),
  ];
}

/** Sites under way: storage and the threads that sign have something to do meanwhile. */
const AT_ONCE = 16;
const SLOTS_A_STEP = 1024;
const SITES_A_STEP = 256;
