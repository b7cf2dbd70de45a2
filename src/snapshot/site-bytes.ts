/**
 * One site as bytes, and back. What many sites have in common is said by number.
 * @module
 */
import type { PrivateKeyBlock } from "../crypto/crypto.ts";
import { SignatureScheme } from "../tls/wire/code-points.ts";
import { decodePem, encodePem } from "../x509/pem.ts";
import type { SiteCredential, SiteCredentialParts } from "./credential.ts";
import { P256Key, SCALAR_LENGTH, splitP256Key } from "./p256-key.ts";
import type { ReadFiles } from "./snapshot.ts";

/** One site; numbers of common blobs where many sites say the same. */
export interface SiteRecord {
  readonly names: readonly string[];
  /** A common blob: what the handshake needs to know of the site beside its credentials. */
  readonly profile: number;
  /** Its handler as JSON, or as the common blob that has this. */
  readonly handler: string | number;
  readonly files: ReadFiles | undefined;
  readonly credentials: readonly CredentialRecord[];
}

export interface CredentialRecord extends Omit<SiteCredentialParts, "chain" | "key" | "keyOwner"> {
  readonly leaf: Uint8Array;
  /** Common blobs: the certificates above it. */
  readonly above: readonly number[];
  readonly key: PrivateKeyBlock;
}

/**
 *     profile, names, handler, files, credentials
 *
 * Numbers are little-endian; lists and texts have their length before them, what may be missing a byte that says so.
 */
export function encodeSite(site: SiteRecord): Uint8Array {
  const w = new ByteWriter();
  w.u32(site.profile);
  w.texts(site.names);
  w.u8(typeof site.handler === "string" ? 0 : 1);
  if (typeof site.handler === "string") w.text(site.handler);
  else w.u32(site.handler);
  w.u8(site.files === undefined ? 0 : site.files.isUpToDate ? 1 : 2);
  if (site.files !== undefined) {
    w.text(site.files.stamp);
    w.texts(site.files.warnings);
  }
  w.u16(site.credentials.length);
  for (const credential of site.credentials) encodeCredential(w, credential, site.names);
  return w.take();
}

/** @throws {RangeError} they are no site's */
export function decodeSite(bytes: Uint8Array): SiteRecord {
  const r = new ByteReader(bytes);
  const profile = r.u32();
  const names = r.texts();
  const handler = r.u8() === 0 ? r.text() : r.u32();
  const kind = r.u8();
  const files = kind === 0
    ? undefined
    : { isUpToDate: kind === 1, stamp: r.text(), warnings: r.texts() };
  const credentials: CredentialRecord[] = [];
  for (let left = r.u16(); left > 0; left--) credentials.push(decodeCredential(r, names));
  r.finish();
  return { profile, names, handler, files, credentials };
}

function encodeCredential(w: ByteWriter, one: CredentialRecord, siteNames: readonly string[]) {
  const hasItsNames = one.names.length === siteNames.length &&
    one.names.every((name, i) => name === siteNames[i]);
  const hasLocalId = one.id === localId(siteNames);
  const isPkcs8 = one.key.label === PRIVATE_KEY;
  const p256 = splitP256Key(one.key, one.leaf);
  w.u8(
    (hasItsNames ? Flag.itsNames : 0) | (one.origin === "operator" ? Flag.operator : 0) |
      (hasLocalId ? Flag.localId : 0) | (isPkcs8 ? Flag.pkcs8 : 0) |
      (p256 !== undefined ? Flag.p256 : 0),
  );
  if (!hasLocalId) w.text(one.id);
  if (!hasItsNames) w.texts(one.names);
  w.f64(one.notBeforeMs);
  w.f64(one.notAfterMs);
  w.u16(one.schemes.length);
  for (const scheme of one.schemes) w.u32(scheme);
  w.bytes(one.leaf);
  w.u16(one.above.length);
  for (const number of one.above) w.u32(number);
  if (p256 !== undefined) {
    w.u32(p256.pointAt);
    w.raw(p256.scalar);
    return;
  }
  if (!isPkcs8) w.text(one.key.label);
  w.bytes(one.key.der);
}

function decodeCredential(r: ByteReader, siteNames: readonly string[]): CredentialRecord {
  const flags = r.u8();
  const id = (flags & Flag.localId) === 0 ? r.text() : localId(siteNames);
  const names = (flags & Flag.itsNames) === 0 ? r.texts() : siteNames;
  const origin = (flags & Flag.operator) === 0 ? "managed" : "operator";
  const notBeforeMs = r.f64();
  const notAfterMs = r.f64();
  const schemes = sharedSchemes(r.numbers());
  const leaf = r.bytes();
  const above = r.numbers();
  const key = decodeKey(r, flags, leaf);
  return { id, names, origin, notBeforeMs, notAfterMs, schemes, leaf, above, key };
}

/** Nearly all keys have these: one list for all of them. */
const P256_SCHEMES: readonly number[] = [SignatureScheme.ecdsa_secp256r1_sha256];

function sharedSchemes(schemes: readonly number[]): readonly number[] {
  return schemes.length === 1 && schemes[0] === P256_SCHEMES[0] ? P256_SCHEMES : schemes;
}

function decodeKey(r: ByteReader, flags: number, leaf: Uint8Array): PrivateKeyBlock {
  if ((flags & Flag.p256) !== 0) {
    return new P256Key({ pointAt: r.u32(), scalar: r.raw(SCALAR_LENGTH) }, leaf);
  }
  const label = (flags & Flag.pkcs8) === 0 ? r.text() : PRIVATE_KEY;
  return { label, der: r.bytes() };
}

/** What most of them are, said in a bit. */
const Flag = { itsNames: 1, operator: 2, localId: 4, pkcs8: 8, p256: 16 } as const;
const PRIVATE_KEY = "PRIVATE KEY";

/** What a credential of the local CA is called. */
export function localId(names: readonly string[]): string {
  return `local:${names[0]}`;
}

/** The key as it is kept: its PEM without the armour. */
export function keyDerOf({ key }: Pick<SiteCredential, "key">): PrivateKeyBlock {
  if (typeof key !== "string") return key;
  const [block] = decodePem(key);
  if (block === undefined) throw new TypeError("Cannot keep a key that is no PEM");
  return block;
}

export function keyPemOf(key: string | PrivateKeyBlock): string {
  return typeof key === "string" ? key : encodePem(key.label, key.der);
}

class ByteWriter {
  #bytes = new Uint8Array(2048);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  u8(value: number): void {
    this.#bytes[this.#room(1)] = value;
  }

  u16(value: number): void {
    if (value > 0xffff) throw new RangeError(`Cannot write ${value} in two bytes`);
    const at = this.#room(2);
    this.#view.setUint16(at, value, true);
  }

  f64(value: number): void {
    const at = this.#room(8);
    this.#view.setFloat64(at, value, true);
  }

  u32(value: number): void {
    const at = this.#room(4);
    this.#view.setUint32(at, value, true);
  }

  bytes(value: Uint8Array): void {
    this.u32(value.length);
    this.raw(value);
  }

  /** Whoever reads it knows how long it is. */
  raw(value: Uint8Array): void {
    const at = this.#room(value.length);
    this.#bytes.set(value, at);
  }

  text(value: string): void {
    this.bytes(ENCODER.encode(value));
  }

  texts(values: readonly string[]): void {
    this.u32(values.length);
    for (const value of values) this.text(value);
  }

  take(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  #room(length: number): number {
    const at = this.#length;
    this.#length += length;
    if (this.#length > this.#bytes.length) {
      const larger = new Uint8Array(2 * this.#length);
      larger.set(this.#bytes);
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    return at;
  }
}

class ByteReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  u8(): number {
    return this.#view.getUint8(this.#at++);
  }

  u16(): number {
    this.#at += 2;
    return this.#view.getUint16(this.#at - 2, true);
  }

  u32(): number {
    this.#at += 4;
    return this.#view.getUint32(this.#at - 4, true);
  }

  f64(): number {
    this.#at += 8;
    return this.#view.getFloat64(this.#at - 8, true);
  }

  bytes(): Uint8Array {
    return this.raw(this.u32());
  }

  raw(length: number): Uint8Array {
    const start = this.#at;
    this.#at += length;
    if (this.#at > this.#bytes.length) throw new RangeError("it ends too early");
    return this.#bytes.subarray(start, this.#at);
  }

  text(): string {
    return DECODER.decode(this.bytes());
  }

  texts(): string[] {
    const values: string[] = [];
    for (let left = this.u32(); left > 0; left--) values.push(this.text());
    return values;
  }

  numbers(): number[] {
    const values: number[] = [];
    for (let left = this.u16(); left > 0; left--) values.push(this.u32());
    return values;
  }

  finish(): void {
    if (this.#at !== this.#bytes.length) throw new RangeError("there is more than belongs to it");
  }
}

const ENCODER = new TextEncoder();
const DECODER = new TextDecoder("utf-8", { fatal: true });
