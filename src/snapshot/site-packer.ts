/**
 * Brings sites into the form that `PackedSites` reads.
 * @module
 */
import type { Crypto } from "../crypto/crypto.ts";
import type { SiteConfig } from "../tls/config.ts";
import { SiteClientAuth } from "./client-auth.ts";
import { CommonBlobList } from "./common-blobs.ts";
import { SiteCredential } from "./credential.ts";
import { NEVER, PackedSites, type ProfileRecord, RECORD_LENGTH, SiteFlag } from "./packed-sites.ts";
import { type CredentialRecord, encodeSite, keyDerOf } from "./site-bytes.ts";
import type { SiteSlots } from "./site-slots.ts";
import type { Site } from "./snapshot.ts";

export class SitePacker {
  readonly #slots: SiteSlots;
  readonly #common: CommonBlobList;
  readonly #records: Uint8Array;
  readonly #view: DataView;
  /** Sites of it are copied as they are: numbers of common blobs go on meaning the same. */
  readonly #packed: PackedSites | undefined;
  /** Handlers that some site has said in full. */
  readonly #said = new Set<string>();

  constructor(crypto: Pick<Crypto, "digest">, slots: SiteSlots) {
    this.#slots = slots;
    const packed = packedBase(slots);
    // What nobody refers to any more goes when there is much of it.
    this.#packed = packed && packed.common.count <= MAX_KNOWN ? packed : undefined;
    this.#common = new CommonBlobList(crypto, this.#packed?.common);
    this.#records = new Uint8Array(slots.length * RECORD_LENGTH);
    this.#view = new DataView(this.#records.buffer);
  }

  /**
   * The sites from one place to before another; `at` is where the bytes will lie.
   * @throws {TypeError} a credential whose key is elsewhere
   */
  pack(from: number, to: number, at: number): Uint8Array {
    if (at > MAX_START) throw new RangeError("Cannot write sites that take more than 4 GiB");
    const parts: Uint8Array[] = [];
    let length = 0;
    for (let slot = from; slot < to; slot++) {
      const part = this.#pack(slot, at + length);
      if (part === undefined) continue;
      parts.push(part);
      length += part.length;
    }
    const bytes = new Uint8Array(length);
    let offset = 0;
    for (const part of parts) {
      bytes.set(part, offset);
      offset += part.length;
    }
    return bytes;
  }

  /** Once all are packed. */
  get records(): Uint8Array {
    return this.#records;
  }

  common(): Uint8Array {
    return this.#common.encode();
  }

  #pack(slot: number, at: number): Uint8Array | undefined {
    const packed = this.#packed;
    if (packed !== undefined && this.#slots.baseOf(slot) === packed) {
      const bytes = packed.siteBytes(slot);
      if (bytes === undefined) return undefined;
      this.#records.set(packed.record(slot), slot * RECORD_LENGTH);
      this.#view.setUint32(slot * RECORD_LENGTH, at, true);
      return bytes;
    }
    const site = this.#slots.get(slot);
    if (site === undefined) return undefined;
    const bytes = this.#encode(site);
    this.#record(slot, site, at, bytes.length);
    return bytes;
  }

  #record(slot: number, { origin, publicNameOnly }: Site, start: number, length: number): void {
    const at = slot * RECORD_LENGTH;
    this.#view.setUint32(at, start, true);
    this.#view.setUint32(at + 4, length, true);
    this.#view.setFloat64(at + 8, origin?.key ?? 0, true);
    this.#view.setUint32(at + 16, Math.max(0, Math.floor((origin?.sinceMs ?? 0) / 1000)), true);
    const due = Math.ceil((origin?.dueMs ?? Infinity) / 1000);
    this.#view.setUint32(at + 20, Math.min(Math.max(0, due), NEVER), true);
    this.#view.setUint32(at + 24, origin?.flightLength ?? 0, true);
    const flags = (publicNameOnly ? 0 : SiteFlag.served) |
      (origin === undefined ? SiteFlag.foundling : 0) |
      (origin?.isManaged === true ? SiteFlag.managed : 0) |
      (origin?.hasFiles === true ? SiteFlag.files : 0) |
      (origin?.hasWarnings === true ? SiteFlag.warnings : 0);
    this.#view.setUint32(at + 28, flags, true);
  }

  #encode(site: Site): Uint8Array {
    const { names, tls, publicNameOnly, requireEch = false, hosts, files } = site;
    const { policyId, alpn = null, groups, tickets } = tls;
    const profile: ProfileRecord = {
      policyId,
      alpn,
      groups,
      tickets,
      clientAuth: this.#clientAuth(tls.clientAuth),
      publicNameOnly,
      requireEch,
      hosts: hosts ?? null,
    };
    return encodeSite({
      names,
      profile: this.#common.textNumber(JSON.stringify(profile)),
      handler: this.#handler(JSON.stringify(site.handler)),
      files,
      credentials: tls.credentials.map(this.#credential),
    });
  }

  /** Read back, those of one number are one object, with one handler behind it. */
  #handler(json: string): string | number {
    if (json.length > MAX_OWN_HANDLER || this.#said.has(json)) return this.#common.textNumber(json);
    if (this.#said.size < MAX_SAID) this.#said.add(json);
    return json;
  }

  readonly #credential = (credential: SiteConfig["credentials"][number]): CredentialRecord => {
    if (!(credential instanceof SiteCredential)) {
      throw new TypeError(`Cannot write ${credential.id}: its key is elsewhere`);
    }
    const { id, schemes, names, origin, notBeforeMs, notAfterMs, chain } = credential;
    const [leaf, ...above] = chain;
    return {
      id,
      schemes,
      names,
      origin,
      notBeforeMs,
      notAfterMs,
      leaf: leaf!,
      above: above.map((der) => this.#common.number(der)),
      key: keyDerOf(credential),
    };
  };

  #clientAuth(auth: SiteConfig["clientAuth"]): ProfileRecord["clientAuth"] {
    if (auth === undefined) return null;
    const anchors = auth instanceof SiteClientAuth ? auth.pool.anchors : [];
    return {
      mode: auth.mode,
      anchors: anchors.map(({ der }) => this.#common.number(der)),
      authorities: auth.authorities.map((name) => this.#common.number(name)),
    };
  }
}

function packedBase(slots: SiteSlots): PackedSites | undefined {
  const { base } = slots;
  return base instanceof PackedSites ? base : undefined;
}

/** A longer one is said once for all sites that have it, a shorter one by the first of them as well. */
const MAX_OWN_HANDLER = 128;
/** So many different ones are remembered. */
const MAX_SAID = 1024;
const MAX_KNOWN = 4096;
const MAX_START = 0xf000_0000;
