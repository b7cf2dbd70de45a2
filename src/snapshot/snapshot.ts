/**
 * All that the data plane knows: immutable, replaced whole by one assignment.
 * @module
 */
import type { ServerConfig, SiteConfig } from "../tls/config.ts";
import { canonicalHost } from "../x509/names.ts";
import type { ForwardSpec, PassthroughSpec } from "./forward-spec.ts";
import { NameIndex } from "./name-index.ts";
import { NameList } from "./name-list.ts";
import { MAX_CHANGES, type NameChange, type Overlay } from "./overlay.ts";
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
}

/** A site as it was and as it is to be; undefined: there is none. */
export type SiteChange = readonly [before: Site | undefined, after: Site | undefined];

/** Sites by number, and the numbers by name. */
export interface SiteTable {
  /** A site keeps its place as long as there is one of its names; undefined: the place is free. */
  readonly slots: readonly (Site | undefined)[];
  readonly index: NameIndex;
}

export class Snapshot implements SiteTable {
  readonly server: ServerConfig;
  readonly slots: readonly (Site | undefined)[];
  readonly index: NameIndex;
  readonly defaultSni: string | undefined;
  readonly fallbackSni: string | undefined;
  readonly #default: Site | undefined;
  readonly #fallback: Site | undefined;
  readonly #only: Site | undefined;

  /**
   * @param table of `parts.sites`, where there is one already
   * @throws {RangeError} one name in two sites; a default or fallback that no site has
   */
  constructor(parts: SnapshotParts, table: SiteTable = tableOf(parts.sites)) {
    this.server = parts.server;
    this.slots = table.slots;
    this.index = table.index;
    this.defaultSni = parts.defaultSni;
    this.fallbackSni = parts.fallbackSni;
    this.#default = this.#named(parts.defaultSni, "default_sni");
    this.#fallback = this.#named(parts.fallbackSni, "fallback_sni");
    this.#only = onlySite(table.slots);
  }

  get sites(): readonly Site[] {
    return this.slots.filter((site) => site !== undefined);
  }

  /**
   * The site for an SNI as it came, in any case (policy §6.1): exact, then wildcard, then fallback, else undefined.
   *
   * @param isHidden the name came in an inner hello; without, a site that requires ECH is as if unknown
   */
  find(name: Uint8Array, isHidden: boolean = true): Site | undefined {
    const slot = this.index.find(name);
    const site = slot === undefined ? undefined : this.slots[slot];
    return site !== undefined && isAnswered(site, isHidden) ? site : this.#fallback;
  }

  /** The site for a Host, without its port, in any spelling: exact, then wildcard; no fallback (policy §8.5). */
  findText(host: string): Site | undefined {
    return siteCalled(this, canonicalHost(host));
  }

  /** No SNI (policy §6.3): the site of the connection's own IP address, default_sni, the only site, else undefined. */
  findWithoutName(localAddress: string, isHidden: boolean = true): Site | undefined {
    const site = this.findText(localAddress) ?? this.#default ?? this.#only;
    return site !== undefined && isAnswered(site, isHidden) ? site : undefined;
  }

  /**
   * This with some sites changed: the time it takes depends on the changes, but for a copy of the table of places.
   * Sites that stay keep their place.
   *
   * @throws {RangeError} as the constructor; a site to be changed that is not here
   */
  with(
    changes: readonly SiteChange[],
    parts: Partial<Omit<SnapshotParts, "sites">> = {},
  ): Snapshot {
    const { server, defaultSni, fallbackSni } = this;
    return new Snapshot(
      { server, defaultSni, fallbackSni, ...parts, sites: [] },
      changes.length === 0 ? this : changedTable(this, changes),
    );
  }

  /** This over a new base, which was made of another's base and overlay: what has changed since then stays. */
  withBase(base: SniTrie, folded: Overlay): Snapshot {
    const { server, slots, defaultSni, fallbackSni } = this;
    const index = this.index.withBase(base, folded);
    return new Snapshot({ server, sites: [], defaultSni, fallbackSni }, { slots, index });
  }

  #named(name: string | undefined, key: string): Site | undefined {
    if (name === undefined) return undefined;
    const site = this.findText(name);
    if (site === undefined) throw new RangeError(`Cannot use ${key}: no site is called ${name}`);
    return site;
  }
}

function tableOf(sites: readonly Site[]): SiteTable {
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
  return { slots: sites, index };
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

function changedTable(table: SiteTable, changes: readonly SiteChange[]): SiteTable {
  const slots = [...table.slots];
  const names = new Map<string, number | undefined>();
  const places = changes.map(([before]) => before && slotOf(table, before));
  for (const [i, slot] of places.entries()) {
    if (slot === undefined) continue;
    slots[slot] = undefined;
    for (const name of ownNames(changes[i]![0]!)) names.set(name, undefined);
  }
  const taken = new Set(places);
  let free = 0;
  for (const [i, [before, after]] of changes.entries()) {
    if (after === undefined) continue;
    let slot = places[i];
    if (slot === undefined) {
      while (free < slots.length && (slots[free] !== undefined || taken.has(free))) free++;
      slot = free++;
    }
    slots[slot] = after;
    const kept = before === undefined ? [] : ownNames(before);
    for (const name of ownNames(after)) {
      const holder = names.has(name) ? names.get(name) : exactSlot(table, name);
      if (holder !== undefined && holder !== slot) throw twice(name);
      // Where it is the same as before there is no change to be kept.
      if (kept.includes(name) && slot === places[i]) names.delete(name);
      else names.set(name, slot);
    }
  }
  return { slots, index: changedIndex(table.index, names) };
}

function changedIndex(
  index: NameIndex,
  names: ReadonlyMap<string, number | undefined>,
): NameIndex {
  const { base, overlay } = index;
  if (names.size === 0) return index;
  const changes: NameChange[] = [...names].map(([name, slot]) => ({ name, index: slot }));
  if (overlay.size + changes.length <= MAX_CHANGES) return index.withChanges(changes);
  const all = new NameList(base.size + overlay.size + changes.length, base.toBytes().length);
  base.forEach((keys, start, end, slot) => all.addKey(keys, start, end, slot));
  overlay.addTo(all);
  for (const [name, slot] of names) {
    if (slot === undefined) all.remove(name);
    else all.add(name, slot);
  }
  return new NameIndex(SniTrie.build(all));
}

function siteCalled({ slots, index }: SiteTable, name: string): Site | undefined {
  const bytes = bytesOf(name);
  const slot = bytes && index.find(bytes);
  return slot === undefined ? undefined : slots[slot];
}

/** The place of the site that has this very name; a wildcard that only covers it does not count. */
function exactSlot({ slots, index }: SiteTable, name: string): number | undefined {
  const bytes = bytesOf(name);
  const slot = bytes && index.find(bytes);
  return slot !== undefined && ownNames(slots[slot]!).includes(name) ? slot : undefined;
}

function slotOf(table: SiteTable, site: Site): number {
  const slot = exactSlot(table, ownNames(site)[0] ?? "");
  if (slot === undefined || table.slots[slot] !== site) {
    throw new RangeError(`Cannot change ${site.names.join(", ")}: there is no such site`);
  }
  return slot;
}

/** What is passed on never gets as far as being looked up here, unless its name was hidden in our own ECH. */
function isAnswered({ handler, requireEch }: Site, isHidden: boolean): boolean {
  return handler.kind !== "passthrough" && (isHidden || requireEch !== true);
}

function onlySite(slots: readonly (Site | undefined)[]): Site | undefined {
  let only: Site | undefined;
  for (const site of slots) {
    if (site === undefined || site.publicNameOnly) continue;
    if (only !== undefined) return undefined;
    only = site;
  }
  return only;
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
