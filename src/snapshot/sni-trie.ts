/**
 * Which index (of a site, of a credential) belongs to an SNI: for a million names, off the garbage collector's books.
 *
 * Names lie in one buffer that never changes after it was built, can be shared between threads, and is written to disk
 * and read back as it is. It is a hash table of whole names rather than a tree of labels: since a wildcard stands for
 * exactly one label, no more than two keys can match a name, the name itself and what follows its first dot, and the
 * longest match is the first of the two that is there. That is two probes of memory at most, where a tree
 * takes one per label, and its cost does not depend on how the names branch.
 *
 * @module
 */
import { type HashKey, hashName } from "./name-hash.ts";
import { DOT, MAX_NAME_LENGTH, NameList } from "./name-list.ts";
import {
  type BuildOptions,
  buildTable,
  filterBits,
  filterWord,
  GOES_ON,
  homeOf,
  LINE,
  MAX_OWN_KEY,
  MAX_PROBE,
  readingTable,
  SLOT,
  SLOT_HEADER,
  type SniTable,
  TAG,
  tagOf,
  wordAt,
} from "./sni-table.ts";

/** What `indexOf` returns for a key that is not there. */
export const NOT_HELD = -1;

export class SniTrie {
  readonly #table: SniTable;
  readonly #lines: Uint8Array;
  readonly #filter: Uint32Array;
  readonly #heap: Uint8Array;
  readonly #lineCount: number;
  readonly #multipliers: Int32Array;

  private constructor(table: SniTable) {
    this.#table = table;
    this.#lines = table.lines;
    this.#filter = table.filter;
    this.#heap = table.heap;
    this.#lineCount = table.lineCount;
    this.#multipliers = table.multipliers;
  }

  /**
   * Of a name that comes more than once the last entry counts.
   * @throws {RangeError} more than 2^24 names, or than 2 GiB; a name that is none
   */
  static build(
    names: NameList | Iterable<readonly [name: string, index: number]>,
    options?: BuildOptions,
  ): SniTrie {
    return new SniTrie(
      buildTable(names instanceof NameList ? names : NameList.from(names), options),
    );
  }

  /**
   * What `toBytes` gave, aliased (unless it lies at an odd address): it must not change any more.
   * @throws {RangeError} bytes that could lead a lookup astray. Tell damage that leaves them well-formed by a checksum.
   */
  static fromBytes(bytes: Uint8Array): SniTrie {
    const reading = SniTrie.reading(bytes);
    for (;;) {
      const { done, value } = reading.next();
      if (done) return value;
    }
  }

  /** The same in turns, some tenths of a millisecond each. */
  static *reading(bytes: Uint8Array): Generator<void, SniTrie> {
    return new SniTrie(yield* readingTable(bytes));
  }

  /** All of it, a view: to be written, or posted to another thread by its buffer. Holds the key of the hash. */
  toBytes(): Uint8Array {
    return this.#table.bytes;
  }

  /** Names, wildcards included. */
  get size(): number {
    return this.#table.count;
  }

  get hashKey(): HashKey {
    return this.#table.key;
  }

  /**
   * The index for the SNI bytes[start, end) as it came, in any case (policy §6.1): of the exact name, else of the
   * wildcard for its first label, else undefined. Any bytes will do: time is bounded, nothing is thrown or allocated.
   */
  find(bytes: Uint8Array, start: number = 0, end: number = bytes.length): number | undefined {
    if (!isSearchable(bytes, start, end)) return undefined;
    let index = this.indexOf(bytes, start, end, this.hash(bytes, start, end));
    if (index === NOT_HELD) {
      const dot = firstDot(bytes, start, end);
      if (dot < end) index = this.indexOf(bytes, dot, end, this.hash(bytes, dot, end));
    }
    return index === NOT_HELD ? undefined : index;
  }

  /** Of a key: a name, or a wildcard from its dot on. */
  hash(bytes: Uint8Array, start: number, end: number): number {
    return hashName(bytes, start, end, this.#multipliers);
  }

  /** The index of this very key, whose hash it is; REMOVED for one kept as such; NOT_HELD. */
  indexOf(bytes: Uint8Array, start: number, end: number, hash: number): number {
    const filter = this.#filter;
    const bits = filterBits(hash);
    if ((filter[filterWord(hash, filter.length)]! & bits) !== bits) return NOT_HELD;
    const lines = this.#lines;
    const tag = tagOf(hash);
    const length = end - start;
    const home = homeOf(hash, this.#lineCount);
    for (let line = home; line <= home + LINE * MAX_PROBE; line += LINE) {
      const second = lines[line + SLOT]!;
      if (
        (lines[line]! & TAG) === tag && lines[line + 1] === length &&
        this.#isAt(line, bytes, start, end)
      ) return wordAt(lines, line + 2);
      if (
        (second & TAG) === tag && lines[line + SLOT + 1] === length &&
        this.#isAt(line + SLOT, bytes, start, end)
      ) return wordAt(lines, line + SLOT + 2);
      if ((second & GOES_ON) === 0) return NOT_HELD;
    }
    return NOT_HELD;
  }

  /** Every key with its index, in no order. `keys`, `start`, `end` as NameList.addKey takes them. */
  forEach(visit: (keys: Uint8Array, start: number, end: number, index: number) => void): void {
    const lines = this.#lines;
    for (let slot = 0; slot < lines.length; slot += SLOT) {
      if ((lines[slot]! & TAG) === 0) continue;
      const length = lines[slot + 1]!;
      const index = wordAt(lines, slot + 2);
      const own = slot + SLOT_HEADER;
      const start = length > MAX_OWN_KEY ? wordAt(lines, own) : own;
      visit(length > MAX_OWN_KEY ? this.#heap : lines, start, start + length, index);
    }
  }

  /** Is it this key, whose length is right? */
  #isAt(slot: number, bytes: Uint8Array, start: number, end: number): boolean {
    const isLong = end - start > MAX_OWN_KEY;
    const keys = isLong ? this.#heap : this.#lines;
    const own = slot + SLOT_HEADER;
    const shift = (isLong ? wordAt(this.#lines, own) : own) - start;
    let i = start;
    while (i < end && LOWER_CASE[bytes[i]!] === keys[i + shift]) i++;
    return i === end;
  }
}

/** Could any name match? Not one that is empty, too long, or begins with a dot as the keys of wildcards do. */
export function isSearchable(bytes: Uint8Array, start: number, end: number): boolean {
  return end > start && end - start <= MAX_NAME_LENGTH && bytes[start] !== DOT;
}

/** `end` if there is none. */
export function firstDot(bytes: Uint8Array, start: number, end: number): number {
  let at = start;
  while (at < end && bytes[at] !== DOT) at++;
  return at;
}

const LOWER_CASE = Uint8Array.from(
  { length: 256 },
  (_, byte) => byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte,
);
