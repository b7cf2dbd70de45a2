/**
 * Sites in the bytes of a snapshot. Each is made when it is first asked for, and let go again when others were asked for
 * since: what a hundred thousand of them take is their bytes.
 * @module
 */
import type { Crypto } from "../crypto/crypto.ts";
import type { ClientAuth, SiteConfig } from "../tls/config.ts";
import { parseCertificate } from "../x509/certificate.ts";
import { SiteClientAuth } from "./client-auth.ts";
import type { CommonBlobs } from "./common-blobs.ts";
import { SiteCredential } from "./credential.ts";
import { Recent } from "./recent.ts";
import { SigningKeys } from "./signing-keys.ts";
import { type CredentialRecord, decodeSite } from "./site-bytes.ts";
import { type OriginFields, originFields, type SiteSource } from "./site-slots.ts";
import type { HandlerSpec, HostRules, Site } from "./snapshot.ts";

/**
 * Bytes of one place among the records, little-endian:
 *
 *     0 where its site lies (4)  4 length of that (4), 0: free  8 key (8)  16 sinceMs, in s (4)  20 dueMs, in s (4)
 *     24 flightLength (4)  28 flags (4)
 */
export const RECORD_LENGTH = 32;

export const SiteFlag = {
  served: 1,
  managed: 2,
  files: 4,
  warnings: 8,
  /** Nobody said where it came from. */
  foundling: 16,
} as const;

/** No time, in records. */
export const NEVER = 0xffff_ffff;

/** What many sites have in common, as JSON says it. */
export interface ProfileRecord extends Omit<SiteConfig, "credentials" | "clientAuth" | "alpn"> {
  readonly alpn: readonly string[] | null;
  readonly clientAuth: {
    readonly mode: ClientAuth["mode"];
    /** Common blobs. */
    readonly anchors: readonly number[];
    readonly authorities: readonly number[];
  } | null;
  readonly publicNameOnly: boolean;
  readonly requireEch: boolean;
  readonly hosts: HostRules | null;
}

export interface PackedParts {
  readonly crypto: Crypto;
  /** All that records point into. */
  readonly bytes: Uint8Array;
  readonly records: Uint8Array;
  readonly common: CommonBlobs;
}

export class PackedSites implements SiteSource {
  readonly common: CommonBlobs;
  readonly #bytes: Uint8Array;
  readonly #records: DataView;
  readonly #keys: SigningKeys;
  readonly #made = new Recent<number, Site>(MAX_MADE_SITES);
  readonly #damaged = new Set<number>();
  readonly #number = packedCount++;

  constructor({ crypto, bytes, records, common }: PackedParts) {
    this.common = common;
    this.#keys = SigningKeys.of(crypto);
    this.#bytes = bytes;
    this.#records = new DataView(records.buffer, records.byteOffset, records.length);
  }

  get length(): number {
    return this.#records.byteLength / RECORD_LENGTH;
  }

  /** Undefined also for bytes that are no site's, though a checksum was right when they were read: see `isDamaged`. */
  get(slot: number): Site | undefined {
    let site = this.#made.get(slot);
    if (site !== undefined) return site;
    const bytes = this.siteBytes(slot);
    if (bytes === undefined) return undefined;
    try {
      site = this.#make(slot, bytes);
    } catch {
      this.#damaged.add(slot);
      return undefined;
    }
    this.#made.set(slot, site);
    return site;
  }

  /** Of one place, its record; with `siteBytes` all that there is of it. */
  record(slot: number): Uint8Array {
    const { buffer, byteOffset } = this.#records;
    return new Uint8Array(buffer, byteOffset + slot * RECORD_LENGTH, RECORD_LENGTH);
  }

  /** As `encodeSite` made them. Undefined: the place is free. */
  siteBytes(slot: number): Uint8Array | undefined {
    if (slot >= this.length) return undefined;
    const at = slot * RECORD_LENGTH;
    const length = this.#records.getUint32(at + 4, true);
    if (length === 0) return undefined;
    const start = this.#records.getUint32(at, true);
    return this.#bytes.subarray(start, start + length);
  }

  readOrigin(slot: number, into: OriginFields): boolean {
    if (this.isFree(slot)) return false;
    const at = slot * RECORD_LENGTH;
    const records = this.#records;
    const flags = records.getUint32(at + 28, true);
    if ((flags & SiteFlag.foundling) !== 0) return false;
    const due = records.getUint32(at + 20, true);
    into.key = records.getFloat64(at + 8, true);
    into.sinceMs = records.getUint32(at + 16, true) * 1000;
    into.dueMs = due === NEVER ? Infinity : due * 1000;
    into.flightLength = records.getUint32(at + 24, true);
    into.isManaged = (flags & SiteFlag.managed) !== 0;
    into.hasFiles = (flags & SiteFlag.files) !== 0;
    into.hasWarnings = (flags & SiteFlag.warnings) !== 0;
    return true;
  }

  isServed(slot: number): boolean {
    return slot < this.length &&
      (this.#records.getUint32(slot * RECORD_LENGTH + 28, true) & SiteFlag.served) !== 0;
  }

  isFree(slot: number): boolean {
    return slot >= this.length || this.#records.getUint32(slot * RECORD_LENGTH + 4, true) === 0;
  }

  isDamaged(slot: number): boolean {
    return this.#damaged.has(slot);
  }

  #make(slot: number, bytes: Uint8Array): Site {
    const { names, profile, handler, files, credentials } = decodeSite(bytes);
    const common = this.common.value(profile, this.#readProfile);
    const { policyId, alpn, groups, clientAuth, tickets } = common.tls;
    const made = credentials.map((one, i) => this.#makeCredential(one, this.#keyOwner(slot, i)));
    const site: { -readonly [K in keyof Site]: Site[K] } = {
      names,
      tls: { policyId, credentials: made, alpn, groups, clientAuth, tickets },
      handler: typeof handler === "number"
        ? this.common.value(handler, readHandler)
        : JSON.parse(handler) as HandlerSpec,
      publicNameOnly: common.publicNameOnly,
    };
    if (common.requireEch !== undefined) site.requireEch = common.requireEch;
    if (common.hosts !== undefined) site.hosts = common.hosts;
    const origin = originFields();
    if (this.readOrigin(slot, origin)) site.origin = origin;
    if (files !== undefined) site.files = files;
    return site;
  }

  #makeCredential(record: CredentialRecord, keyOwner: number | undefined): SiteCredential {
    const { id, names, origin, notBeforeMs, notAfterMs, schemes, leaf, above, key } = record;
    const chain = [leaf];
    for (const number of above) chain.push(this.common.get(number));
    const parts = { id, names, origin, notBeforeMs, notAfterMs, schemes, chain, key, keyOwner };
    return new SiteCredential(this.#keys, parts);
  }

  /** A key that is ready stays so when its site is let go and made again. */
  #keyOwner(slot: number, credential: number): number | undefined {
    if (slot >= MAX_SLOTS || credential >= MAX_CREDENTIALS) return undefined;
    return (this.#number * MAX_SLOTS + slot) * MAX_CREDENTIALS + credential;
  }

  readonly #readProfile = (blob: Uint8Array): Omit<Site, "names" | "handler"> => {
    const profile = parse(blob) as ProfileRecord;
    const { policyId, groups, tickets, publicNameOnly, requireEch, hosts } = profile;
    const alpn = profile.alpn ?? undefined;
    const clientAuth = profile.clientAuth === null
      ? undefined
      : new SiteClientAuth(profile.clientAuth.mode, {
        anchors: profile.clientAuth.anchors.map((blob) => parseCertificate(this.common.get(blob))),
        authorities: profile.clientAuth.authorities.map((blob) => this.common.get(blob)),
      });
    const tls = { policyId, credentials: [], alpn, groups, clientAuth, tickets };
    return { tls, publicNameOnly, ...(requireEch && { requireEch }), ...(hosts && { hosts }) };
  };
}

/** @throws {RangeError} records that point elsewhere than between `start` and `end`; takes its time in turns */
export function* checkRecords(
  records: Uint8Array,
  start: number,
  end: number,
): Generator<void, void> {
  if (records.length % RECORD_LENGTH !== 0) throw new RangeError("half a record of a site");
  const view = new DataView(records.buffer, records.byteOffset, records.length);
  for (let at = 0; at < records.length; at += RECORD_LENGTH) {
    const from = view.getUint32(at, true);
    const length = view.getUint32(at + 4, true);
    if (length !== 0 && (from < start || from + length > end)) {
      throw new RangeError("a site that lies elsewhere");
    }
    if (at % (4096 * RECORD_LENGTH) === 0) yield;
  }
}

/**
 * Each takes 2.5 kB with its Certificate message, and 5 µs to be made again; its key takes more of the latter, and 50 µs
 * a chain that a client has compressed. Few enough that one which goes has not outlived the collector's looks at young
 * garbage: the old is found late.
 */
const MAX_MADE_SITES = 256;
/** Beyond these a key is its credential's own. */
const MAX_SLOTS = 2 ** 27;
const MAX_CREDENTIALS = 16;
let packedCount = 1;

function readHandler(blob: Uint8Array): HandlerSpec {
  return parse(blob) as HandlerSpec;
}

function parse(blob: Uint8Array): unknown {
  return JSON.parse(new TextDecoder().decode(blob));
}
