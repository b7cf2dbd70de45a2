/**
 * A snapshot as bytes, for a file: what a start serves with at once, and what a process gets from another one.
 *
 *     "sottosn8"  sections, each: kind (4 bytes), 0 (4), length (8, a double), content, zeros up to a multiple of 8
 *     checksum of all before it
 *
 * Read back, sites, certificates and keys are views of the file's bytes, and made when they are first asked for. It holds
 * private keys: for its owner's eyes alone. Ticket keys are not in it, so what was recorded of connections does not come
 * to light with the file. Numbers are little-endian, but for the names (`SniTrie`).
 *
 * @module
 */
import type { Crypto } from "../crypto/crypto.ts";
import type { EchKeySet } from "../tls/ech.ts";
import { Checksum, verifying } from "./checksum.ts";
import { CommonBlobs } from "./common-blobs.ts";
import { fromHex, toHex } from "./hex.ts";
import type { HashKey } from "./name-hash.ts";
import { NameIndex } from "./name-index.ts";
import { Overlay } from "./overlay.ts";
import { checkRecords, PackedSites } from "./packed-sites.ts";
import { SitePacker } from "./site-packer.ts";
import { SiteSlots } from "./site-slots.ts";
import { LINE_LENGTH } from "./sni-table.ts";
import { SniTrie } from "./sni-trie.ts";
import { placeNamed, type SiteTable, type Snapshot } from "./snapshot.ts";

/** All that is kept of a snapshot but its sites: the rest of a ServerConfig belongs to the process. */
export interface SnapshotFacts {
  readonly createdMs: number;
  /** Of the configuration that it was built from. */
  readonly configHash: string;
  /** Where the root that issues lies in storage. */
  readonly rootKey: string;
  /** What chains of the local CA lead to, as `LocalCa.authorities` says it. */
  readonly authorities: string;
  readonly flightPadding: number;
  /** Undefined: ECH is off. */
  readonly ech: StoredEchKeys | undefined;
}

export interface StoredEchKeys {
  readonly state: EchKeySet["state"];
  readonly keys: readonly {
    readonly privateKey: Uint8Array;
    readonly config: Uint8Array;
    readonly retry: boolean;
    readonly createdMs: number;
  }[];
}

export interface StoredSnapshot extends SnapshotFacts {
  readonly table: SiteTable;
  readonly defaultSni: string | undefined;
  readonly fallbackSni: string | undefined;
}

/** Bytes that are no snapshot of this version, or not whole. */
export class SnapshotFormatError extends Error {
  override readonly name = "SnapshotFormatError";
}

/**
 * The parts of the file in order, each made when it is asked for: 100,000 certificates take a tenth of a second in all,
 * and no part more than a millisecond.
 *
 * @throws {TypeError} a credential whose key is elsewhere
 */
export function* encodeSnapshot(
  crypto: Pick<Crypto, "hash" | "digest">,
  snapshot: Snapshot,
  facts: SnapshotFacts,
): Generator<Uint8Array, void> {
  const checksum = new Checksum(crypto);
  for (const part of sections(crypto, snapshot, facts)) {
    for (let at = 0; at < part.length; at += MAX_PART) {
      const piece = part.subarray(at, at + MAX_PART);
      checksum.update(piece);
      yield piece;
    }
  }
  yield checksum.finish();
}

/**
 * @param bytes the whole file, aliased from then on: they must not change any more
 * @throws {SnapshotFormatError}
 */
export function decodeSnapshot(crypto: Crypto, bytes: Uint8Array): StoredSnapshot {
  const decoding = decodingSnapshot(crypto, bytes);
  for (;;) {
    const { done, value } = decoding.next();
    if (done) return value;
  }
}

/** The same in turns: whoever serves meanwhile goes on after each, some tenths of a millisecond. */
export function* decodingSnapshot(
  crypto: Crypto,
  bytes: Uint8Array,
): Generator<void, StoredSnapshot> {
  if (bytes.length < MAGIC.length || !MAGIC.every((byte, i) => bytes[i] === byte)) {
    throw new SnapshotFormatError("it is no snapshot of this version");
  }
  const content = yield* verifying(crypto, bytes);
  if (content === undefined) throw new SnapshotFormatError("its checksum is wrong");
  try {
    return yield* decoding(crypto, content);
  } catch (cause) {
    // Only a version that forgot to say that it is another one.
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new SnapshotFormatError(`it cannot be read: ${why}`, { cause });
  }
}

interface HeadRecord extends Omit<SnapshotFacts, "ech"> {
  readonly defaultSni: string | null;
  readonly fallbackSni: string | null;
  readonly keySeed: HashKey;
  readonly ech: {
    readonly state: EchKeySet["state"];
    readonly keys: readonly {
      readonly privateKey: string;
      readonly config: string;
      readonly retry: boolean;
      readonly createdMs: number;
    }[];
  } | null;
}

function* sections(
  crypto: Pick<Crypto, "digest">,
  snapshot: Snapshot,
  facts: SnapshotFacts,
): Generator<Uint8Array, void> {
  const { slots, index } = snapshot;
  const head = text(paddedHead(JSON.stringify(headRecord(snapshot, facts))));
  let at = MAGIC.length;
  yield MAGIC;
  const parts = function* (kind: number, content: Uint8Array): Generator<Uint8Array, void> {
    const padding = -content.length & 7;
    at += SECTION_HEADER + content.length + padding;
    yield sectionHeader(kind, content.length);
    yield content;
    if (padding > 0) yield new Uint8Array(padding);
  };
  yield* parts(Kind.head, head);
  yield* parts(Kind.base, index.base.toBytes());
  yield* parts(Kind.overlay, index.overlay.toBytes());
  const packer = new SitePacker(crypto, slots);
  for (let slot = 0; slot < slots.length; slot += SLOTS_PER_SECTION) {
    const end = Math.min(slots.length, slot + SLOTS_PER_SECTION);
    yield* parts(Kind.sites, packer.pack(slot, end, at + SECTION_HEADER));
  }
  yield* parts(Kind.records, packer.records);
  yield* parts(Kind.common, packer.common());
}

function* decoding(crypto: Crypto, bytes: Uint8Array): Generator<void, StoredSnapshot> {
  const found = new Map<number, Uint8Array>();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = MAGIC.length; at < bytes.length;) {
    const kind = view.getUint32(at, true);
    const start = at + SECTION_HEADER;
    const length = view.getFloat64(at + 8, true);
    if (!(length >= 0 && start + length <= bytes.length)) {
      throw new RangeError("a section is longer than the file");
    }
    at = start + length + (-length & 7);
    if (kind === Kind.sites) continue;
    if (!KINDS.includes(kind) || found.has(kind)) throw new RangeError(`a section ${kind}`);
    found.set(kind, bytes.subarray(start, start + length));
  }
  const [head, base, overlay, records, common] = KINDS.map((kind) => {
    const content = found.get(kind);
    if (content === undefined) throw new RangeError("a section is missing");
    return content;
  }) as [Uint8Array, Uint8Array, Uint8Array, Uint8Array, Uint8Array];
  yield* checkRecords(records, MAGIC.length, bytes.length);
  const parts = { crypto, bytes, records, common: new CommonBlobs(common) };
  const { ech, defaultSni, fallbackSni, keySeed, ...facts } = JSON.parse(
    new TextDecoder().decode(head),
  ) as HeadRecord;
  const slots = SiteSlots.over(new PackedSites(parts), [keySeed[0], keySeed[1]]);
  yield;
  const index = new NameIndex(yield* SniTrie.reading(base), Overlay.fromBytes(overlay));
  const table = { slots, index };
  placeNamed(table, defaultSni ?? undefined, "default_sni");
  placeNamed(table, fallbackSni ?? undefined, "fallback_sni");
  return {
    ...facts,
    table,
    defaultSni: defaultSni ?? undefined,
    fallbackSni: fallbackSni ?? undefined,
    ech: ech === null ? undefined : {
      state: ech.state,
      keys: ech.keys.map((key) => ({
        ...key,
        privateKey: fromHex(key.privateKey),
        config: fromHex(key.config),
      })),
    },
  };
}

function headRecord(
  { defaultSni, fallbackSni, slots: { keySeed } }: Snapshot,
  { ech, ...facts }: SnapshotFacts,
): HeadRecord {
  return {
    ...facts,
    defaultSni: defaultSni ?? null,
    fallbackSni: fallbackSni ?? null,
    keySeed,
    ech: ech === undefined ? null : {
      state: ech.state,
      keys: ech.keys.map(({ privateKey, config, retry, createdMs }) => ({
        privateKey: toHex(privateKey),
        config: toHex(config),
        retry,
        createdMs,
      })),
    },
  };
}

/** With blanks, which are nothing in JSON: so that the names behind it begin where lines of the processor's caches do. */
function paddedHead(json: string): string {
  const length = text(json).length;
  return json + " ".repeat(-(MAGIC.length + 2 * SECTION_HEADER + length) & (LINE_LENGTH - 1));
}

function sectionHeader(kind: number, length: number): Uint8Array {
  const bytes = new Uint8Array(SECTION_HEADER);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, kind, true);
  view.setFloat64(8, length, true);
  return bytes;
}

function text(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}

const Kind = { head: 1, base: 2, overlay: 3, sites: 4, records: 5, common: 6 } as const;
/** Of those there is one each. */
const KINDS: readonly number[] = [Kind.head, Kind.base, Kind.overlay, Kind.records, Kind.common];
const SECTION_HEADER = 16;
const SLOTS_PER_SECTION = 64;
const MAX_PART = 1 << 18;
/** Its last character is the version: another one is not read, what it holds is built anew. */
const MAGIC = text("sottosn8");
