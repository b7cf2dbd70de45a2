/**
 * All names there are: a large base built off the serving thread, and over it the changes since.
 * @module
 */
import { ASTERISK, DOT, MAX_NAME_LENGTH, NameList, REMOVED } from "./name-list.ts";
import { MAX_CHANGES, type NameChange, Overlay } from "./overlay.ts";
import type { BuildOptions } from "./sni-table.ts";
import { firstDot, isSearchable, NOT_HELD, SniTrie } from "./sni-trie.ts";

/**
 * Immutable: a change makes another one, which shares the base. The life of the two:
 *
 *     index = index.withChanges([…])                        on the serving thread, for each change
 *     base = foldNames(index.base, index.overlay)           elsewhere, from their bytes, once it `isCrowded`
 *     index = current.withBase(base, index.overlay)         on the serving thread: later changes stay
 */
export class NameIndex {
  readonly base: SniTrie;
  readonly overlay: Overlay;

  /** @throws {RangeError} the overlay was made for the hash key of another base */
  constructor(base: SniTrie, overlay: Overlay = Overlay.empty(base.hashKey)) {
    const [k0, k1] = overlay.hashKey;
    if (k0 !== base.hashKey[0] || k1 !== base.hashKey[1]) {
      throw new RangeError("Cannot lay an overlay over a base with another hash key");
    }
    this.base = base;
    this.overlay = overlay;
  }

  /** SniTrie.find over both: an exact name beats a wildcard whichever holds it, a removal hides the base's entry. */
  find(bytes: Uint8Array, start: number = 0, end: number = bytes.length): number | undefined {
    if (!isSearchable(bytes, start, end)) return undefined;
    let index = this.#indexOf(bytes, start, end);
    if (index === NOT_HELD || index === REMOVED) {
      const dot = firstDot(bytes, start, end);
      if (dot === end) return undefined;
      index = this.#indexOf(bytes, dot, end);
    }
    return index === NOT_HELD || index === REMOVED ? undefined : index;
  }

  /**
   * About 1 ms when the overlay is full, whatever the size of the base.
   * @throws {RangeError} more than MAX_CHANGES since the base was built; a name or an index that is none
   */
  withChanges(changes: Iterable<NameChange>): NameIndex {
    return new NameIndex(this.base, this.overlay.with(changes));
  }

  /** Time to build a new base: half of the overlay's room is left for the changes until it is there. */
  get isCrowded(): boolean {
    return this.overlay.size >= MAX_CHANGES / 2;
  }

  /** Do so many changes more fit over this base? */
  hasRoomFor(changes: number): boolean {
    return this.overlay.size + changes <= MAX_CHANGES;
  }

  /** The index of this very name, "*.example.com" for itself and not for what it stands for. */
  findExactly(name: Uint8Array): number | undefined {
    const isWildcard = name[0] === ASTERISK && name[1] === DOT;
    const start = isWildcard ? 1 : 0;
    if (name.length > MAX_NAME_LENGTH || name.length === 0) return undefined;
    if (!isWildcard && name[0] === DOT) return undefined;
    const index = this.#indexOf(name, start, name.length);
    return index === NOT_HELD || index === REMOVED ? undefined : index;
  }

  /** All names with this index. Looks at every name there is: for what hardly ever happens. */
  namesOf(index: number): string[] {
    const names: string[] = [];
    const note = (keys: Uint8Array, start: number, end: number): void => {
      const text = String.fromCharCode(...keys.subarray(start, end));
      names.push(keys[start] === DOT ? `*${text}` : text);
    };
    this.overlay.forEach((keys, start, end, held) => {
      if (held === index) note(keys, start, end);
    });
    this.base.forEach((keys, start, end, held) => {
      if (held !== index) return;
      if (this.overlay.indexOf(this.base.hash(keys, start, end)) === NOT_HELD) {
        note(keys, start, end);
      }
    });
    return names;
  }

  /** Over a new base that was made from this one's and from `folded`, the overlay of then; changes since then stay. */
  withBase(base: SniTrie, folded: Overlay): NameIndex {
    return new NameIndex(base, this.overlay.since(folded, base.hashKey));
  }

  #indexOf(bytes: Uint8Array, start: number, end: number): number {
    const hash = this.base.hash(bytes, start, end);
    const change = this.overlay.size === 0 ? NOT_HELD : this.overlay.indexOf(hash);
    return change === NOT_HELD ? this.base.indexOf(hash) : change;
  }
}

/** A new base with the overlay and `changes` over that in it, under a new hash key. About 0.7 s for a million names: not for the serving thread. */
export function foldNames(
  base: SniTrie,
  overlay: Overlay,
  changes?: NameList,
  options?: BuildOptions,
): SniTrie {
  const names = new NameList(
    base.size + overlay.size,
    base.toBytes().length + overlay.toBytes().length,
  );
  base.forEach((keys, start, end, index) => names.addKey(keys, start, end, index));
  overlay.addTo(names);
  if (changes !== undefined) names.addAll(changes);
  return SniTrie.build(names, options);
}
