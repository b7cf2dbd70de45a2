/**
 * The few changes since the base was built: immutable, and yet made from the one before in the time that its change takes.
 * @module
 */
import { ChangeLog, NO_CHANGE } from "./change-log.ts";
import type { HashKey } from "./name-hash.ts";
import { NameList } from "./name-list.ts";
import { NOT_HELD, SniTrie } from "./sni-trie.ts";

/** Changes in an overlay, over which the base has to be built anew. */
export const MAX_CHANGES = 4096;

export interface NameChange {
  /** Lower-case A-labels, "*." before them for one label of any kind. */
  readonly name: string;
  /** undefined: the name is removed, also from the base below. */
  readonly index: number | undefined;
}

export class Overlay {
  readonly #log: ChangeLog;
  /** So many changes of the log are in it. */
  readonly #length: number;
  /** Names changed, removals included. */
  readonly size: number;

  private constructor(log: ChangeLog, size: number) {
    this.#log = log;
    this.#length = log.length;
    this.size = size;
  }

  /** @param key of the base that it will lie over: each name is then hashed once for both */
  static empty(key: HashKey): Overlay {
    return new Overlay(new ChangeLog(key, 1), 0);
  }

  /** @throws {RangeError} see SniTrie.fromBytes; more than MAX_CHANGES */
  static fromBytes(bytes: Uint8Array): Overlay {
    const trie = SniTrie.fromBytes(bytes);
    checkSize(trie.size);
    const log = new ChangeLog(trie.hashKey, CHAINS);
    trie.forEach((keys, start, end, index) => log.add(keys, start, end, index));
    return new Overlay(log, trie.size);
  }

  /** As an SniTrie has them, removals as such. */
  toBytes(): Uint8Array {
    const names = new NameList(this.size);
    this.addTo(names);
    return SniTrie.build(names, { drawKey: () => this.hashKey, keepRemoved: true }).toBytes();
  }

  get hashKey(): HashKey {
    return this.#log.key;
  }

  /**
   * This with more changes; the later one of a name counts.
   * @throws {RangeError} more than MAX_CHANGES in all; a name or an index that is none
   */
  with(changes: Iterable<NameChange>): Overlay {
    const names = new NameList();
    for (const { name, index } of changes) {
      if (index === undefined) names.remove(name);
      else names.add(name, index);
    }
    const log = this.#logFor(names.count);
    let { size } = this;
    const { keys, ends, indices } = names;
    let start = 0;
    for (let i = 0; i < ends.length; i++) {
      const end = ends[i]!;
      const index = indices[i]!;
      const before = log.find(log.hash(keys, start, end), log.length);
      if (before === NO_CHANGE) size++;
      if (before === NO_CHANGE || log.indexOf(before) !== index) log.add(keys, start, end, index);
      start = end;
    }
    checkSize(size);
    return new Overlay(log, size);
  }

  /** What is still to be said over a base that has `folded` in it and the hash key `key`. */
  since(folded: Overlay, key: HashKey): Overlay {
    const log = new ChangeLog(key, CHAINS);
    this.forEach((keys, start, end, index) => {
      if (folded.indexOf(folded.#log.hash(keys, start, end)) === index) return;
      log.add(keys, start, end, index);
    });
    return new Overlay(log, log.length);
  }

  /** Of the key that was hashed last, as SniTrie.indexOf: REMOVED for a removal, NOT_HELD for no change. */
  indexOf(hash: number): number {
    const change = this.#log.find(hash, this.#length);
    return change === NO_CHANGE ? NOT_HELD : this.#log.indexOf(change);
  }

  /** As SniTrie.forEach: REMOVED for a removal. */
  forEach(visit: Parameters<SniTrie["forEach"]>[0]): void {
    this.#log.forEach(this.#length, visit);
  }

  /** Appends all changes, so that they prevail over what the list has already. */
  addTo(names: NameList): void {
    this.forEach((keys, start, end, index) => names.addKey(keys, start, end, index));
  }

  /**
   * One that further changes can be added to: this one's, unless another overlay has gone on from here, or there are so
   * many in it that have been overtaken.
   */
  #logFor(changes: number): ChangeLog {
    const old = this.#log;
    if (old.length === this.#length && this.size > 0 && old.length + changes <= MAX_LENGTH) {
      return old;
    }
    const log = new ChangeLog(old.key, CHAINS);
    this.forEach((keys, start, end, index) => log.add(keys, start, end, index));
    return log;
  }
}

/** Chains of one change for the most part. */
const CHAINS = 2 * MAX_CHANGES;
/** Changes in one log. */
const MAX_LENGTH = 2 * MAX_CHANGES;

function checkSize(size: number): void {
  if (size > MAX_CHANGES) {
    throw new RangeError(`Cannot hold ${size} changes in an overlay of ${MAX_CHANGES}`);
  }
}
