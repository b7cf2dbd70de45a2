/**
 * The memory of an SniTrie: how it is laid out, written and checked.
 *
 *     header  16 words: magic, names, lines, key (2), length of the heap, zeros
 *     filter  words, one for four names, in which each name sets two bits; up to a multiple of 64 bytes
 *     lines   64 bytes each, as the processor's caches have them: two slots of 32
 *     slot    tag (1 byte; 0: free) and in the second one's top bit whether keys have gone on to the next line, length of
 *             the key (1), index (4), the key, or for one of more than 26 bytes where it lies in the heap (4); numbers are
 *             little-endian
 *     heap    long keys
 *
 * A hash names a line by its top bits and a tag by its last ones. A key lies in its line, or where that is full in the
 * next that is not: whoever looks for one goes on as long as keys have. Four slots in five are taken, in the order of
 * the lines that keys are at home in: of a million, half lie in their own line, and none more than about 15 behind it.
 * To read the next line as well costs little, for it comes along from memory; the first takes longer than all the rest
 * (140 ns and more), and the less memory there is to read from, the more often the caches have it. The filter takes a
 * byte a name and mostly stays in them: a name that is not there seldom costs such a read.
 *
 * No key is more than MAX_PROBE lines away from its own, whatever the names: that holds by the hash's key, which is drawn
 * anew should it not, so it bounds every lookup.
 *
 * @module
 */
import { drawHashKey, type HashKey, hashName, multipliersOf } from "./name-hash.ts";
import { type NameList, REMOVED } from "./name-list.ts";

export interface SniTable {
  /** Header, lines and heap. */
  readonly bytes: Uint8Array;
  readonly count: number;
  readonly key: HashKey;
  readonly multipliers: Int32Array;
  /** Those in which a key may be at home; MAX_PROBE more follow. */
  readonly lineCount: number;
  readonly lines: Uint8Array;
  readonly filter: Uint32Array;
  readonly heap: Uint8Array;
}

export interface BuildOptions {
  /** Where the hash's key comes from; asked again if the names lie badly with it. Default: random. */
  readonly drawKey?: () => HashKey;
  /** In a SharedArrayBuffer, for other threads to read. */
  readonly shared?: boolean;
  /** Removed names as well: for what is looked up before something else. */
  readonly keepRemoved?: boolean;
}

export const LINE = 64;
export const SLOT = 32;
export const SLOT_HEADER = 6;
/** A longer key is in the heap. */
export const MAX_OWN_KEY = SLOT - SLOT_HEADER;
/** Lines beyond its own in which a key may be. Fewer than one hash key in 10^12 needs more. */
export const MAX_PROBE = 64;

/** Where the line begins that a key with this hash is at home in. */
export function homeOf(hash: number, lineCount: number): number {
  return LINE * Math.floor((hash >>> 0) * (lineCount / 2 ** 32));
}

/** What tells keys apart before they are compared: 1 to 127. */
export function tagOf(hash: number): number {
  return (hash & TAG) || 1;
}

/** The bits of a filter's word that a key with this hash sets. */
export function filterBits(hash: number): number {
  return (1 << ((hash >>> 7) & 31)) | (1 << (hash & 31));
}

/** Its word. */
export function filterWord(hash: number, words: number): number {
  return Math.floor((hash >>> 0) * (words / 2 ** 32));
}

export const TAG = 0x7f;
/** Of a line's second tag: keys that are at home here or before have gone on to the next line. */
export const GOES_ON = 0x80;

/** A million names take about half a second of the processor: not for the serving thread. */
export function buildTable(names: NameList, options: BuildOptions = {}): SniTable {
  if (names.count > MAX_NAMES) throw new RangeError(`Cannot index more than ${MAX_NAMES} names`);
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const key = (options.drawKey ?? drawHashKey)();
    const kept = tryKey(names, undefined, key, options);
    if (kept === undefined) continue;
    if (kept.entries.length === names.count) return kept.table;
    // Of names that come twice, and of removed ones, there is nothing left: a table of its own size.
    const exact = tryKey(names, kept.entries, key, options);
    if (exact !== undefined) return exact.table;
  }
  throw new RangeError("Cannot index these names: too many in one place with each of 8 keys");
}

/**
 * The table in bytes that were written earlier, in place if they are aligned. After this no lookup leaves the buffer or
 * takes longer than in the original, whatever the bytes; that they are the original is for a checksum to tell.
 *
 * @throws {RangeError} they are no table
 */
export function* readingTable(bytes: Uint8Array): Generator<void, SniTable> {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  if (aligned.length < HEADER_LENGTH) throw wrong("it ends in the header");
  const header = new Uint32Array(aligned.buffer, aligned.byteOffset, HEADER_LENGTH / 4);
  const lineCount = header[2]!;
  if (header[0] !== MAGIC) throw wrong("it does not begin like one of this kind of machine");
  if (lineCount < 1 || lineCount > MAX_LINES) throw wrong(`it cannot have ${lineCount} lines`);
  const start = HEADER_LENGTH + 4 * filterWords(lineCount);
  if (aligned.length !== start + LINE * (lineCount + MAX_PROBE) + header[5]!) {
    throw wrong("its parts are not as long as it says");
  }
  const table = viewsOf(aligned, header[1]!, [header[3]!, header[4]!], lineCount);
  yield* checkLines(table);
  return table;
}

/**
 * A table of these entries of the list, of a name that comes twice the last; and which entries are in it. Undefined: one
 * would lie too far from its line.
 */
function tryKey(
  names: NameList,
  wanted: Uint32Array | undefined,
  key: HashKey,
  options: BuildOptions,
): { readonly table: SniTable; readonly entries: Uint32Array } | undefined {
  const { keys, ends, indices } = names;
  const count = wanted?.length ?? names.count;
  const entryAt = (i: number): number => wanted === undefined ? i : wanted[i]!;
  let heapLength = 0;
  for (let i = 0; i < count; i++) {
    const length = lengthOf(ends, entryAt(i));
    if (length > MAX_OWN_KEY) heapLength += length;
  }
  const table = emptyTable(count, heapLength, key, options.shared === true);
  const { lines, filter, heap, lineCount, multipliers } = table;
  const hashes = new Int32Array(count);
  for (let i = 0; i < count; i++) {
    const end = ends[entryAt(i)]!;
    hashes[i] = hashName(keys, end - lengthOf(ends, entryAt(i)), end, multipliers);
  }
  const entries = new Uint32Array(count);
  let kept = 0;
  let heapAt = 0;
  let free = 0;
  for (const i of byLine(hashes, lineCount)) {
    const entry = entryAt(i);
    const end = ends[entry]!;
    const start = end - lengthOf(ends, entry);
    const hash = hashes[i]!;
    const home = homeOf(hash, lineCount);
    free = Math.max(free, home);
    if (isBetween(table, home, free, keys, start, end, hash)) continue;
    const slot = free;
    if (slot > home + LINE * MAX_PROBE) return undefined;
    free += SLOT;
    const index = indices[entry]!;
    lines[slot] = tagOf(hash);
    for (let line = home; line + LINE <= slot; line += LINE) {
      lines[line + SLOT]! |= GOES_ON;
    }
    lines[slot + 1] = end - start;
    filter[filterWord(hash, filter.length)]! |= filterBits(hash);
    writeWord(lines, slot + 2, index);
    if (end - start <= MAX_OWN_KEY) {
      let at = slot + SLOT_HEADER;
      for (let from = start; from < end; from++) lines[at++] = keys[from]!;
    } else {
      writeWord(lines, slot + SLOT_HEADER, heapAt);
      for (let from = start; from < end; from++) heap[heapAt++] = keys[from]!;
    }
    if (index !== REMOVED || options.keepRemoved === true) entries[kept++] = entry;
  }
  return { table, entries: entries.subarray(0, kept) };
}

/** Which come to lie first: by their lines, and of those in one line the last of the list. */
function byLine(hashes: Int32Array, lineCount: number): Uint32Array {
  const ends = new Uint32Array(lineCount);
  for (const hash of hashes) ends[homeOf(hash, lineCount) / LINE]!++;
  for (let line = 1; line < lineCount; line++) ends[line]! += ends[line - 1]!;
  const order = new Uint32Array(hashes.length);
  for (let i = 0; i < hashes.length; i++) order[--ends[homeOf(hashes[i]!, lineCount) / LINE]!] = i;
  return order;
}

/** Is this key in one of the slots from `from` up to `to`? */
function isBetween(
  { lines, heap }: SniTable,
  from: number,
  to: number,
  keys: Uint8Array,
  start: number,
  end: number,
  hash: number,
): boolean {
  const tag = tagOf(hash);
  const length = end - start;
  for (let slot = from; slot < to; slot += SLOT) {
    if ((lines[slot]! & TAG) !== tag || lines[slot + 1] !== length) continue;
    const isLong = length > MAX_OWN_KEY;
    const where = isLong ? heap : lines;
    const shift = (isLong ? wordAt(lines, slot + SLOT_HEADER) : slot + SLOT_HEADER) - start;
    let i = start;
    while (i < end && keys[i] === where[i + shift]) i++;
    if (i === end) return true;
  }
  return false;
}

function emptyTable(count: number, heapLength: number, key: HashKey, shared: boolean): SniTable {
  const lineCount = Math.max(1, Math.ceil(count / NAMES_A_LINE));
  const size = HEADER_LENGTH + 4 * filterWords(lineCount) + LINE * (lineCount + MAX_PROBE) +
    heapLength;
  if (size > MAX_SIZE) throw new RangeError("Cannot index names that take more than 2 GiB");
  const bytes = new Uint8Array(shared ? new SharedArrayBuffer(size) : new ArrayBuffer(size));
  const header = [MAGIC, count, lineCount, key[0], key[1], heapLength];
  new Uint32Array(bytes.buffer, 0, header.length).set(header);
  return viewsOf(bytes, count, key, lineCount);
}

function viewsOf(bytes: Uint8Array, count: number, key: HashKey, lineCount: number): SniTable {
  const words = filterWords(lineCount);
  const filter = new Uint32Array(bytes.buffer, bytes.byteOffset + HEADER_LENGTH, words);
  const start = HEADER_LENGTH + 4 * words;
  const end = start + LINE * (lineCount + MAX_PROBE);
  const lines = bytes.subarray(start, end);
  const heap = bytes.subarray(end);
  return { bytes, count, key, multipliers: multipliersOf(key), lineCount, lines, filter, heap };
}

function filterWords(lineCount: number): number {
  return 16 * Math.ceil(lineCount * NAMES_A_LINE / NAMES_A_WORD / 16);
}

/** As many names as it says, each within the buffer. How far one lies from its line is not looked at: a lookup ends. */
function* checkLines({ lines, heap, count }: SniTable): Generator<void, void> {
  let seen = 0;
  for (let slot = 0; slot < lines.length; slot += SLOT) {
    if (slot % (SLOTS_A_STEP * SLOT) === 0) yield;
    if ((lines[slot]! & TAG) === 0) continue;
    const length = lines[slot + 1]!;
    if (length === 0) throw wrong("an empty name");
    if (length > MAX_OWN_KEY && wordAt(lines, slot + SLOT_HEADER) + length > heap.length) {
      throw wrong("a name lies elsewhere");
    }
    seen++;
  }
  if (seen !== count) throw wrong(`it holds ${seen} names and says ${count}`);
}

export function wordAt(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>>
    0;
}

function writeWord(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value >>> 16;
  bytes[at + 3] = value >>> 24;
}

function lengthOf(ends: Uint32Array, entry: number): number {
  return ends[entry]! - (entry === 0 ? 0 : ends[entry - 1]!);
}

function wrong(what: string): RangeError {
  return new RangeError(`Cannot read an SNI trie: ${what}`);
}

/** "sni3" on a little-endian machine. */
const MAGIC = 0x3369_6e73;
/** As long as a line, so that lines begin where the processor's do, if the buffer does. */
const HEADER_LENGTH = 64;
const NAMES_A_LINE = 1.6;
const NAMES_A_WORD = 4;
const MAX_NAMES = 2 ** 24;
const MAX_LINES = 2 ** 24;
const MAX_SIZE = 0x7fff_ffff;
const MAX_ATTEMPTS = 8;
const SLOTS_A_STEP = 8192;
