/**
 * The local CA (acme §12): certificates for names that no public CA may certify, and for a first try without any
 * set-up. A root for ten years, intermediates for a week, leaves for half a day, all P-256.
 *
 * The root's key is read only to sign an intermediate, then let go. Root roll-over and the installation into trust
 * stores are not here yet; a root is simply replaced once it has expired.
 *
 * @module
 */
import { createPrivateKey, createPublicKey } from "node:crypto";
import { type Certificate, certificatesFromPem, sameBytes } from "../../x509/certificate.ts";
import { X509Error } from "../../x509/error.ts";
import { qualifyName } from "../../x509/names.ts";
import { encodePem } from "../../x509/pem.ts";
import { safeSegment, type Storage } from "../storage/storage.ts";
import { type CertificateWithKey, makeCertificate } from "./make.ts";

export interface LocalCaOptions {
  readonly storage: Storage;
  /** The clock: ms since 1970. */
  readonly now: () => number;
  /** Shown in trust stores: "<name> - 2026 ECC Root". */
  readonly name?: string;
}

/** What a server needs of a certificate: both PEM, the chain leaf first and without the root. */
export interface IssuedCertificate {
  readonly certificatePem: string;
  readonly keyPem: string;
}

/**
 * Loads the CA from storage, or makes it there.
 *
 * @throws {StorageError} storage fails
 * @throws {X509Error} something under `pki/authorities/local/` cannot be read: the message names the key
 */
export async function openLocalCa(options: LocalCaOptions): Promise<LocalCa> {
  const ca = new LocalCa(options);
  await ca.ready();
  return ca;
}

export class LocalCa {
  readonly #storage: Storage;
  readonly #now: () => number;
  readonly #name: string;
  #root: Certificate | undefined;
  #intermediate: CertificateWithKey | undefined;
  /** One at a time: two at once would make two intermediates. */
  #queue: Promise<unknown> = Promise.resolve();

  constructor(options: LocalCaOptions) {
    this.#storage = options.storage;
    this.#now = options.now;
    this.#name = options.name ?? "sotto Local Authority";
  }

  /** For clients: `curl --cacert`, trust stores. */
  get rootPem(): string {
    if (this.#root === undefined) throw new TypeError("Cannot read rootPem before ready()");
    return encodePem("CERTIFICATE", this.#root.der);
  }

  /** Sees to it that there is a root and an intermediate with some life left. */
  ready(): Promise<void> {
    return this.#inTurn(async () => {
      await this.#currentIntermediate();
    });
  }

  /**
   * The certificate for these names: the stored one if it is still good, else a new one, which is stored.
   *
   * @throws as `issue` and `openLocalCa`
   */
  obtain(names: readonly string[]): Promise<IssuedCertificate> {
    return this.#inTurn(async () => {
      const sans = canonicalNames(names);
      const key = `certificates/local/${safeSegment(sans[0]!)}.json`;
      const stored = await this.#storedLeaf(key, sans);
      if (stored !== undefined) return stored;
      const issued = await this.#issue(sans);
      const record = { sans, certificate: issued.certificatePem, key: issued.keyPem };
      await this.#storage.put(key, new TextEncoder().encode(JSON.stringify(record, undefined, 2)));
      return issued;
    });
  }

  /**
   * A new certificate for DNS names (wildcards too) and IP addresses, over a fresh key; nothing is stored.
   *
   * @throws {X509Error} a name that cannot be certified
   */
  issue(names: readonly string[]): Promise<IssuedCertificate> {
    return this.#inTurn(() => this.#issue(canonicalNames(names)));
  }

  async #issue(names: readonly string[]): Promise<IssuedCertificate> {
    const issuer = await this.#currentIntermediate();
    const leaf = await makeCertificate({
      kind: "leaf",
      names,
      issuer,
      ...this.#validity(LEAF_SECONDS, issuer.certificate),
    });
    return {
      certificatePem: encodePem("CERTIFICATE", leaf.certificate.der) +
        encodePem("CERTIFICATE", issuer.certificate.der),
      keyPem: leaf.keyPem,
    };
  }

  /** In memory, else stored, else new; never one that is due. */
  async #currentIntermediate(): Promise<CertificateWithKey> {
    const nowMs = this.#now();
    this.#root ??= await this.#readCertificate("root");
    if (this.#root === undefined || this.#root.notAfterMs <= nowMs) {
      this.#root = (await this.#makeRoot()).certificate;
      this.#intermediate = undefined;
    }
    const current = this.#intermediate ?? await this.#readIntermediate(this.#root);
    this.#intermediate = current !== undefined && !this.#isDue(current.certificate, nowMs)
      ? current
      : await this.#makeIntermediate(this.#root);
    return this.#intermediate;
  }

  /** An intermediate that ends with its root cannot be bettered by another. */
  #isDue(intermediate: Certificate, nowMs: number): boolean {
    const endsWithRoot = intermediate.notAfterMs === this.#root?.notAfterMs;
    return endsWithRoot ? intermediate.notAfterMs <= nowMs : needsRenewal(intermediate, nowMs);
  }

  async #makeRoot(): Promise<CertificateWithKey> {
    const root = await makeCertificate({
      kind: "root",
      commonName: `${this.#name} - ${this.#year()} ECC Root`,
      issuer: undefined,
      ...this.#validity(ROOT_SECONDS),
    });
    await this.#write("root", root);
    return root;
  }

  async #makeIntermediate(root: Certificate): Promise<CertificateWithKey> {
    const keyPem = await this.#readKey("root");
    if (keyPem === undefined || !keyFits(keyPem, root)) {
      throw new X509Error(
        `Cannot renew the local CA's intermediate: ${FOLDER}/root.key in ${this.#storage.description} is ` +
          `${keyPem === undefined ? "missing" : "not the key of root.crt"}. Restore it, ` +
          "or delete the folder: a new CA is made then, which clients must be told to trust",
      );
    }
    const intermediate = await makeCertificate({
      kind: "intermediate",
      commonName: `${this.#name} - ECC Intermediate`,
      issuer: { certificate: root, keyPem },
      ...this.#validity(INTERMEDIATE_SECONDS, root),
    });
    await this.#write("intermediate", intermediate);
    return intermediate;
  }

  /** Undefined: none there, another root's, or a crash left it without its key. */
  async #readIntermediate(root: Certificate): Promise<CertificateWithKey | undefined> {
    const certificate = await this.#readCertificate("intermediate");
    const keyPem = await this.#readKey("intermediate");
    if (certificate === undefined || keyPem === undefined) return undefined;
    return isIssuedBy(certificate, root) && keyFits(keyPem, certificate)
      ? { certificate, keyPem }
      : undefined;
  }

  async #storedLeaf(key: string, sans: readonly string[]): Promise<IssuedCertificate | undefined> {
    const bytes = await this.#storage.get(key);
    if (bytes === undefined) return undefined;
    const { certificate: issuer } = await this.#currentIntermediate();
    try {
      const record: unknown = JSON.parse(new TextDecoder().decode(bytes));
      if (!isLeafRecord(record) || record.sans.join() !== sans.join()) return undefined;
      const [leaf] = certificatesFromPem(record.certificate);
      const isGood = leaf !== undefined && isIssuedBy(leaf, issuer) && keyFits(record.key, leaf) &&
        !needsRenewal(leaf, this.#now());
      return isGood ? { certificatePem: record.certificate, keyPem: record.key } : undefined;
    } catch {
      return undefined; // it cannot be read: a new one costs nothing
    }
  }

  async #readCertificate(which: "root" | "intermediate"): Promise<Certificate | undefined> {
    const key = `${FOLDER}/${which}.crt`;
    const bytes = await this.#storage.get(key);
    if (bytes === undefined) return undefined;
    try {
      const [certificate] = certificatesFromPem(new TextDecoder().decode(bytes));
      if (certificate?.isCa !== true) throw new X509Error("it holds no CA certificate");
      return certificate;
    } catch (cause) {
      if (!(cause instanceof X509Error)) throw cause;
      const place = `${key} in ${this.#storage.description}`;
      throw new X509Error(`Cannot use the local CA's ${place}: ${cause.message}`, { cause });
    }
  }

  async #readKey(which: "root" | "intermediate"): Promise<string | undefined> {
    const bytes = await this.#storage.get(`${FOLDER}/${which}.key`);
    return bytes && new TextDecoder().decode(bytes);
  }

  /** The key first: a certificate without its key would look whole after a crash. */
  async #write(which: "root" | "intermediate", made: CertificateWithKey): Promise<void> {
    const encoder = new TextEncoder();
    await this.#storage.put(`${FOLDER}/${which}.key`, encoder.encode(made.keyPem));
    const pem = encodePem("CERTIFICATE", made.certificate.der);
    await this.#storage.put(`${FOLDER}/${which}.crt`, encoder.encode(pem));
  }

  /** From a minute ago, for clients whose clocks are behind; never past the issuer's end or before its beginning. */
  #validity(lifeSeconds: number, issuer?: Certificate) {
    const nowMs = Math.floor(this.#now() / 1000) * 1000;
    const start = nowMs - 60_000;
    const end = nowMs + lifeSeconds * 1000;
    return {
      notBeforeMs: Math.max(start, issuer?.notBeforeMs ?? start),
      notAfterMs: Math.min(end, issuer?.notAfterMs ?? end),
    };
  }

  #year(): number {
    return new Date(this.#now()).getUTCFullYear();
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work);
    this.#queue = result.catch(() => {});
    return result;
  }
}

/** Less than a fifth of its life is left, or it has not begun (the clock was set back). */
export function needsRenewal(
  certificate: Pick<Certificate, "notBeforeMs" | "notAfterMs">,
  nowMs: number,
): boolean {
  const { notBeforeMs, notAfterMs } = certificate;
  return nowMs < notBeforeMs || notAfterMs - nowMs < 0.2 * (notAfterMs - notBeforeMs);
}

function canonicalNames(names: readonly string[]): string[] {
  if (names.length === 0) throw new X509Error("Cannot issue a certificate without a name");
  return names.map((text) => {
    const qualified = qualifyName(text);
    if ("refused" in qualified) {
      throw new X509Error(`Cannot issue a certificate for "${text}": it ${qualified.refused}`);
    }
    return qualified.name;
  });
}

/** By name and key identifier: our own store is trusted, its parts may only be of different age. */
function isIssuedBy(certificate: Certificate, issuer: Certificate): boolean {
  const { authorityKeyId } = certificate;
  return sameBytes(certificate.issuer, issuer.subject) &&
    (authorityKeyId === undefined || issuer.subjectKeyId === undefined ||
      sameBytes(authorityKeyId, issuer.subjectKeyId));
}

function keyFits(keyPem: string, certificate: Certificate): boolean {
  try {
    const spki = createPublicKey(createPrivateKey(keyPem)).export({ format: "der", type: "spki" });
    return sameBytes(spki, certificate.spki);
  } catch {
    return false;
  }
}

interface LeafRecord {
  readonly sans: readonly string[];
  readonly certificate: string;
  readonly key: string;
}

function isLeafRecord(value: unknown): value is LeafRecord {
  return typeof value === "object" && value !== null &&
    "sans" in value && Array.isArray(value.sans) &&
    "certificate" in value && typeof value.certificate === "string" &&
    "key" in value && typeof value.key === "string";
}

const FOLDER = "pki/authorities/local";
const ROOT_SECONDS = 3600 * 86_400;
const INTERMEDIATE_SECONDS = 7 * 86_400;
const LEAF_SECONDS = 12 * 3600;
