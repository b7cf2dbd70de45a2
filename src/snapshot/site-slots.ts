/**
 * Sites by number: a base that makes them when they are asked for, and over it what has changed since.
 * @module
 */
import { drawHashKey, type HashKey } from "./name-hash.ts";
import type { Site, SiteOrigin } from "./snapshot.ts";

/** Sites that are there whether or not somebody has asked for them. */
export interface SiteSource {
  readonly length: number;
  /** Undefined: the place is free. */
  get(slot: number): Site | undefined;
  /**
   * What `get` would say of it, without making the site: put into an object of the caller's, which looks at very many.
   * False: there is none.
   */
  readOrigin(slot: number, into: OriginFields): boolean;
  /** Is there one that is more than a public name? */
  isServed(slot: number): boolean;
  isFree(slot: number): boolean;
  /** Was there one when `get` was asked for it that could not be read? */
  isDamaged(slot: number): boolean;
}

export type OriginFields = { -readonly [K in keyof SiteOrigin]: SiteOrigin[K] };

export function originFields(): OriginFields {
  return {
    key: 0,
    sinceMs: 0,
    dueMs: 0,
    flightLength: 0,
    isManaged: false,
    hasFiles: false,
    hasWarnings: false,
  };
}

/**
 * Immutable. A change copies the few places around it, so that it takes the same time whatever changed before.
 * A site keeps its place as long as there is one of its names.
 */
export class SiteSlots implements SiteSource {
  readonly base: SiteSource;
  /** Places in rows of ROW; undefined: all of the row are the base's. */
  readonly #rows: readonly (Row | undefined)[];
  readonly length: number;
  /** Places below `length` where there is no site. */
  readonly #free: readonly number[];
  /** Sites that are more than a public name. */
  readonly servedCount: number;
  /** Sites held as objects rather than by the base. */
  readonly looseCount: number;
  /**
   * What `SiteOrigin.key` of all of them was made with. Secret: whoever chooses what a [[site]] says cannot have
   * another one look the same.
   */
  readonly keySeed: HashKey;

  private constructor(
    base: SiteSource,
    keySeed: HashKey,
    rows: readonly (Row | undefined)[],
    rest: { length: number; free: readonly number[]; servedCount: number; looseCount: number },
  ) {
    this.base = base;
    this.keySeed = keySeed;
    this.#rows = rows;
    this.length = rest.length;
    this.#free = rest.free;
    this.servedCount = rest.servedCount;
    this.looseCount = rest.looseCount;
  }

  /** @param keySeed default: another one each time */
  static of(sites: readonly (Site | undefined)[], keySeed: HashKey = drawHashKey()): SiteSlots {
    const loose = sites.reduce((count, site) => site === undefined ? count : count + 1, 0);
    return SiteSlots.over(new SiteArray(sites), keySeed, loose);
  }

  /** @param looseCount how many of the source's sites are objects already */
  static over(base: SiteSource, keySeed: HashKey, looseCount: number = 0): SiteSlots {
    const free: number[] = [];
    let servedCount = 0;
    for (let slot = 0; slot < base.length; slot++) {
      if (base.isServed(slot)) servedCount++;
      else if (base.isFree(slot)) free.push(slot);
    }
    const { length } = base;
    return new SiteSlots(base, keySeed, [], { length, free, servedCount, looseCount });
  }

  get(slot: number): Site | undefined {
    const row = this.#rows[slot >>> ROW_BITS];
    const site = row === undefined ? null : row[slot & ROW_MASK];
    return site === null ? this.base.get(slot) : site;
  }

  readOrigin(slot: number, into: OriginFields): boolean {
    const row = this.#rows[slot >>> ROW_BITS];
    const site = row === undefined ? null : row[slot & ROW_MASK];
    return site === null ? this.base.readOrigin(slot, into) : copyOrigin(site, into);
  }

  origin(slot: number): SiteOrigin | undefined {
    const origin = originFields();
    return this.readOrigin(slot, origin) ? origin : undefined;
  }

  isServed(slot: number): boolean {
    const row = this.#rows[slot >>> ROW_BITS];
    const site = row === undefined ? null : row[slot & ROW_MASK];
    return site === null ? this.base.isServed(slot) : site?.publicNameOnly === false;
  }

  isFree(slot: number): boolean {
    const row = this.#rows[slot >>> ROW_BITS];
    const site = row === undefined ? null : row[slot & ROW_MASK];
    return site === null ? this.base.isFree(slot) : site === undefined;
  }

  isDamaged(slot: number): boolean {
    return this.baseOf(slot)?.isDamaged(slot) === true;
  }

  /** What the base holds of it and nothing has replaced, for whoever knows what kind of base it is. */
  baseOf(slot: number): SiteSource | undefined {
    const row = this.#rows[slot >>> ROW_BITS];
    return row === undefined || row[slot & ROW_MASK] === null ? this.base : undefined;
  }

  /** The first free places, as many as are wanted: below `length` as long as there are such. */
  freePlaces(count: number): number[] {
    const places = this.#free.slice(0, count);
    for (let slot = this.length; places.length < count; slot++) places.push(slot);
    return places;
  }

  /** This with other sites in some places. */
  with(changes: ReadonlyMap<number, Site | undefined>): SiteSlots {
    const rows = [...this.#rows];
    const fresh = new Set<number>();
    let { length, servedCount, looseCount } = this;
    const freed: number[] = [];
    const taken = new Set<number>();
    for (const [slot, site] of changes) {
      const number = slot >>> ROW_BITS;
      if (!fresh.has(number)) {
        fresh.add(number);
        rows[number] = rows[number]?.slice() ??
          Array.from<Site | undefined | null>({ length: ROW }).fill(null);
      }
      const wasFree = slot >= this.length || this.isFree(slot);
      if (slot < this.length && this.isServed(slot)) servedCount--;
      const isLoose = this.base instanceof SiteArray || this.baseOf(slot) === undefined;
      if (!wasFree && isLoose) looseCount--;
      if (site !== undefined) {
        looseCount++;
        if (!site.publicNameOnly) servedCount++;
        if (wasFree) taken.add(slot);
      } else if (!wasFree) freed.push(slot);
      rows[number]![slot & ROW_MASK] = site;
      length = Math.max(length, slot + 1);
    }
    for (let slot = this.length; slot < length; slot++) if (!taken.has(slot)) freed.push(slot);
    const kept = taken.size === 0 ? this.#free : this.#free.filter((slot) => !taken.has(slot));
    const free = freed.length === 0 ? kept : [...kept, ...freed];
    return new SiteSlots(this.base, this.keySeed, rows, { length, free, servedCount, looseCount });
  }

  /** The same over another base, that has in it what `folded` held: only what has changed since then stays. */
  withBase(base: SiteSource, folded: SiteSlots): SiteSlots {
    let looseCount = 0;
    const rows = this.#rows.map((row, number) => {
      const old = folded.#rows[number];
      if (row === undefined || row === old) return undefined;
      return row.map((site, i) => {
        if (site === null || site === old?.[i]) return null;
        if (site !== undefined) looseCount++;
        return site;
      });
    });
    const { length, servedCount, keySeed } = this;
    return new SiteSlots(base, keySeed, rows, {
      length,
      free: this.#free,
      servedCount,
      looseCount,
    });
  }

  /** All places, made. For tests and for few of them. */
  toArray(): (Site | undefined)[] {
    return Array.from({ length: this.length }, (_, slot) => this.get(slot));
  }
}

function copyOrigin(site: Site | undefined, into: OriginFields): boolean {
  if (site?.origin === undefined) return false;
  const { key, sinceMs, dueMs, flightLength, isManaged, hasFiles, hasWarnings } = site.origin;
  into.key = key;
  into.sinceMs = sinceMs;
  into.dueMs = dueMs;
  into.flightLength = flightLength;
  into.isManaged = isManaged;
  into.hasFiles = hasFiles;
  into.hasWarnings = hasWarnings;
  return true;
}

/** null: the base's. */
type Row = (Site | undefined | null)[];

/** Sites that are objects. */
class SiteArray implements SiteSource {
  readonly #sites: readonly (Site | undefined)[];

  constructor(sites: readonly (Site | undefined)[]) {
    this.#sites = sites;
  }

  get length(): number {
    return this.#sites.length;
  }

  get(slot: number): Site | undefined {
    return this.#sites[slot];
  }

  readOrigin(slot: number, into: OriginFields): boolean {
    return copyOrigin(this.#sites[slot], into);
  }

  isServed(slot: number): boolean {
    return this.#sites[slot]?.publicNameOnly === false;
  }

  isFree(slot: number): boolean {
    return this.#sites[slot] === undefined;
  }

  isDamaged(): boolean {
    return false;
  }
}

const ROW_BITS = 7;
const ROW = 1 << ROW_BITS;
const ROW_MASK = ROW - 1;
