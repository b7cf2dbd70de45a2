/**
 * The memory of an SniTrie: how it is laid out, written and checked.
 *
 *     header  16 words: magic, names, lines, key (2), length of the names, zeros
 *     filter  words, one for four names, in which each name sets two bits; up to a multiple of 64 bytes
 *     lines   64 bytes each, as the processor's caches have them: five slots. Of each the first half of its name's hash
 *             (5 words; 0: free), then the second half (5), then the index (5), then how many keys have gone on to the
 *             next line (1)
 *     names   each key with its index (4) and length (1) before it: to list them, no lookup comes here. Up to a multiple of 4
 *
 * Numbers are little-endian. A name is known by the 64 bits of its hash alone: whoever asks for one that is not here is
 * answered by that of another once in about 2^60 times. What that saves is memory to read from, which takes longer than all
 * the rest of a lookup: 15 bytes a name instead of 40 with the names themselves, so the caches have it more often.
 *
 * The first half names a line. A key lies in its line, or where that is full in the next that is not: whoever looks for
 * one goes on as long as keys have. Nine slots in ten are taken: of a million keys more than half lie in their own line, and
 * none more than about 12 behind it. To read the next line as well costs little, for it comes along from memory. The
 * filter takes a byte a name and mostly stays in the caches: a name that is not there seldom costs a read of a line.
 *
 * No key is more than MAX_PROBE lines away from its own, whatever the names: that holds by the hash's key, which is drawn
 * anew should it not, so it bounds every lookup.
 *
 * @module
 */
import { drawHashKey, type HashKey, hashName, multipliersOf, otherHalf } from "./name-hash.ts";
import { type NameList, REMOVED } from "./name-list.ts";

export interface SniTable {
  /** All of it. */
  readonly bytes: Uint8Array;
  readonly count: number;
  readonly key: HashKey;
  readonly multipliers: Int32Array;
  /** Those in which a key may be at home; MAX_PROBE more follow. */
  readonly lineCount: number;
  readonly lines: Int32Array;
  readonly filter: Uint32Array;
  readonly names: Uint8Array;
}

export interface BuildOptions {
  /** Where the hash's key comes from; asked again if the names lie badly with it. Default: random. */
  readonly drawKey?: () => HashKey;
  /** In a SharedArrayBuffer, for other threads to read. */
  readonly shared?: boolean;
  /** Removed names as well: for what is looked up before something else. */
  readonly keepRemoved?: boolean;
}

/** In words, as everything that lies in lines. */
export const LINE = 16;
/** A line in bytes. */
export const LINE_LENGTH = 4 * LINE;
/** Keys in a line; also how far apart the parts of a slot are. */
export const SLOTS = 5;
/** Where a line says how many keys have gone on. */
export const GONE_ON = 15;
/** Lines beyond its own in which a key may be. Fewer than one hash key in 10^12 needs more. */
export const MAX_PROBE = 64;
/** Before a key among the names. */
export const NAME_HEADER = 5;

/** Where the line begins that a key with this hash is at home in. */
export function homeOf(hash: number, lineCount: number): number {
  return LINE * (((hash >>> 0) * (lineCount / 2 ** 32)) | 0);
}

/** The bits of a filter's word that a key with this hash sets. */
export function filterBits(hash: number): number {
  return (1 << ((hash >>> 7) & 31)) | (1 << (hash & 31));
}

/** Its word. */
export function filterWord(hash: number, words: number): number {
  return ((hash >>> 0) * (words / 2 ** 32)) | 0;
}

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
  const namesLength = header[5]!;
  if (aligned.length !== start + LINE_LENGTH * (lineCount + MAX_PROBE) + aligned4(namesLength)) {
    throw wrong("its parts are not as long as it says");
  }
  const key: HashKey = [header[3]!, header[4]!];
  const table = viewsOf(aligned, header[1]!, key, lineCount, namesLength);
  yield* checkParts(table);
  return table;
}

/**
 * A table of these entries of the list, of a name that comes twice the last; and which entries are in it. Undefined: one
 * would lie too far from its line, or two names have one hash.
 */
function tryKey(
  names: NameList,
  wanted: Uint32Array | undefined,
  key: HashKey,
  options: BuildOptions,
): { readonly table: SniTable; readonly entries: Uint32Array } | undefined {
  const { ends, indices } = names;
  const entries = wanted ?? Uint32Array.from({ length: names.count }, (_, entry) => entry);
  const count = entries.length;
  let namesLength = 0;
  for (const entry of entries) namesLength += NAME_HEADER + lengthOf(ends, entry);
  const table = emptyTable(count, namesLength, key, options.shared === true);
  const isKept = fill(table, names, entries);
  if (isKept === undefined) return undefined;
  const keepRemoved = options.keepRemoved === true;
  const kept = entries.filter((entry, i) =>
    isKept[i] === 1 && (keepRemoved || indices[entry] !== REMOVED)
  );
  if (kept.length === count) writeNames(names, entries, table.names);
  return { table, entries: kept };
}

/** Which of the entries have a place in it now; undefined: one has none, or is taken for another name. */
function fill(table: SniTable, names: NameList, entries: Uint32Array): Uint8Array | undefined {
  const { lines, filter, lineCount } = table;
  const { indices } = names;
  const { hashes, others } = hashesOf(names, entries, table.multipliers);
  const isKept = new Uint8Array(entries.length);
  /** Which of them the places have, five a line. */
  const held = new Uint32Array(SLOTS * (lineCount + MAX_PROBE));
  let free = 0;
  for (const i of byLine(hashes, lineCount)) {
    const hash = hashes[i]!;
    const other = others[i]!;
    const homeLine = homeOf(hash, lineCount);
    const home = SLOTS * homeLine / LINE;
    free = Math.max(free, home);
    let place = home;
    while (place < free && (hashes[held[place]!] !== hash || others[held[place]!] !== other)) {
      place++;
    }
    if (place < free) {
      if (!isSameKey(names, entries[held[place]!]!, entries[i]!)) return undefined;
      continue;
    }
    if (free >= home + SLOTS * MAX_PROBE) return undefined;
    held[free++] = i;
    isKept[i] = 1;
    const line = LINE * Math.floor(place / SLOTS);
    const slot = line + place % SLOTS;
    lines[slot] = hash;
    lines[slot + SLOTS] = other;
    lines[slot + 2 * SLOTS] = indices[entries[i]!]!;
    for (let before = homeLine; before < line; before += LINE) lines[before + GONE_ON]!++;
    filter[filterWord(hash, filter.length)]! |= filterBits(hash);
  }
  return isKept;
}

/** Both halves of each. */
function hashesOf({ keys, ends }: NameList, entries: Uint32Array, multipliers: Int32Array) {
  const hashes = new Int32Array(entries.length);
  const others = new Int32Array(entries.length);
  for (let i = 0; i < entries.length; i++) {
    const end = ends[entries[i]!]!;
    hashes[i] = hashName(keys, end - lengthOf(ends, entries[i]!), end, multipliers);
    others[i] = otherHalf[0]!;
  }
  return { hashes, others };
}

function writeNames(
  { keys, ends, indices }: NameList,
  entries: Uint32Array,
  into: Uint8Array,
): void {
  let at = 0;
  for (const entry of entries) {
    const index = indices[entry]!;
    const end = ends[entry]!;
    const length = lengthOf(ends, entry);
    into[at] = index;
    into[at + 1] = index >>> 8;
    into[at + 2] = index >>> 16;
    into[at + 3] = index >>> 24;
    into[at + 4] = length;
    at += NAME_HEADER;
    for (let from = end - length; from < end; from++) into[at++] = keys[from]!;
  }
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

function isSameKey({ keys, ends }: NameList, one: number, other: number): boolean {
  const length = lengthOf(ends, one);
  if (length !== lengthOf(ends, other)) return false;
  for (let back = 1; back <= length; back++) {
    if (keys[ends[one]! - back] !== keys[ends[other]! - back]) return false;
  }
  return true;
}

function emptyTable(count: number, namesLength: number, key: HashKey, shared: boolean): SniTable {
  const lineCount = Math.max(1, Math.ceil(count / NAMES_A_LINE));
  const size = HEADER_LENGTH + 4 * filterWords(lineCount) + LINE_LENGTH * (lineCount + MAX_PROBE) +
    aligned4(namesLength);
  if (size > MAX_SIZE) throw new RangeError("Cannot index names that take more than 2 GiB");
  const bytes = new Uint8Array(shared ? new SharedArrayBuffer(size) : new ArrayBuffer(size));
  const header = [MAGIC, count, lineCount, key[0], key[1], namesLength];
  new Uint32Array(bytes.buffer, 0, header.length).set(header);
  return viewsOf(bytes, count, key, lineCount, namesLength);
}

function viewsOf(
  bytes: Uint8Array,
  count: number,
  key: HashKey,
  lineCount: number,
  namesLength: number,
): SniTable {
  const words = filterWords(lineCount);
  const start = bytes.byteOffset + HEADER_LENGTH;
  const filter = new Uint32Array(bytes.buffer, start, words);
  const lines = new Int32Array(bytes.buffer, start + 4 * words, LINE * (lineCount + MAX_PROBE));
  const namesAt = start + 4 * (words + lines.length);
  const names = new Uint8Array(bytes.buffer, namesAt, namesLength);
  return { bytes, count, key, multipliers: multipliersOf(key), lineCount, lines, filter, names };
}

function filterWords(lineCount: number): number {
  return 16 * Math.ceil(lineCount * NAMES_A_LINE / NAMES_A_WORD / 16);
}

function aligned4(length: number): number {
  return (length + 3) & ~3;
}

/** As many keys and names as it says. How far one lies from its line is not looked at: a lookup ends. */
function* checkParts({ lines, names, count }: SniTable): Generator<void, void> {
  let held = 0;
  for (let line = 0; line < lines.length; line += LINE) {
    if (line % (LINES_A_STEP * LINE) === 0) yield;
    for (let slot = line; slot < line + SLOTS; slot++) if (lines[slot] !== 0) held++;
  }
  if (held !== count) throw wrong(`it holds ${held} names and says ${count}`);
  let listed = 0;
  for (let at = 0; at < names.length;) {
    if (++listed % NAMES_A_STEP === 0) yield;
    const length = names[at + 4];
    if (length === 0) throw wrong("an empty name");
    at += NAME_HEADER + (length ?? 0);
    if (at > names.length) throw wrong("a name ends elsewhere");
  }
  if (listed !== count) throw wrong(`it lists ${listed} names and says ${count}`);
}

function lengthOf(ends: Uint32Array, entry: number): number {
  return ends[entry]! - (entry === 0 ? 0 : ends[entry - 1]!);
}

function wrong(what: string): RangeError {
  return new RangeError(`Cannot read an SNI trie: ${what}`);
}

/** "sni4" on a little-endian machine. */
const MAGIC = 0x3469_6e73;
/** As long as a line, so that lines begin where the processor's do, if the buffer does. */
const HEADER_LENGTH = 64;
const NAMES_A_LINE = 4.4;
const NAMES_A_WORD = 4;
const MAX_NAMES = 2 ** 24;
const MAX_LINES = 2 ** 24;
const MAX_SIZE = 0x7fff_ffff;
const MAX_ATTEMPTS = 8;
const LINES_A_STEP = 4096;
const NAMES_A_STEP = 16_384;
