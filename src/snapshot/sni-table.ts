/**
 * The memory of an SniTrie: how it is laid out, written and checked.
 *
 *     header   8 words: magic, names, buckets, key (2), length of the records, 0, 0
 *     starts   a word per bucket, and one more: where the bucket's records begin among the records
 *     records  length of the key (1 byte), tag (1), index (4, little-endian), the key
 *
 * A key lies in the bucket that the low bits of its hash name; the high byte is its tag. There are two to four buckets
 * for a name, and never more than MAX_BUCKET records in one, whatever the names: that holds by the key, which is drawn
 * anew should it not, so it bounds every lookup. Words are in the order of the machine; the magic tells.
 *
 * @module
 */
import { drawHashKey, type HashKey, hashName } from "./name-hash.ts";
import { type NameList, REMOVED } from "./name-list.ts";

export interface SniTable {
  /** Header, starts and records. */
  readonly bytes: Uint8Array;
  readonly count: number;
  readonly key: HashKey;
  /** One word more than there are buckets, a power of two. */
  readonly starts: Uint32Array;
  readonly records: Uint8Array;
}

export interface BuildOptions {
  /** Where the hash's key comes from; asked again if the names lie badly with it. Default: random. */
  readonly drawKey?: () => HashKey;
  /** In a SharedArrayBuffer, for other threads to read. */
  readonly shared?: boolean;
  /** Removed names as well: for what is looked up before something else. */
  readonly keepRemoved?: boolean;
}

/** With 2^18 names or more a bucket of 24 turns up once in 10^25 builds, with fewer more seldom. */
export const MAX_BUCKET = 24;

/** Before each key: its length, its tag, its index. */
export const RECORD_HEADER = 6;

/** Seconds of work for tens of millions of names; about a quarter of a second for a million. */
export function buildTable(names: NameList, options: BuildOptions = {}): SniTable {
  if (names.count > MAX_NAMES) throw new RangeError(`Cannot index more than ${MAX_NAMES} names`);
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const table = tryKey(names, options, (options.drawKey ?? drawHashKey)());
    if (table !== undefined) return table;
  }
  throw new RangeError("Cannot index these names: too many in one bucket with each of 8 keys");
}

/**
 * The table in bytes that were written earlier, in place if they are aligned. After this no lookup leaves the buffer or
 * takes longer than in the original, whatever the bytes; that they are the original is for a checksum to tell.
 *
 * @throws {RangeError} they are no table
 */
export function readTable(bytes: Uint8Array): SniTable {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  if (aligned.length < HEADER_LENGTH) throw wrong("it ends in the header");
  const header = new Uint32Array(aligned.buffer, aligned.byteOffset, HEADER_LENGTH / 4);
  const buckets = header[2]!;
  if (header[0] !== MAGIC) throw wrong("it does not begin like one of this kind of machine");
  if (buckets < 1 || buckets > MAX_BUCKETS || (buckets & (buckets - 1)) !== 0) {
    throw wrong(`it cannot have ${buckets} buckets`);
  }
  if (aligned.length !== HEADER_LENGTH + 4 * (buckets + 1) + header[5]!) {
    throw wrong("its parts are not as long as it says");
  }
  const table = viewsOf(aligned, header[1]!, [header[3]!, header[4]!], buckets);
  checkRecords(table);
  return table;
}

function tryKey(names: NameList, options: BuildOptions, key: HashKey): SniTable | undefined {
  const hashes = hashAll(names, key);
  const firsts = new Uint32Array(bucketsFor(names.count) + 1);
  const order = orderByBucket(hashes, firsts);
  if (!dropOlder(names, hashes, order, firsts)) return undefined;
  return write(names, hashes, order, firsts, key, options);
}

/** Two to four for a name: a miss then mostly ends at an empty one. */
function bucketsFor(count: number): number {
  return Math.min(MAX_BUCKETS, 2 ** (Math.ceil(Math.log2(Math.max(1, count))) + 1));
}

function hashAll({ keys, ends }: NameList, [k0, k1]: HashKey): Int32Array {
  const hashes = new Int32Array(ends.length);
  let start = 0;
  for (let entry = 0; entry < ends.length; entry++) {
    const end = ends[entry]!;
    hashes[entry] = hashName(keys, start, end, k0, k1);
    start = end;
  }
  return hashes;
}

/** The entries sorted by bucket, the latest of a bucket first; `firsts` becomes where each bucket's begin. */
function orderByBucket(hashes: Int32Array, firsts: Uint32Array): Uint32Array {
  const mask = firsts.length - 2;
  for (let i = 0; i < hashes.length; i++) firsts[(hashes[i]! & mask) + 1]!++;
  for (let bucket = 0; bucket <= mask; bucket++) firsts[bucket + 1]! += firsts[bucket]!;
  const order = new Uint32Array(hashes.length);
  const next = firsts.slice();
  for (let i = hashes.length - 1; i >= 0; i--) order[next[hashes[i]! & mask]!++] = i;
  return order;
}

/** Keeps the latest entry of each name, at the front of `order`. False: a bucket holds more than it may. */
function dropOlder(
  names: NameList,
  hashes: Int32Array,
  order: Uint32Array,
  firsts: Uint32Array,
): boolean {
  const { keys, ends } = names;
  let kept = 0;
  for (let bucket = 0, from = 0; bucket < firsts.length - 1; bucket++) {
    const to = firsts[bucket + 1]!;
    const first = kept;
    for (let i = from; i < to; i++) {
      const entry = order[i]!;
      let other = first;
      while (other < kept && !areEqual(keys, ends, hashes, order[other]!, entry)) other++;
      if (other === kept) order[kept++] = entry;
    }
    if (kept - first > MAX_BUCKET) return false;
    firsts[bucket] = first;
    from = to;
  }
  firsts[firsts.length - 1] = kept;
  return true;
}

function areEqual(
  keys: Uint8Array,
  ends: Uint32Array,
  hashes: Int32Array,
  a: number,
  b: number,
): boolean {
  if (hashes[a] !== hashes[b]) return false;
  const end = ends[a]!;
  const difference = ends[b]! - end;
  const start = startOf(ends, a);
  if (startOf(ends, b) - start !== difference) return false;
  for (let i = start; i < end; i++) if (keys[i] !== keys[i + difference]) return false;
  return true;
}

function startOf(ends: Uint32Array, entry: number): number {
  return entry === 0 ? 0 : ends[entry - 1]!;
}

function write(
  { keys, ends, indices }: NameList,
  hashes: Int32Array,
  order: Uint32Array,
  firsts: Uint32Array,
  key: HashKey,
  options: BuildOptions,
): SniTable {
  const buckets = firsts.length - 1;
  const isWanted = (entry: number): boolean =>
    options.keepRemoved === true || indices[entry] !== REMOVED;
  let count = 0;
  let length = 0;
  for (let i = 0; i < firsts[buckets]!; i++) {
    const entry = order[i]!;
    if (!isWanted(entry)) continue;
    count++;
    length += RECORD_HEADER + ends[entry]! - startOf(ends, entry);
  }
  const size = HEADER_LENGTH + 4 * (buckets + 1) + length;
  if (size > MAX_SIZE) throw new RangeError("Cannot index names that take more than 2 GiB");
  const bytes = new Uint8Array(
    options.shared === true ? new SharedArrayBuffer(size) : new ArrayBuffer(size),
  );
  new Uint32Array(bytes.buffer, 0, 6).set([MAGIC, count, buckets, key[0], key[1], length]);
  const table = viewsOf(bytes, count, key, buckets);
  const { starts, records } = table;
  let at = 0;
  for (let bucket = 0; bucket < buckets; bucket++) {
    starts[bucket] = at;
    for (let i = firsts[bucket]!; i < firsts[bucket + 1]!; i++) {
      const entry = order[i]!;
      if (!isWanted(entry)) continue;
      const start = startOf(ends, entry);
      const end = ends[entry]!;
      const index = indices[entry]!;
      records[at] = end - start;
      records[at + 1] = hashes[entry]! >>> 24;
      records[at + 2] = index;
      records[at + 3] = index >>> 8;
      records[at + 4] = index >>> 16;
      records[at + 5] = index >>> 24;
      at += RECORD_HEADER;
      for (let from = start; from < end; from++) records[at++] = keys[from]!;
    }
  }
  starts[buckets] = at;
  return table;
}

function viewsOf(bytes: Uint8Array, count: number, key: HashKey, buckets: number): SniTable {
  const starts = new Uint32Array(bytes.buffer, bytes.byteOffset + HEADER_LENGTH, buckets + 1);
  const records = bytes.subarray(HEADER_LENGTH + starts.byteLength);
  return { bytes, count, key, starts, records };
}

/** Buckets follow one another and are filled by whole records, as many as a bucket may have. */
function checkRecords({ starts, records, count }: SniTable): void {
  let at = 0;
  let seen = 0;
  for (let bucket = 0; bucket < starts.length - 1; bucket++) {
    const end = starts[bucket + 1]!;
    const first = seen;
    if (starts[bucket] !== at || end > records.length) throw wrong(`bucket ${bucket} is misplaced`);
    while (at < end) {
      const length = records[at]!;
      if (length === 0) throw wrong(`an empty name in bucket ${bucket}`);
      at += RECORD_HEADER + length;
      seen++;
    }
    if (at !== end) throw wrong(`bucket ${bucket} ends within a name`);
    if (seen - first > MAX_BUCKET) throw wrong(`${seen - first} names in bucket ${bucket}`);
  }
  if (at !== records.length || seen !== count) throw wrong("it holds more than its buckets");
}

function wrong(what: string): RangeError {
  return new RangeError(`Cannot read an SNI trie: ${what}`);
}

/** "sni1" on a little-endian machine. */
const MAGIC = 0x3169_6e73;
const HEADER_LENGTH = 32;
const MAX_NAMES = 2 ** 24;
const MAX_BUCKETS = 2 ** 24;
const MAX_SIZE = 0x7fff_ffff;
const MAX_ATTEMPTS = 8;
