/**
 * The few changes since the base was built: immutable, small enough to be made anew for each further change.
 * @module
 */
import type { HashKey } from "./name-hash.ts";
import { NameList } from "./name-list.ts";
import { SniTrie } from "./sni-trie.ts";

/** Changes in an overlay, over which the base has to be built anew. */
export const MAX_CHANGES = 4096;

export interface NameChange {
  /** Lower-case A-labels, "*." before them for one label of any kind. */
  readonly name: string;
  /** undefined: the name is removed, also from the base below. */
  readonly index: number | undefined;
}

export class Overlay {
  readonly #trie: SniTrie;

  private constructor(trie: SniTrie) {
    this.#trie = trie;
  }

  /** @param key of the base that it will lie over: each name is then hashed once for both */
  static empty(key: HashKey): Overlay {
    return new Overlay(trieOf(new NameList(), key));
  }

  /** @throws {RangeError} see SniTrie.fromBytes; more than MAX_CHANGES */
  static fromBytes(bytes: Uint8Array): Overlay {
    const trie = SniTrie.fromBytes(bytes);
    checkSize(trie);
    return new Overlay(trie);
  }

  toBytes(): Uint8Array {
    return this.#trie.toBytes();
  }

  /** Changes held, removals included. */
  get size(): number {
    return this.#trie.size;
  }

  get hashKey(): HashKey {
    return this.#trie.hashKey;
  }

  /**
   * This with more changes; the later one of a name counts.
   * @throws {RangeError} more than MAX_CHANGES in all; a name or an index that is none
   */
  with(changes: Iterable<NameChange>): Overlay {
    const names = this.#names();
    for (const { name, index } of changes) {
      if (index === undefined) names.remove(name);
      else names.add(name, index);
    }
    const trie = trieOf(names, this.hashKey);
    checkSize(trie);
    return new Overlay(trie);
  }

  /** What is still to be said over a base that has `folded` in it and the hash key `key`. */
  since(folded: Overlay, key: HashKey): Overlay {
    const names = new NameList();
    const old = folded.#trie;
    this.#trie.forEach((keys, start, end, index) => {
      if (old.indexOf(keys, start, end, old.hash(keys, start, end)) !== index) {
        names.addKey(keys, start, end, index);
      }
    });
    return new Overlay(trieOf(names, key));
  }

  /** Of a key whose hash it is, as SniTrie.indexOf: REMOVED for a removal, NOT_HELD for no change. */
  indexOf(bytes: Uint8Array, start: number, end: number, hash: number): number {
    return this.#trie.indexOf(bytes, start, end, hash);
  }

  /** As SniTrie.forEach: REMOVED for a removal. */
  forEach(visit: Parameters<SniTrie["forEach"]>[0]): void {
    this.#trie.forEach(visit);
  }

  /** Appends all changes, so that they prevail over what the list has already. */
  addTo(names: NameList): void {
    this.#trie.forEach((keys, start, end, index) => names.addKey(keys, start, end, index));
  }

  #names(): NameList {
    const names = new NameList(this.size + 64, this.toBytes().length);
    this.addTo(names);
    return names;
  }
}

function trieOf(names: NameList, key: HashKey): SniTrie {
  return SniTrie.build(names, { drawKey: () => key, keepRemoved: true });
}

function checkSize(trie: SniTrie): void {
  if (trie.size > MAX_CHANGES) {
    throw new RangeError(`Cannot hold ${trie.size} changes in an overlay of ${MAX_CHANGES}`);
  }
}
