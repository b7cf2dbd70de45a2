/**
 * The memory of an SniTrie: how it is laid out, written and checked.
 *
 *     header   8 words: magic, names, buckets, key (2), length of the records, 0, 0
 *     buckets  2 words each, and one more: where its records begin among the records; signature
 *     records  length of the key (1 byte), tag (1), index (4, little-endian), the key
 *
 * A key lies in the bucket that the low bits of its hash name. The top 5 bits name a bit of the bucket's signature: most
 * keys that are not there end at that. Buckets take 2 to 4 bytes a name and mostly stay in the processor's caches, records do
 * not (160 ns and more for a read of cold memory is what a lookup costs, its instructions 70): so a name that is there
 * takes one such read and one that is not takes none.
 *
 * Two to four names fall to a bucket, and never more than MAX_BUCKET, whatever the names: that holds by the hash's key,
 * which is drawn anew should it not, so it bounds every lookup. Words are in the machine's order; the magic tells.
 *
 * @module
 */
import { drawHashKey, type HashKey, hashName } from "./name-hash.ts";
import { type NameList, REMOVED } from "./name-list.ts";

export interface SniTable {
  /** Header, buckets and records. */
  readonly bytes: Uint8Array;
  readonly count: number;
  readonly key: HashKey;
  /** Two words per bucket and two more. There are a power of two of them. */
  readonly buckets: Uint32Array;
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

/** Fewer than one hash key in 10^12 puts more into a bucket, even of 2^24 names. */
export const MAX_BUCKET = 32;

/** Before each key: its length, its tag, its index. */
export const RECORD_HEADER = 6;

/** The bit of a bucket's signature that a key with this hash sets. */
export function signatureBit(hash: number): number {
  return 1 << (hash >>> 27);
}

/** What tells the keys of a bucket apart before they are compared. */
export function tagOf(hash: number): number {
  return (hash >>> 19) & 0xff;
}

/** A million names take about 0.7 s of the processor: not for the serving thread. */
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
export function* readingTable(bytes: Uint8Array): Generator<void, SniTable> {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  if (aligned.length < HEADER_LENGTH) throw wrong("it ends in the header");
  const header = new Uint32Array(aligned.buffer, aligned.byteOffset, HEADER_LENGTH / 4);
  const buckets = header[2]!;
  if (header[0] !== MAGIC) throw wrong("it does not begin like one of this kind of machine");
  if (buckets < 1 || buckets > MAX_BUCKETS || (buckets & (buckets - 1)) !== 0) {
    throw wrong(`it cannot have ${buckets} buckets`);
  }
  if (aligned.length !== HEADER_LENGTH + 8 * (buckets + 1) + header[5]!) {
    throw wrong("its parts are not as long as it says");
  }
  const table = viewsOf(aligned, header[1]!, [header[3]!, header[4]!], buckets);
  yield* checkRecords(table);
  return table;
}

function tryKey(names: NameList, options: BuildOptions, key: HashKey): SniTable | undefined {
  const hashes = hashAll(names, key);
  const firsts = new Uint32Array(bucketsFor(names.count) + 1);
  const order = orderByBucket(hashes, firsts);
  if (!dropOlder(names, hashes, order, firsts)) return undefined;
  return write(names, hashes, order, firsts, key, options);
}

/** A power of two, for two to four names each. */
function bucketsFor(count: number): number {
  return 2 ** Math.max(0, Math.ceil(Math.log2(Math.max(1, count))) - 2);
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
  const isWanted = (entry: number): boolean =>
    options.keepRemoved === true || indices[entry] !== REMOVED;
  let count = 0;
  let length = 0;
  for (let i = 0; i < firsts.at(-1)!; i++) {
    const entry = order[i]!;
    if (!isWanted(entry)) continue;
    count++;
    length += RECORD_HEADER + ends[entry]! - startOf(ends, entry);
  }
  const size = HEADER_LENGTH + 8 * firsts.length + length;
  if (size > MAX_SIZE) throw new RangeError("Cannot index names that take more than 2 GiB");
  const bytes = new Uint8Array(
    options.shared === true ? new SharedArrayBuffer(size) : new ArrayBuffer(size),
  );
  const header = [MAGIC, count, firsts.length - 1, key[0], key[1], length];
  new Uint32Array(bytes.buffer, 0, header.length).set(header);
  const table = viewsOf(bytes, count, key, firsts.length - 1);
  const { buckets, records } = table;
  let at = 0;
  for (let bucket = 0; bucket < firsts.length - 1; bucket++) {
    buckets[2 * bucket] = at;
    for (let i = firsts[bucket]!; i < firsts[bucket + 1]!; i++) {
      const entry = order[i]!;
      if (!isWanted(entry)) continue;
      const hash = hashes[entry]!;
      const end = ends[entry]!;
      const start = startOf(ends, entry);
      const index = indices[entry]!;
      buckets[2 * bucket + 1]! |= signatureBit(hash);
      records[at] = end - start;
      records[at + 1] = tagOf(hash);
      records[at + 2] = index;
      records[at + 3] = index >>> 8;
      records[at + 4] = index >>> 16;
      records[at + 5] = index >>> 24;
      at += RECORD_HEADER;
      for (let from = start; from < end; from++) records[at++] = keys[from]!;
    }
  }
  buckets[buckets.length - 2] = at;
  return table;
}

function viewsOf(bytes: Uint8Array, count: number, key: HashKey, buckets: number): SniTable {
  const from = bytes.byteOffset + HEADER_LENGTH;
  const words = new Uint32Array(bytes.buffer, from, 2 * (buckets + 1));
  const records = bytes.subarray(HEADER_LENGTH + words.byteLength);
  return { bytes, count, key, buckets: words, records };
}

/** Buckets follow one another and are filled by whole records, as many as a bucket may have. */
function* checkRecords({ buckets, records, count }: SniTable): Generator<void, void> {
  let at = 0;
  let seen = 0;
  for (let bucket = 0; bucket < buckets.length / 2 - 1; bucket++) {
    const end = buckets[2 * bucket + 2]!;
    const first = seen;
    if (bucket % 4096 === 0) yield;
    if (buckets[2 * bucket] !== at || end > records.length) {
      throw wrong(`bucket ${bucket} is misplaced`);
    }
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
