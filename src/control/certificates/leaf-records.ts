/**
 * The local CA's leaves in storage: one record per set of names, chain and key in one (acme §14.7).
 *
 * A record keeps its predecessor, which serves again where a wrong clock had it replaced.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { type Certificate, certificatesFromPem, sameBytes } from "../../x509/certificate.ts";
import { safeSegment, type Storage } from "../storage/storage.ts";
import { spkiOf } from "./make.ts";

export interface StoredLeaf {
  readonly certificate: Certificate;
  readonly intermediate: Certificate;
  readonly keyPem: string;
}

export class LeafRecords {
  readonly #storage: Storage;

  constructor(storage: Storage) {
    this.#storage = storage;
  }

  /** The newest leaf and its predecessor, those of them that can be read. */
  async read(names: readonly string[]): Promise<StoredLeaf[]> {
    const record = parseRecord(await this.#storage.get(leafKey(names)));
    return record !== undefined && namesKey(record.sans) === namesKey(names)
      ? leavesOf(record)
      : [];
  }

  /** @param certificatePem leaf first, its intermediate second */
  async write(names: readonly string[], certificatePem: string, keyPem: string): Promise<void> {
    const key = leafKey(names);
    const before = parseRecord(await this.#storage.get(key));
    const record: LeafRecord = {
      sans: names,
      certificate: certificatePem,
      key: keyPem,
      ...(before && { previous: { certificate: before.certificate, key: before.key } }),
    };
    await this.#storage.put(key, new TextEncoder().encode(JSON.stringify(record, undefined, 2)));
  }

  /** Erases records that nothing can be done with any more. */
  async erase(isOfNoUse: (certificate: Certificate) => boolean): Promise<number> {
    let erased = 0;
    for (const key of await this.#storage.list(FOLDER)) {
      const record = parseRecord(await this.#storage.get(key));
      if (record === undefined) continue; // not ours to judge
      const leaves = leavesOf(record);
      if (leaves.length === 0 || leaves.some(({ certificate }) => !isOfNoUse(certificate))) {
        continue;
      }
      await this.#storage.delete(key);
      erased++;
    }
    return erased;
  }
}

/**
 * A single name as acme §14.9 spells it; a set by its first name and a hash, behind a character that no name has. So
 * sites that share a name do not overwrite each other's records.
 */
export function leafKey(names: readonly string[]): string {
  const first = names.toSorted()[0]!;
  const safe = safeSegment(first);
  // Not every name is told from its safe spelling, nor does every one fit.
  const isItself = names.length === 1 && safe.length <= MAX_NAME_LENGTH && !/_|--/.test(first);
  if (isItself) return `${FOLDER}/${safe}.json`;
  const hash = createHash("sha256").update(namesKey(names)).digest("hex").slice(0, 16);
  return `${FOLDER}/${safe.slice(0, MAX_NAME_LENGTH)}@${hash}.json`;
}

function namesKey(names: readonly string[]): string {
  return names.toSorted().join();
}

function leavesOf(record: LeafRecord): StoredLeaf[] {
  const parts = [record, record.previous].filter((part) => part !== undefined);
  return parts.flatMap(({ certificate: pem, key }) => {
    try {
      const [certificate, intermediate] = certificatesFromPem(pem);
      const spki = spkiOf(key);
      if (certificate === undefined || intermediate === undefined || spki === undefined) return [];
      return sameBytes(spki, certificate.spki) ? [{ certificate, intermediate, keyPem: key }] : [];
    } catch {
      return []; // it cannot be read: a new one costs nothing
    }
  });
}

interface LeafPair {
  readonly certificate: string;
  readonly key: string;
}

interface LeafRecord extends LeafPair {
  readonly sans: readonly string[];
  readonly previous?: LeafPair;
}

function parseRecord(bytes: Uint8Array | undefined): LeafRecord | undefined {
  if (bytes === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
    return isLeafRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isLeafRecord(value: unknown): value is LeafRecord {
  return isLeafPair(value) && "sans" in value && Array.isArray(value.sans) &&
    value.sans.every((name) => typeof name === "string") &&
    (!("previous" in value) || isLeafPair(value.previous));
}

function isLeafPair(value: unknown): value is LeafPair {
  return typeof value === "object" && value !== null &&
    "certificate" in value && typeof value.certificate === "string" &&
    "key" in value && typeof value.key === "string";
}

const FOLDER = "certificates/local";
/** A segment has 255 characters, some of them for hash and suffix. */
const MAX_NAME_LENGTH = 230;
