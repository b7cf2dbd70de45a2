/**
 * All that the data plane knows: immutable, replaced whole by one assignment.
 * @module
 */
import type { ServerConfig, SiteConfig } from "../tls/config.ts";
import { canonicalHost } from "../x509/names.ts";
import type { ForwardSpec, PassthroughSpec } from "./forward-spec.ts";
import type { HashKey } from "./name-hash.ts";
import { foldNames, NameIndex } from "./name-index.ts";
import { NameList } from "./name-list.ts";
import type { NameChange, Overlay } from "./overlay.ts";
import { SiteSlots, type SiteSource } from "./site-slots.ts";
import { SniTrie } from "./sni-trie.ts";

export type HandlerSpec =
  | ForwardSpec
  | PassthroughSpec
  | { readonly kind: "respond"; readonly text: string }
  | RedirectSpec
  /** "welcome", or a name given to `serve()`. */
  | { readonly kind: "app"; readonly app: string };

export interface RedirectSpec {
  readonly kind: "redirect";
  /** A URL. Ends in the host: path and query of the request follow. */
  readonly to: string;
}

export interface Site {
  /** Lower-case A-labels, "*.example.com" for one label of any kind, IP addresses in canonical text. */
  readonly names: readonly string[];
  readonly tls: SiteConfig;
  readonly handler: HandlerSpec;
  /** The ECH public name and nothing else: its handshake succeeds, then 421 (policy §8.3). */
  readonly publicNameOnly: boolean;
  /** Who comes without ECH finds no such site (policy §8.7). Default: false. */
  readonly requireEch?: boolean;
  /** Undefined: the defaults. */
  readonly hosts?: HostRules;
  /** What the control plane remembers of how it was made: the data plane has no use for it. */
  readonly origin?: SiteOrigin;
  /** Undefined: it was made without files. */
  readonly files?: ReadFiles;
}

export interface SiteOrigin {
  /** Of the [[site]] that it was made from, a whole number: the same for all that came from it. */
  readonly key: number;
  /** Between these two times nothing is to be done for it: no certificate is due, none the better one by now. */
  readonly sinceMs: number;
  readonly dueMs: number;
  /** Of what differs from site to site in the encrypted flight: the longest chain, the CertificateRequest. */
  readonly flightLength: number;
  /** The local CA issued some of its certificates: they are renewed while sotto runs. */
  readonly isManaged: boolean;
  readonly hasFiles: boolean;
  readonly hasWarnings: boolean;
}

export interface ReadFiles {
  /** Of the files when they were read. */
  readonly stamp: string;
  /** False: they could not be used, and what was read before is served. */
  readonly isUpToDate: boolean;
  /** What the operator should hear of them, each a sentence. */
  readonly warnings: readonly string[];
}

/** How the names of a site are dealt with in HTTP. */
export interface HostRules {
  /** Sites of one group may be asked for over each other's connections (policy §8.5). */
  readonly group?: string;
  /** Which other sites may be asked for over connections of this one. Default: those that its certificate covers. */
  readonly sniHost?: "match" | "any";
  /** Plain HTTP is not redirected: for none of the names, or not for these (policy §3.4). */
  readonly noRedirects?: true | readonly string[];
}

export interface SnapshotParts {
  readonly server: ServerConfig;
  readonly sites: readonly Site[];
  /** The name to serve where a hello has none, and where it has an unknown one (policy §6.5). */
  readonly defaultSni?: string | undefined;
  readonly fallbackSni?: string | undefined;
  /** For names that no site has, the control plane is to be asked. Default: false. */
  readonly onDemand?: boolean;
  /** See `SiteSlots`. Default: another one each time. */
  readonly keySeed?: HashKey;
}

/** The place of a site as it was, undefined: it is new; and the site as it is to be, undefined: it goes. */
export type SiteChange = readonly [before: number | undefined, after: Site | undefined];

/** Sites by number, and the numbers by name. */
export interface SiteTable {
  readonly slots: SiteSlots;
  readonly index: NameIndex;
}

/** What changes make of a table, before its names are found again. */
export interface ChangePlan {
  readonly slots: SiteSlots;
  /** Names that are found elsewhere from now on; undefined: nowhere. */
  readonly names: ReadonlyMap<string, number | undefined>;
}

/** A site is there, and its bytes are no site's: whoever asks for it is not served, and nobody else is held up. */
export class DamagedSiteError extends Error {
  override readonly name = "DamagedSiteError";
}

export class Snapshot implements SiteTable {
  readonly server: ServerConfig;
  readonly slots: SiteSlots;
  readonly index: NameIndex;
  readonly defaultSni: string | undefined;
  readonly fallbackSni: string | undefined;
  readonly onDemand: boolean;
  readonly #default: number | undefined;
  readonly #fallback: number | undefined;
  /** null: not looked for yet. */
  #only: number | undefined | null = null;

  /**
   * @param table of `parts.sites`, where there is one already
   * @throws {RangeError} one name in two sites; a default or fallback that no site has
   */
  constructor(parts: SnapshotParts, table: SiteTable = tableOf(parts)) {
    this.server = parts.server;
    this.slots = table.slots;
    this.index = table.index;
    this.defaultSni = parts.defaultSni;
    this.fallbackSni = parts.fallbackSni;
    this.onDemand = parts.onDemand ?? false;
    this.#default = placeNamed(this, parts.defaultSni, "default_sni");
    this.#fallback = placeNamed(this, parts.fallbackSni, "fallback_sni");
  }

  /** All of them, made. For few sites and for tests. */
  get sites(): readonly Site[] {
    return this.slots.toArray().filter((site) => site !== undefined);
  }

  /**
   * The site for an SNI as it came, in any case (policy §6.1): exact, then wildcard, then fallback, else undefined.
   *
   * @param isHidden the name came in an inner hello; without, a site that requires ECH is as if unknown
   * @throws {DamagedSiteError}
   */
  find(name: Uint8Array, isHidden: boolean = true): Site | undefined {
    const site = this.#whole(this.index.find(name));
    return site !== undefined && isAnswered(site, isHidden) ? site : this.#whole(this.#fallback);
  }

  /** The site for a Host, without its port, in any spelling: exact, then wildcard; no fallback (policy §8.5). */
  findText(host: string): Site | undefined {
    return this.#at(placeOf(this, canonicalHost(host)));
  }

  /**
   * No SNI (policy §6.3): the site of the connection's own IP address, default_sni, the only site, else undefined.
   *
   * @throws {DamagedSiteError}
   */
  findWithoutName(localAddress: string, isHidden: boolean = true): Site | undefined {
    const site = this.findText(localAddress) ?? this.#whole(this.#default) ??
      this.#whole(this.#onlyPlace());
    return site !== undefined && isAnswered(site, isHidden) ? site : undefined;
  }

  /** The place of the site that has this very name, in its one spelling. */
  slotOf(name: string): number | undefined {
    return exactSlot(this, name);
  }

  /**
   * This with some sites changed: the time it takes depends on the changes, not on how many sites there are, as long as
   * the overlay has room for them (`changing` is for more). Sites that stay keep their place.
   *
   * @throws {RangeError} as the constructor; a site to be changed that is not here
   */
  with(
    changes: readonly SiteChange[],
    parts: Partial<Omit<SnapshotParts, "sites">> = {},
  ): Snapshot {
    if (changes.length === 0) return this.withTable(this, parts);
    const planning = this.planning(changes);
    for (;;) {
      const { done, value } = planning.next();
      if (!done) continue;
      const index = changedIndex(this.index, value.names);
      return this.withTable({ slots: value.slots, index }, parts);
    }
  }

  /** The first half of `with`, in turns. The second is to find the names again, and `withTable`. */
  planning(changes: readonly SiteChange[]): Generator<void, ChangePlan> {
    return planning(this, changes);
  }

  /** With another table and other parts, the rest as it is here. @throws {RangeError} as the constructor */
  withTable(table: SiteTable, parts: Partial<Omit<SnapshotParts, "sites">> = {}): Snapshot {
    const { server, defaultSni, fallbackSni, onDemand } = this;
    return new Snapshot({ server, defaultSni, fallbackSni, onDemand, ...parts, sites: [] }, table);
  }

  /** This over a new base of names, made of another's base and overlay: what has changed since then stays. */
  withBase(base: SniTrie, folded: Overlay): Snapshot {
    return this.withTable({ slots: this.slots, index: this.index.withBase(base, folded) });
  }

  /** This over a new base of sites, which has what was in these places then: what has changed since then stays. */
  withSites(base: SiteSource, folded: SiteSlots): Snapshot {
    return this.withTable({ slots: this.slots.withBase(base, folded), index: this.index });
  }

  #at(slot: number | undefined): Site | undefined {
    return slot === undefined ? undefined : this.slots.get(slot);
  }

  /** Not the fallback, and not "unknown", for what is there. */
  #whole(slot: number | undefined): Site | undefined {
    const site = this.#at(slot);
    if (site === undefined && slot !== undefined && this.slots.isDamaged(slot)) {
      throw new DamagedSiteError(`Cannot read the site in place ${slot} of the snapshot`);
    }
    return site;
  }

  #onlyPlace(): number | undefined {
    if (this.#only === null) this.#only = onlyPlace(this.slots);
    return this.#only;
  }
}

/** Of a site that is named for a purpose. @throws {RangeError} there is none */
export function placeNamed(
  table: SiteTable,
  name: string | undefined,
  key: "default_sni" | "fallback_sni",
): number | undefined {
  if (name === undefined) return undefined;
  const slot = placeOf(table, canonicalHost(name));
  if (slot === undefined) throw new RangeError(`Cannot use ${key}: no site is called ${name}`);
  return slot;
}

function tableOf({ sites, keySeed }: SnapshotParts): SiteTable {
  const names = new NameList(sites.length);
  let count = 0;
  for (const [slot, site] of sites.entries()) {
    for (const name of ownNames(site)) {
      names.add(name, slot);
      count++;
    }
  }
  const index = new NameIndex(SniTrie.build(names));
  // Of a name that comes twice the index holds one.
  if (index.base.size < count) checkOwners(sites);
  return { slots: SiteSlots.of(sites, keySeed), index };
}

function checkOwners(sites: readonly Site[]): void {
  const owners = new Map<string, Site>();
  for (const site of sites) {
    for (const name of ownNames(site)) {
      if ((owners.get(name) ?? site) !== site) throw twice(name);
      owners.set(name, site);
    }
  }
}

function* planning(
  table: SiteTable,
  changes: readonly SiteChange[],
): Generator<void, ChangePlan> {
  const names = new Map<string, number | undefined>();
  const sites = new Map<number, Site | undefined>();
  const before = new Map<number, readonly string[]>();
  let fresh = 0;
  for (const [i, [slot, after]] of changes.entries()) {
    if (i % 64 === 63) yield;
    if (slot === undefined) {
      if (after !== undefined) fresh++;
      continue;
    }
    const old = namesAt(table, slot);
    before.set(slot, old);
    sites.set(slot, undefined);
    for (const name of old) names.set(name, undefined);
  }
  const places = table.slots.freePlaces(fresh);
  let next = 0;
  yield;
  for (const [i, [slot, after]] of changes.entries()) {
    if (i % 64 === 63) yield;
    if (after === undefined) continue;
    const place = slot ?? places[next++]!;
    sites.set(place, after);
    const kept = slot === undefined ? undefined : before.get(slot);
    for (const name of ownNames(after)) {
      const holder = names.has(name) ? names.get(name) : exactSlot(table, name);
      if (holder !== undefined && holder !== place) throw twice(name);
      // Where it is the same as before there is no change to be kept.
      if (kept?.includes(name)) names.delete(name);
      else names.set(name, place);
    }
  }
  yield;
  return { slots: table.slots.with(sites), names };
}

/** @throws {RangeError} */
function namesAt({ slots, index }: SiteTable, slot: number): readonly string[] {
  const site = slots.get(slot);
  if (site !== undefined) return ownNames(site);
  if (slots.isDamaged(slot)) return index.namesOf(slot);
  throw new RangeError(`Cannot change place ${slot}: no site is there`);
}

function changedIndex(index: NameIndex, names: ChangePlan["names"]): NameIndex {
  if (names.size === 0) return index;
  if (index.hasRoomFor(names.size)) return index.withChanges(nameChanges(names));
  const listing = listingNames(names);
  for (;;) {
    const { done, value } = listing.next();
    if (done) return new NameIndex(foldNames(index.base, index.overlay, value));
  }
}

/** For `NameIndex.withChanges`. */
export function nameChanges(names: ChangePlan["names"]): NameChange[] {
  return [...names].map(([name, slot]) => ({ name, index: slot }));
}

/** For `foldNames`, in turns. @throws {RangeError} a name that is none */
export function* listingNames(names: ChangePlan["names"]): Generator<void, NameList> {
  const list = new NameList(names.size);
  for (const [name, slot] of names) {
    if (slot === undefined) list.remove(name);
    else list.add(name, slot);
    if (list.count % 1024 === 0) yield;
  }
  return list;
}

function placeOf({ index }: SiteTable, name: string): number | undefined {
  const bytes = bytesOf(name);
  return bytes && index.find(bytes);
}

/** The place of the site that has this very name; a wildcard that only covers it does not count. */
function exactSlot(table: SiteTable, name: string): number | undefined {
  const bytes = bytesOf(name);
  return bytes && table.index.findExactly(bytes);
}

/** What is passed on never gets as far as being looked up here, unless its name was hidden in our own ECH. */
function isAnswered({ handler, requireEch }: Site, isHidden: boolean): boolean {
  return handler.kind !== "passthrough" && (isHidden || requireEch !== true);
}

/** Of the only site that is more than a public name. */
function onlyPlace(slots: SiteSlots): number | undefined {
  if (slots.servedCount !== 1) return undefined;
  for (let slot = 0; slot < slots.length; slot++) if (slots.isServed(slot)) return slot;
  return undefined;
}

function ownNames({ names }: Site): readonly string[] {
  return names.map(canonicalHost);
}

/** Undefined: no name has such characters. */
function bytesOf(name: string): Uint8Array | undefined {
  const bytes = new Uint8Array(name.length);
  for (let i = 0; i < name.length; i++) {
    const unit = name.charCodeAt(i);
    if (unit > 0x7f) return undefined;
    bytes[i] = unit;
  }
  return bytes;
}

function twice(name: string): RangeError {
  return new RangeError(`Cannot build a snapshot: two sites are called ${name}`);
}
