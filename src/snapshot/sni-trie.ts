/**
 * Which index (of a site, of a credential) belongs to an SNI: for a million names, off the garbage collector's books.
 *
 * Names lie in one buffer that never changes after it was built, can be shared between threads, and is written to disk
 * and read back as it is. It is a hash table of whole names rather than a tree of labels: since a wildcard stands for
 * exactly one label, no more than two keys can match a name, the name itself and what follows its first dot, and the
 * longest match is the first of the two that is there. That is two probes of memory at most, where a tree
 * takes one per label, and its cost does not depend on how the names branch.
 *
 * Names are told apart by 64 bits of a hash with a secret key. Should one that nobody has be taken for a site's, then its
 * client is shown that site's certificate, and gets what it would have got by the right name.
 *
 * @module
 */
import { type HashKey, hashName, otherHalf } from "./name-hash.ts";
import { DOT, MAX_NAME_LENGTH, NameList } from "./name-list.ts";
import {
  type BuildOptions,
  buildTable,
  filterBits,
  filterWord,
  GONE_ON,
  homeOf,
  LINE,
  MAX_PROBE,
  NAME_HEADER,
  readingTable,
  SLOTS,
  type SniTable,
} from "./sni-table.ts";

/** What `indexOf` returns for a key that is not there. */
export const NOT_HELD = -1;

export class SniTrie {
  readonly #table: SniTable;
  readonly #lines: Int32Array;
  readonly #filter: Uint32Array;
  readonly #lineCount: number;
  readonly #multipliers: Int32Array;

  private constructor(table: SniTable) {
    this.#table = table;
    this.#lines = table.lines;
    this.#filter = table.filter;
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
    let index = this.indexOf(this.hash(bytes, start, end));
    if (index === NOT_HELD) {
      const dot = firstDot(bytes, start, end);
      if (dot < end) index = this.indexOf(this.hash(bytes, dot, end));
    }
    return index === NOT_HELD ? undefined : index;
  }

  /** Of a key: a name, or a wildcard from its dot on. For `indexOf`. */
  hash(bytes: Uint8Array, start: number, end: number): number {
    return hashName(bytes, start, end, this.#multipliers);
  }

  /** The index of the key that was hashed last, and that is its hash; REMOVED for one kept as such; NOT_HELD. */
  indexOf(hash: number): number {
    const filter = this.#filter;
    const bits = filterBits(hash);
    if ((filter[filterWord(hash, filter.length)]! & bits) !== bits) return NOT_HELD;
    const lines = this.#lines;
    const second = otherHalf[0]!;
    const home = homeOf(hash, this.#lineCount);
    for (let line = home; line <= home + LINE * MAX_PROBE; line += LINE) {
      for (let slot = line; slot < line + SLOTS; slot++) {
        if (lines[slot] === hash && lines[slot + SLOTS] === second) {
          return lines[slot + 2 * SLOTS]! >>> 0;
        }
      }
      if (lines[line + GONE_ON] === 0) return NOT_HELD;
    }
    return NOT_HELD;
  }

  /** Every key with its index, in no order. `keys`, `start`, `end` as NameList.addKey takes them. */
  forEach(visit: (keys: Uint8Array, start: number, end: number, index: number) => void): void {
    const { names } = this.#table;
    for (let at = 0; at < names.length;) {
      const index = names[at]! | (names[at + 1]! << 8) | (names[at + 2]! << 16) |
        (names[at + 3]! << 24);
      const start = at + NAME_HEADER;
      const end = start + names[at + 4]!;
      visit(names, start, end, index >>> 0);
      at = end;
    }
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
