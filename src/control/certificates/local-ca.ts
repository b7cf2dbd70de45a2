/**
 * The local CA (acme §12): certificates for names that no public CA may certify, and for a first try without any
 * set-up. A root for ten years, intermediates for a week, leaves for half a day, all P-256, renewed when a fifth of
 * their life is left.
 *
 * A root that is due gets a successor, which issues from then on, and whose key it certifies: the cross certificate
 * goes along in every chain, for clients that trust only the old root. So at any time every root that is valid
 * verifies every chain:
 *
 *     leaf ◄─ intermediate ◄─ root-2                  for who trusts root-2
 *                          ◄─ root-2-by-1 ◄─ root     for who trusts root; the first three are sent
 *
 * A wrong clock makes more of everything, and destroys nothing: roots and their keys stay for ever, the rest until
 * `sweep` is told that the clock can be relied on. A root's key is read only to sign with it, then let go.
 *
 * @module
 */
import { createHash } from "node:crypto";

import { type Certificate, sameBytes } from "../../x509/certificate.ts";
import { X509Error } from "../../x509/error.ts";
import { qualifyName } from "../../x509/names.ts";
import { encodePem } from "../../x509/pem.ts";
import type { Storage } from "../storage/storage.ts";
import {
  type Authorities,
  type Authority,
  AuthorityStore,
  isIssuedBy,
  storageKeyOf,
} from "./authorities.ts";
import { LeafRecords } from "./leaf-records.ts";
import { type CertificateWithKey, makeCertificate } from "./make.ts";
import { LeafMaker } from "./make-leaf.ts";
import { isValidAt, LOOK_EVERY_MS, needsRenewal, renewalTimeMs, type Validity } from "./renewal.ts";

export { needsRenewal } from "./renewal.ts";

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

/** A root of ours. */
export interface LocalRoot {
  readonly certificate: Certificate;
  readonly pem: string;
  /** Of the certificate in storage, with `storageKey` of it. */
  readonly storageKey: string;
}

export interface Schedule<Leaf> {
  /** Root, intermediate or what goes along with them: call `renew`. */
  readonly authoritiesDue: boolean;
  /** Those to be obtained anew. */
  readonly leavesDue: readonly Leaf[];
  /** When to ask again, and to call `renew` in any case: other processes renew, too. */
  readonly nextLookMs: number;
}

/**
 * Loads the CA from storage, or makes it there. Processes that share the storage share the CA.
 *
 * @throws {StorageError} storage fails
 * @throws {X509Error} something under `pki/authorities/local/` cannot be read: the message names the key
 */
export async function openLocalCa(options: LocalCaOptions): Promise<LocalCa> {
  const ca = new LocalCa(options);
  await ca.ready();
  return ca;
}

/** All roots in storage, oldest first; none is made. @throws as `openLocalCa` */
export async function readLocalRoots(storage: Storage): Promise<LocalRoot[]> {
  const { roots } = await new AuthorityStore(storage).load();
  return roots.map(localRoot);
}

/** The one that issues at a time: the newest that is valid then. */
export function currentRoot<R extends { readonly certificate: Certificate }>(
  roots: readonly R[],
  nowMs: number,
): R | undefined {
  return roots.findLast(({ certificate }) => isValidAt(certificate, nowMs));
}

export class LocalCa {
  readonly #storage: Storage;
  readonly #store: AuthorityStore;
  readonly #leaves: LeafRecords;
  readonly #now: () => number;
  readonly #name: string;
  #issuer: Issuer | undefined;
  /** Of root and intermediate one at a time: two at once would make two of everything. */
  #queue: Promise<unknown> = Promise.resolve();

  constructor(options: LocalCaOptions) {
    this.#storage = options.storage;
    this.#store = new AuthorityStore(options.storage);
    this.#leaves = new LeafRecords(options.storage);
    this.#now = options.now;
    this.#name = options.name ?? "sotto Local Authority";
  }

  /** For clients: `curl --cacert`, trust stores. The one that issues now. */
  get root(): LocalRoot {
    if (this.#issuer === undefined) throw new TypeError("Cannot read root before ready()");
    return localRoot(this.#issuer.root);
  }

  get rootPem(): string {
    return this.root.pem;
  }

  /** What chains lead to, as a short text: with another one all leaves are to be obtained again. */
  get authorities(): string {
    const { root, crossesPem } = this.#issuer!;
    return createHash("sha256").update(root.certificate.der).update(crossesPem).digest("hex");
  }

  /** Sees to it that there is a root and an intermediate with some life left. */
  ready(): Promise<void> {
    return this.#inTurn(async () => {
      await this.#currentIssuer();
    });
  }

  /** What is due by now. Looks at nothing but memory. */
  schedule<Leaf extends Validity>(leaves: readonly Leaf[]): Schedule<Leaf> {
    const nowMs = this.#now();
    const leavesDue: Leaf[] = [];
    let nextLookMs = nowMs + LOOK_EVERY_MS;
    const noteChange = (ms: number): void => {
      if (ms > nowMs) nextLookMs = Math.min(nextLookMs, ms + 1);
    };
    noteChange(this.#issuer?.untilMs ?? nowMs);
    for (const leaf of leaves) {
      noteChange(renewalTimeMs(leaf));
      if (needsRenewal(leaf, nowMs)) leavesDue.push(leaf);
    }
    return { authoritiesDue: !isCurrent(this.#issuer, nowMs), leavesDue, nextLookMs };
  }

  /**
   * Renews what is due of root and intermediate, after a look at what other processes have stored. True: chains are
   * others from now on, so all leaves are to be obtained again.
   *
   * @throws as `openLocalCa`, and {X509Error} the root's key is missing or another one
   */
  renew(): Promise<boolean> {
    return this.#inTurn(async () => {
      const before = this.#issuer;
      const { root, crossesPem, intermediate } = this.#issuer = await this.#findIssuer();
      return before === undefined || before.crossesPem !== crossesPem ||
        !sameBytes(before.root.certificate.der, root.certificate.der) ||
        !sameBytes(before.intermediate.certificate.der, intermediate.certificate.der);
    });
  }

  /**
   * The certificate for these names: the stored one if it is still good, else a new one, which is stored.
   *
   * @throws as `issue` and `renew`
   */
  async obtain(names: readonly string[]): Promise<IssuedCertificate> {
    const sans = canonicalNames(names);
    const issuer = await this.#inTurn(() => this.#currentIssuer());
    const nowMs = this.#now();
    for (const { certificate, intermediate, keyPem } of await this.#leaves.read(sans)) {
      const isGood = !needsRenewal(certificate, nowMs) && isIssuedBy(certificate, intermediate) &&
        isIssuedBy(intermediate, issuer.root.certificate) && isValidAt(intermediate, nowMs);
      if (isGood) return { certificatePem: chainPem(issuer, certificate, intermediate), keyPem };
    }
    const issued = await this.#issue(issuer, sans);
    await this.#leaves.write(sans, issued.certificatePem, issued.keyPem);
    return issued;
  }

  /**
   * A new certificate for DNS names (wildcards too) and IP addresses, over a fresh key; nothing is stored.
   *
   * @throws {X509Error} a name that cannot be certified
   */
  async issue(names: readonly string[]): Promise<IssuedCertificate> {
    const sans = canonicalNames(names);
    return await this.#issue(await this.#inTurn(() => this.#currentIssuer()), sans);
  }

  /**
   * Erases intermediates and leaves that expired two weeks ago or earlier; never a root (acme §14.12).
   *
   * @param mayErase what `ClockWatch` says: with a clock that may be wrong nothing happens
   */
  sweep(mayErase: boolean): Promise<{ intermediates: number; leaves: number }> {
    return this.#inTurn(async () => {
      if (!mayErase) return { intermediates: 0, leaves: 0 };
      const beforeMs = this.#now() - KEEP_EXPIRED_MS;
      const isOfNoUse = ({ notAfterMs }: Certificate): boolean => notAfterMs < beforeMs;
      return {
        intermediates: await this.#store.eraseIntermediates(isOfNoUse),
        leaves: await this.#leaves.erase(isOfNoUse),
      };
    });
  }

  async #issue(issuer: Issuer, names: readonly string[]): Promise<IssuedCertificate> {
    const { intermediate, leaves } = issuer;
    const validity = this.#validity(LEAF_SECONDS, intermediate.certificate);
    const { certificate, keyPem } = await leaves.make(names, validity);
    return { certificatePem: chainPem(issuer, certificate, intermediate.certificate), keyPem };
  }

  async #currentIssuer(): Promise<Issuer> {
    if (!isCurrent(this.#issuer, this.#now())) this.#issuer = await this.#findIssuer();
    return this.#issuer!;
  }

  /** From storage, else made. */
  async #findIssuer(): Promise<Issuer> {
    const nowMs = this.#now();
    const stored = await this.#store.load();
    const root = await this.#findRoot(stored.roots, nowMs);
    const roots = stored.roots.some(({ generation }) => generation === root.generation)
      ? stored.roots
      : [...stored.roots, root];
    const intermediate = await this.#findIntermediate(stored, root, nowMs);
    const crosses = await this.#crosses(roots, root, nowMs);
    return {
      root,
      intermediate,
      leaves: new LeafMaker(intermediate),
      crossesPem: crosses.map((cross) => encodePem("CERTIFICATE", cross.der)).join(""),
      ...constantAround(nowMs, [...roots, { certificate: intermediate.certificate }]),
    };
  }

  /** The newest that is valid, unless it is due. */
  async #findRoot(roots: readonly Authority[], nowMs: number): Promise<Authority> {
    const current = currentRoot(roots, nowMs);
    if (current !== undefined) {
      // Without its key no successor could be introduced to those who trust it.
      const isDue = needsRenewal(current.certificate, nowMs);
      if (!isDue || await this.#store.key(current) === undefined) return current;
    }
    const made = await this.#store.create("root", roots, (keyPem, spki) =>
      makeCertificate({
        kind: "root",
        subject: this.#rootSubject(current),
        spki,
        issuer: { certificate: undefined, keyPem },
        ...this.#validity(ROOT_SECONDS),
      }));
    // Another process's, with another clock?
    return isValidAt(made.certificate, nowMs) ? made : this.#findRoot([...roots, made], nowMs);
  }

  /**
   * Under a root that limits what may be below it (Caddy's, which sotto can take over) only a self-issued certificate
   * is not counted: one of the same name (RFC 5280 §6.1.4 (l)).
   */
  #rootSubject(predecessor: Authority | undefined): string | Uint8Array {
    const year = new Date(this.#now()).getUTCFullYear();
    return predecessor?.certificate.pathLength === undefined
      ? `${this.#name} - ${year} ECC Root`
      : predecessor.certificate.subject;
  }

  async #findIntermediate(
    { intermediates }: Authorities,
    root: Authority,
    nowMs: number,
  ): Promise<CertificateWithKey> {
    for (const stored of intermediates.toReversed()) {
      const { certificate } = stored;
      if (needsRenewal(certificate, nowMs) || !isIssuedBy(certificate, root.certificate)) continue;
      const keyPem = await this.#store.key(stored);
      if (keyPem !== undefined) return { certificate, keyPem };
    }
    const rootKeyPem = await this.#store.key(root);
    if (rootKeyPem === undefined) {
      const where = storageKeyOf(root).replace(/\.crt$/, ".key");
      throw new X509Error(
        `Cannot renew the local CA's intermediate: ${where} in ${this.#storage.description} is missing or not the ` +
          "key of the certificate beside it. Restore it, " +
          "or delete the folder: a new CA is made then, which clients must be told to trust",
      );
    }
    const made = await this.#store.create(
      "intermediate",
      intermediates,
      (_keyPem, spki) =>
        makeCertificate({
          kind: "intermediate",
          subject: `${this.#name} - ECC Intermediate`,
          spki,
          issuer: { certificate: root.certificate, keyPem: rootKeyPem },
          ...this.#validity(INTERMEDIATE_SECONDS, root.certificate),
        }),
    );
    const keyPem = await this.#store.key(made);
    return keyPem !== undefined && isValidAt(made.certificate, nowMs) &&
        isIssuedBy(made.certificate, root.certificate)
      ? { certificate: made.certificate, keyPem }
      : this.#findIntermediate({ roots: [], intermediates: [...intermediates, made] }, root, nowMs);
  }

  /**
   * From the one that issues down to the first one, each certified by the one before it. Also by one that is to begin
   * while a leaf of now is valid: where our clock was set back, the clients' clocks were not.
   */
  async #crosses(
    roots: readonly Authority[],
    issuing: Authority,
    nowMs: number,
  ): Promise<Certificate[]> {
    const older = roots.filter(({ generation, certificate }) =>
      generation < issuing.generation && nowMs < certificate.notAfterMs &&
      nowMs >= beginsToMatterMs(certificate)
    ).toReversed();
    const crosses: Certificate[] = [];
    let above = issuing;
    for (const root of older) {
      const keyPem = await this.#store.key(root);
      const cross = await this.#store.cross(
        above,
        root,
        keyPem === undefined ? undefined : makeCross.bind(undefined, above.certificate, {
          certificate: root.certificate,
          keyPem,
        }),
      );
      if (cross === undefined) break;
      crosses.push(cross);
      above = root;
    }
    return crosses;
  }

  /** From a minute ago, for clients whose clocks are behind; never past the issuer's end or before its beginning. */
  #validity(lifeSeconds: number, issuer?: Certificate): Validity {
    const nowMs = Math.floor(this.#now() / 1000) * 1000;
    const start = nowMs - 60_000;
    const end = nowMs + lifeSeconds * 1000;
    return {
      notBeforeMs: Math.max(start, issuer?.notBeforeMs ?? start),
      notAfterMs: Math.min(end, issuer?.notAfterMs ?? end),
    };
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work);
    this.#queue = result.catch(() => {});
    return result;
  }
}

/** Another root's key and name, certified by `issuer` for as long as both are valid. */
function makeCross(root: Certificate, issuer: CertificateWithKey): Promise<Certificate> {
  return makeCertificate({
    kind: "root",
    subject: root.subject,
    spki: root.spki,
    ...(root.subjectKeyId && { subjectKeyId: root.subjectKeyId }),
    issuer,
    notBeforeMs: Math.max(root.notBeforeMs, issuer.certificate.notBeforeMs),
    notAfterMs: Math.min(root.notAfterMs, issuer.certificate.notAfterMs),
  });
}

/** What leaves are issued with. */
interface Issuer {
  readonly root: Authority;
  readonly intermediate: CertificateWithKey;
  readonly leaves: LeafMaker;
  /** Cross certificates, in the order of the chain. */
  readonly crossesPem: string;
  /** Between these two times, both included, nothing would be chosen otherwise. */
  readonly sinceMs: number;
  readonly untilMs: number;
}

function isCurrent(issuer: Issuer | undefined, nowMs: number): issuer is Issuer {
  return issuer !== undefined && issuer.sinceMs <= nowMs && nowMs <= issuer.untilMs;
}

/** A client whose clock is right may have use for it, however wrong ours is, as long as our leaves are valid there. */
function beginsToMatterMs({ notBeforeMs }: Validity): number {
  return notBeforeMs - LEAF_SECONDS * 1000;
}

/** Validity and renewal change at certain times: the stretch between two of them that `nowMs` lies in. */
function constantAround(
  nowMs: number,
  authorities: readonly { readonly certificate: Certificate }[],
): Pick<Issuer, "sinceMs" | "untilMs"> {
  let [sinceMs, untilMs] = [-Infinity, Infinity];
  for (const { certificate } of authorities) {
    // the first moment of the new state
    const { notBeforeMs, notAfterMs } = certificate;
    const times = [beginsToMatterMs(certificate), notBeforeMs, renewalTimeMs(certificate) + 1];
    for (const change of [...times, notAfterMs]) {
      if (change <= nowMs) sinceMs = Math.max(sinceMs, change);
      else untilMs = Math.min(untilMs, change - 1);
    }
  }
  return { sinceMs, untilMs };
}

function chainPem(issuer: Issuer, leaf: Certificate, intermediate: Certificate): string {
  return encodePem("CERTIFICATE", leaf.der) + encodePem("CERTIFICATE", intermediate.der) +
    issuer.crossesPem;
}

function localRoot(root: Authority): LocalRoot {
  return {
    certificate: root.certificate,
    pem: encodePem("CERTIFICATE", root.certificate.der),
    storageKey: storageKeyOf(root),
  };
}

function canonicalNames(names: readonly string[]): string[] {
  if (names.length === 0) throw new X509Error("Cannot issue a certificate without a name");
  const canonical = names.map((text) => {
    const qualified = qualifyName(text);
    if ("refused" in qualified) {
      throw new X509Error(`Cannot issue a certificate for "${text}": it ${qualified.refused}`);
    }
    return qualified.name;
  });
  return [...new Set(canonical)];
}

const ROOT_SECONDS = 3600 * 86_400;
const INTERMEDIATE_SECONDS = 7 * 86_400;
const LEAF_SECONDS = 12 * 3600;
/** acme §14.12. */
const KEEP_EXPIRED_MS = 14 * 86_400_000;
