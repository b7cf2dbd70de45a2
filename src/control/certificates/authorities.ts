/**
 * The local CA's roots and intermediates in storage (acme §12.1).
 *
 *     pki/authorities/local/root.crt           root.key            the first one
 *                           root-2.crt         root-2.key          the next one
 *                           root-2-by-1.crt                        the next one's key, certified by the first one
 *                           intermediate.crt   intermediate.key    likewise; -2, -3, …
 *
 * Nothing is ever overwritten. A key is created before its certificate, and who finds a key without one makes it over
 * that key: so a crash in between costs nothing, and two processes that make the same generation at once make one.
 *
 * @module
 */
import { type Certificate, certificatesFromPem, sameBytes } from "../../x509/certificate.ts";
import { X509Error } from "../../x509/error.ts";
import { encodePem } from "../../x509/pem.ts";
import type { Storage } from "../storage/storage.ts";
import { makeKey, spkiOf } from "./make.ts";

export interface Authority {
  readonly kind: AuthorityKind;
  /** 1 is the first one. */
  readonly generation: number;
  readonly certificate: Certificate;
}

export type AuthorityKind = "root" | "intermediate";

/** What is stored, oldest first. */
export interface Authorities {
  readonly roots: readonly Authority[];
  readonly intermediates: readonly Authority[];
}

export class AuthorityStore {
  readonly #storage: Storage;

  constructor(storage: Storage) {
    this.#storage = storage;
  }

  /**
   * An intermediate that cannot be read is passed over, another costs nothing.
   *
   * @throws {StorageError}
   * @throws {X509Error} a root cannot be read; the message names its key in storage
   */
  async load(): Promise<Authorities> {
    return {
      roots: await this.#loadAll("root"),
      intermediates: await this.#loadAll("intermediate"),
    };
  }

  /** Undefined: it is missing, or is another certificate's. */
  async key({ kind, generation, certificate }: Authority): Promise<string | undefined> {
    const pem = await this.#read(`${nameOf(kind, generation)}.key`);
    const spki = pem === undefined ? undefined : spkiOf(pem);
    return spki !== undefined && sameBytes(spki, certificate.spki) ? pem : undefined;
  }

  /**
   * Makes the generation after the newest of those that `load` gave, or takes what another process has made of it
   * since.
   */
  async create(
    kind: AuthorityKind,
    existing: readonly Authority[],
    make: (keyPem: string, spki: Uint8Array) => Promise<Certificate>,
  ): Promise<Authority> {
    for (let generation = (existing.at(-1)?.generation ?? 0) + 1;; generation++) {
      const name = nameOf(kind, generation);
      const fresh = await makeKey();
      const isOurs = await this.#create(`${name}.key`, fresh);
      const keyPem = isOurs ? fresh : await this.#read(`${name}.key`);
      const spki = keyPem === undefined ? undefined : spkiOf(keyPem);
      if (keyPem === undefined || spki === undefined) continue; // not ours to mend
      const made = await make(keyPem, spki);
      if (await this.#create(`${name}.crt`, encodePem("CERTIFICATE", made.der))) {
        return { kind, generation, certificate: made };
      }
      const certificate = await this.#readable(`${name}.crt`);
      if (certificate !== undefined && sameBytes(certificate.spki, spki)) {
        return { kind, generation, certificate };
      }
    }
  }

  /** The key of a root, certified by an earlier one; made where it is not yet stored. Undefined: what is stored is no such thing. */
  async cross(
    root: Authority,
    by: Authority,
    make: (() => Promise<Certificate>) | undefined,
  ): Promise<Certificate | undefined> {
    const key = `${nameOf("root", root.generation)}-by-${by.generation}.crt`;
    if (await this.#read(key) === undefined) {
      if (make === undefined) return undefined;
      await this.#create(key, encodePem("CERTIFICATE", (await make()).der));
    }
    const cross = await this.#readable(key);
    return cross !== undefined && sameBytes(cross.spki, root.certificate.spki) &&
        isIssuedBy(cross, by.certificate)
      ? cross
      : undefined;
  }

  /** Erases one that is of no use any more, and keys that never got a certificate. Never a root. */
  async eraseIntermediates(isOfNoUse: (certificate: Certificate) => boolean): Promise<number> {
    const intermediates = await this.#loadAll("intermediate");
    const newest = Math.max(0, ...await this.#generations("intermediate", "crt"));
    const useless = intermediates.filter(({ generation, certificate }) =>
      generation < newest && isOfNoUse(certificate)
    );
    for (const { generation } of useless) {
      await this.#storage.delete(`${FOLDER}/${nameOf("intermediate", generation)}.crt`);
    }
    const alive = new Set(await this.#generations("intermediate", "crt"));
    for (const generation of await this.#generations("intermediate", "key")) {
      if (generation >= newest || alive.has(generation)) continue;
      await this.#storage.delete(`${FOLDER}/${nameOf("intermediate", generation)}.key`);
    }
    return useless.length;
  }

  async #loadAll(kind: AuthorityKind): Promise<Authority[]> {
    const found: Authority[] = [];
    for (const generation of await this.#generations(kind, "crt")) {
      const name = `${nameOf(kind, generation)}.crt`;
      const certificate =
        await (kind === "root" ? this.#readCertificate(name) : this.#readable(name));
      if (certificate !== undefined) found.push({ kind, generation, certificate });
    }
    return found;
  }

  /** Ascending. */
  async #generations(kind: AuthorityKind, what: "crt" | "key"): Promise<number[]> {
    const generations: number[] = [];
    for (const key of await this.#storage.list(FOLDER)) {
      const found = /^(root|intermediate)(?:-([1-9]\d{0,8}))?\.(crt|key)$/.exec(
        key.slice(FOLDER.length + 1),
      );
      if (found?.[1] === kind && found[3] === what) generations.push(Number(found[2] ?? 1));
    }
    return generations.sort((a, b) => a - b);
  }

  /** Undefined also for what is no certificate. */
  async #readable(name: string): Promise<Certificate | undefined> {
    try {
      return await this.#readCertificate(name);
    } catch (error) {
      if (!(error instanceof X509Error)) throw error;
      return undefined;
    }
  }

  async #readCertificate(name: string): Promise<Certificate | undefined> {
    const pem = await this.#read(name);
    if (pem === undefined) return undefined;
    try {
      const [certificate] = certificatesFromPem(pem);
      if (certificate?.isCa !== true) throw new X509Error("it holds no CA certificate");
      return certificate;
    } catch (cause) {
      if (!(cause instanceof X509Error)) throw cause;
      const place = `${FOLDER}/${name} in ${this.#storage.description}`;
      throw new X509Error(`Cannot use the local CA's ${place}: ${cause.message}`, { cause });
    }
  }

  async #read(name: string): Promise<string | undefined> {
    const bytes = await this.#storage.get(`${FOLDER}/${name}`);
    return bytes && new TextDecoder().decode(bytes);
  }

  #create(name: string, text: string): Promise<boolean> {
    return this.#storage.create(`${FOLDER}/${name}`, new TextEncoder().encode(text));
  }
}

/** Where a root's certificate lies in storage. */
export function storageKeyOf({ kind, generation }: Omit<Authority, "certificate">): string {
  return `${FOLDER}/${nameOf(kind, generation)}.crt`;
}

/** By name and key identifier: our own store is trusted, its parts may only be of different age. */
export function isIssuedBy(certificate: Certificate, issuer: Certificate): boolean {
  const { authorityKeyId } = certificate;
  return sameBytes(certificate.issuer, issuer.subject) &&
    (authorityKeyId === undefined || issuer.subjectKeyId === undefined ||
      sameBytes(authorityKeyId, issuer.subjectKeyId));
}

function nameOf(kind: AuthorityKind, generation: number): string {
  return generation === 1 ? kind : `${kind}-${generation}`;
}

const FOLDER = "pki/authorities/local";
