/**
 * A snapshot as bytes, for a file: what a start without storage serves with, and what a process gets from another one.
 *
 *     "sottosn1"  sections, each: kind (1 byte), length (4, little-endian), content  SHA-256 of all before it
 *
 * Certificates and keys stand once each and are referred to by number; read back, they are views of the file's bytes,
 * and keys are parsed when they first sign. It holds private keys: for its owner's eyes alone. Ticket keys are not in
 * it, so what was recorded of connections does not come to light with the file.
 *
 * @module
 */
import type { Crypto } from "../crypto/crypto.ts";
import type { ClientAuth, SiteConfig } from "../tls/config.ts";
import type { EchKeySet } from "../tls/ech.ts";
import { parseCertificate } from "../x509/certificate.ts";
import { SiteClientAuth } from "./client-auth.ts";
import { SiteCredential } from "./credential.ts";
import { NameIndex } from "./name-index.ts";
import { Overlay } from "./overlay.ts";
import { SigningKeys } from "./signing-keys.ts";
import { SniTrie } from "./sni-trie.ts";
import type { HandlerSpec, HostRules, Site, SiteTable, Snapshot } from "./snapshot.ts";

/** All that is kept of a snapshot but its sites: the rest of a ServerConfig belongs to the process. */
export interface SnapshotFacts {
  readonly createdMs: number;
  /** Of the configuration that it was built from. */
  readonly configHash: string;
  /** Where the root that issues lies in storage. */
  readonly rootKey: string;
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
 * The parts of the file in order, each made when it is asked for: 100,000 certificates take a second in all, and no
 * part more than some milliseconds.
 *
 * @throws {TypeError} a credential whose key is elsewhere
 */
export function* encodeSnapshot(
  crypto: Pick<Crypto, "hash" | "digest">,
  snapshot: Snapshot,
  facts: SnapshotFacts,
): Generator<Uint8Array, void> {
  const hash = crypto.hash("sha256");
  for (const part of sections(crypto, snapshot, facts)) {
    hash.update(part);
    yield part;
  }
  yield hash.digest();
}

/**
 * @param bytes the whole file, aliased from then on
 * @throws {SnapshotFormatError}
 */
export function decodeSnapshot(crypto: Crypto, bytes: Uint8Array): StoredSnapshot {
  const end = bytes.length - HASH_LENGTH;
  if (end < MAGIC.length || !MAGIC.every((byte, i) => bytes[i] === byte)) {
    throw new SnapshotFormatError("it is no snapshot of this version");
  }
  const sum = crypto.digest("sha256", bytes.subarray(0, end));
  if (!crypto.equal(sum, bytes.subarray(end))) {
    throw new SnapshotFormatError("its checksum is wrong");
  }
  try {
    return new Decoder(crypto).decode(bytes.subarray(MAGIC.length, end));
  } catch (cause) {
    // Only a version that forgot to say that it is another one.
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new SnapshotFormatError(`it cannot be read: ${why}`, { cause });
  }
}

/** What JSON says of a site. */
interface SlotRecord {
  readonly names: readonly string[];
  readonly profile: number;
  readonly credentials: readonly number[];
}

/** What many sites have in common. */
interface ProfileRecord extends Omit<SiteConfig, "credentials" | "clientAuth" | "alpn"> {
  readonly alpn: readonly string[] | null;
  readonly clientAuth: {
    readonly mode: ClientAuth["mode"];
    readonly anchors: readonly number[];
    readonly authorities: readonly number[];
  } | null;
  readonly handler: HandlerSpec;
  readonly publicNameOnly: boolean;
  readonly requireEch: boolean;
  readonly hosts: HostRules | null;
}

interface CredentialRecord {
  readonly id: string;
  readonly chain: readonly number[];
  readonly key: number;
  readonly schemes: readonly number[];
  readonly names: readonly string[];
  readonly origin: "operator" | "managed";
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

interface HeadRecord extends Omit<SnapshotFacts, "ech"> {
  readonly defaultSni: string | null;
  readonly fallbackSni: string | null;
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
  yield MAGIC;
  yield json(Kind.head, headRecord(snapshot, facts));
  yield section(Kind.base, snapshot.index.base.toBytes());
  yield section(Kind.overlay, snapshot.index.overlay.toBytes());
  const encoder = new Encoder(crypto);
  for (let at = 0; at < snapshot.slots.length; at += SLOTS_PER_SECTION) {
    yield* encoder.slots(snapshot.slots.slice(at, at + SLOTS_PER_SECTION));
  }
}

class Encoder {
  readonly #crypto: Pick<Crypto, "digest">;
  readonly #blobNumbers = new Map<Uint8Array, number>();
  readonly #blobsByContent = new Map<string, number>();
  readonly #credentialNumbers = new Map<SiteCredential, number>();
  readonly #profileNumbers = new Map<string, number>();
  #blobCount = 0;
  /** Not yet written. */
  #blobs: Uint8Array[] = [];
  #credentials: CredentialRecord[] = [];
  #profiles: string[] = [];

  constructor(crypto: Pick<Crypto, "digest">) {
    this.#crypto = crypto;
  }

  /** Blobs first, then what refers to them. */
  *slots(slots: readonly (Site | undefined)[]): Generator<Uint8Array, void> {
    const records = slots.map((site) => site === undefined ? null : this.#slot(site));
    yield blobSection(this.#blobs);
    yield json(Kind.credentials, this.#credentials);
    yield section(Kind.profiles, text(`[${this.#profiles.join()}]`));
    yield json(Kind.slots, records);
    [this.#blobs, this.#credentials, this.#profiles] = [[], [], []];
  }

  #slot({ names, tls, handler, publicNameOnly, requireEch = false, hosts }: Site): SlotRecord {
    const credentials = tls.credentials.map((credential) => this.#credential(credential));
    const { policyId, alpn = null, groups, tickets } = tls;
    const clientAuth = this.#clientAuth(tls.clientAuth);
    const profile: ProfileRecord = {
      policyId,
      alpn,
      groups,
      tickets,
      clientAuth,
      handler,
      publicNameOnly,
      requireEch,
      hosts: hosts ?? null,
    };
    const key = JSON.stringify(profile);
    let number = this.#profileNumbers.get(key);
    if (number === undefined) {
      this.#profileNumbers.set(key, number = this.#profileNumbers.size);
      this.#profiles.push(key);
    }
    return { names, profile: number, credentials };
  }

  #credential(credential: SiteConfig["credentials"][number]): number {
    if (!(credential instanceof SiteCredential)) {
      throw new TypeError(`Cannot write ${credential.id}: its key is elsewhere`);
    }
    let number = this.#credentialNumbers.get(credential);
    if (number === undefined) {
      this.#credentialNumbers.set(credential, number = this.#credentialNumbers.size);
      const { id, schemes, names, origin, notBeforeMs, notAfterMs } = credential;
      const chain = credential.chain.map((der, i) => this.#blob(der, i > 0));
      const key = this.#blob(text(credential.keyPem), false);
      this.#credentials.push({ id, chain, key, schemes, names, origin, notBeforeMs, notAfterMs });
    }
    return number;
  }

  #clientAuth(auth: ClientAuth | undefined): ProfileRecord["clientAuth"] {
    if (auth === undefined) return null;
    const anchors = auth instanceof SiteClientAuth ? auth.pool.anchors : [];
    return {
      mode: auth.mode,
      anchors: anchors.map(({ der }) => this.#blob(der, true)),
      authorities: auth.authorities.map((name) => this.#blob(name, true)),
    };
  }

  /** @param isCommon the same bytes may come from elsewhere */
  #blob(bytes: Uint8Array, isCommon: boolean): number {
    let number = this.#blobNumbers.get(bytes);
    if (number !== undefined) return number;
    const content = isCommon ? this.#crypto.digest("sha256", bytes).join() : undefined;
    if (content !== undefined) number = this.#blobsByContent.get(content);
    if (number === undefined) {
      number = this.#blobCount++;
      this.#blobs.push(bytes);
      if (content !== undefined) this.#blobsByContent.set(content, number);
    }
    this.#blobNumbers.set(bytes, number);
    return number;
  }
}

class Decoder {
  readonly #crypto: Crypto;
  readonly #blobs: Uint8Array[] = [];
  readonly #credentials: SiteCredential[] = [];
  readonly #profiles: Omit<Site, "names">[] = [];
  readonly #slots: (Site | undefined)[] = [];

  constructor(crypto: Crypto) {
    this.#crypto = crypto;
  }

  decode(bytes: Uint8Array): StoredSnapshot {
    let head: HeadRecord | undefined;
    let base: SniTrie | undefined;
    let overlay: Overlay | undefined;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    for (let at = 0; at < bytes.length;) {
      const kind = bytes[at]!;
      const start = at + SECTION_HEADER;
      const content = bytes.subarray(start, at = start + view.getUint32(at + 1, true));
      if (at > bytes.length) throw new RangeError("a section is longer than the file");
      if (kind === Kind.head) head = parse(content) as HeadRecord;
      else if (kind === Kind.base) base = SniTrie.fromBytes(content);
      else if (kind === Kind.overlay) overlay = Overlay.fromBytes(content);
      else if (kind === Kind.blobs) this.#readBlobs(content);
      else if (kind === Kind.credentials) this.#readCredentials(content);
      else if (kind === Kind.profiles) this.#readProfiles(content);
      else if (kind === Kind.slots) this.#readSlots(content);
      else throw new RangeError(`a section of kind ${kind}`);
    }
    if (head === undefined || base === undefined || overlay === undefined) {
      throw new RangeError("a section is missing");
    }
    const table = { slots: this.#slots, index: new NameIndex(base, overlay) };
    const { createdMs, configHash, rootKey, flightPadding } = head;
    return {
      createdMs,
      configHash,
      rootKey,
      flightPadding,
      table,
      defaultSni: head.defaultSni ?? undefined,
      fallbackSni: head.fallbackSni ?? undefined,
      ech: head.ech === null ? undefined : {
        state: head.ech.state,
        keys: head.ech.keys.map((key) => ({
          ...key,
          privateKey: fromHex(key.privateKey),
          config: fromHex(key.config),
        })),
      },
    };
  }

  #readBlobs(content: Uint8Array): void {
    const view = new DataView(content.buffer, content.byteOffset, content.length);
    for (let at = 0; at < content.length;) {
      const end = at + 4 + view.getUint32(at, true);
      this.#blobs.push(content.subarray(at + 4, end));
      at = end;
    }
  }

  #readCredentials(content: Uint8Array): void {
    const keys = SigningKeys.of(this.#crypto);
    for (const { chain, key, ...rest } of parse(content) as CredentialRecord[]) {
      this.#credentials.push(
        new SiteCredential(keys, {
          ...rest,
          chain: chain.map((blob) => this.#blobs[blob]!),
          keyPem: this.#blobs[key]!,
        }),
      );
    }
  }

  #readProfiles(content: Uint8Array): void {
    for (const profile of parse(content) as ProfileRecord[]) {
      const { policyId, groups, tickets, handler, publicNameOnly } = profile;
      const alpn = profile.alpn ?? undefined;
      const clientAuth = profile.clientAuth === null ? undefined : new SiteClientAuth(
        profile.clientAuth.mode,
        {
          anchors: profile.clientAuth.anchors.map((blob) => parseCertificate(this.#blobs[blob]!)),
          authorities: profile.clientAuth.authorities.map((blob) => this.#blobs[blob]!),
        },
      );
      const tls = { policyId, credentials: [], alpn, groups, clientAuth, tickets };
      const hosts = profile.hosts === null ? undefined : { hosts: profile.hosts };
      const common = { tls, handler, publicNameOnly, ...hosts };
      this.#profiles.push(profile.requireEch ? { ...common, requireEch: true } : common);
    }
  }

  #readSlots(content: Uint8Array): void {
    for (const record of parse(content) as (SlotRecord | null)[]) {
      if (record === null) {
        this.#slots.push(undefined);
        continue;
      }
      const profile = this.#profiles[record.profile]!;
      const credentials = record.credentials.map((number) => this.#credentials[number]!);
      const tls = { ...profile.tls, credentials };
      this.#slots.push({ names: record.names, ...profile, tls });
    }
  }
}

function headRecord(
  { defaultSni, fallbackSni }: Snapshot,
  { ech, createdMs, configHash, rootKey, flightPadding }: SnapshotFacts,
): HeadRecord {
  return {
    createdMs,
    configHash,
    rootKey,
    flightPadding,
    defaultSni: defaultSni ?? null,
    fallbackSni: fallbackSni ?? null,
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

function json(kind: number, value: unknown): Uint8Array {
  return section(kind, text(JSON.stringify(value)));
}

function section(kind: number, content: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(SECTION_HEADER + content.length);
  bytes[0] = kind;
  new DataView(bytes.buffer).setUint32(1, content.length, true);
  bytes.set(content, SECTION_HEADER);
  return bytes;
}

function blobSection(blobs: readonly Uint8Array[]): Uint8Array {
  const length = blobs.reduce((total, blob) => total + 4 + blob.length, 0);
  const content = new Uint8Array(length);
  const view = new DataView(content.buffer);
  let at = 0;
  for (const blob of blobs) {
    view.setUint32(at, blob.length, true);
    content.set(blob, at + 4);
    at += 4 + blob.length;
  }
  return section(Kind.blobs, content);
}

function text(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}

function parse(content: Uint8Array): unknown {
  return JSON.parse(new TextDecoder().decode(content));
}

function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function fromHex(hex: string): Uint8Array {
  return Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

const Kind = {
  head: 1,
  base: 2,
  overlay: 3,
  blobs: 4,
  credentials: 5,
  profiles: 6,
  slots: 7,
} as const;
const SECTION_HEADER = 5;
const HASH_LENGTH = 32;
const SLOTS_PER_SECTION = 256;
/** Its last character is the version: another one is not read, what it holds is built anew. */
const MAGIC = text("sottosn1");
