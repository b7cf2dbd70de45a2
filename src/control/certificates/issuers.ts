/**
 * What the local CA issues with: a root, an intermediate, and what leads from the one to older roots. Chosen from
 * storage; made where it is missing or due (acme §12.2, §12.4).
 * @module
 */
import type { Certificate } from "../../x509/certificate.ts";
import { X509Error } from "../../x509/error.ts";
import { encodePem } from "../../x509/pem.ts";
import {
  type Authorities,
  type Authority,
  type AuthorityStore,
  isIssuedBy,
  storageKeyOf,
} from "./authorities.ts";
import { type CertificateWithKey, makeCertificate } from "./make.ts";
import { LeafMaker } from "./make-leaf.ts";
import { isValidAt, needsRenewal, renewalTimeMs, type Validity } from "./renewal.ts";

/** What leaves are issued with. */
export interface Issuer {
  readonly root: Authority;
  readonly intermediate: CertificateWithKey;
  readonly leaves: LeafMaker;
  /** Cross certificates, in the order of the chain. */
  readonly crossesPem: string;
  /** Between these two times, both included, nothing would be chosen otherwise. */
  readonly sinceMs: number;
  readonly untilMs: number;
}

export function isCurrent(issuer: Issuer | undefined, nowMs: number): issuer is Issuer {
  return issuer !== undefined && issuer.sinceMs <= nowMs && nowMs <= issuer.untilMs;
}

export interface IssuersParts {
  readonly store: AuthorityStore;
  /** How messages call where it lies. */
  readonly place: string;
  /** The clock: ms since 1970. */
  readonly now: () => number;
  /** Begins the names of authorities. */
  readonly name: string;
}

export class Issuers {
  readonly #store: AuthorityStore;
  readonly #place: string;
  readonly #now: () => number;
  readonly #name: string;

  constructor({ store, place, now, name }: IssuersParts) {
    this.#store = store;
    this.#place = place;
    this.#now = now;
    this.#name = name;
  }

  /** From storage, else made. */
  async find(): Promise<Issuer> {
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
        `Cannot renew the local CA's intermediate: ${where} in ${this.#place} is missing or not the ` +
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

  #validity(lifeSeconds: number, issuer?: Certificate): Validity {
    return validityFrom(this.#now(), lifeSeconds, issuer);
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

/** The one that issues at a time: the newest that is valid then. */
export function currentRoot<R extends { readonly certificate: Certificate }>(
  roots: readonly R[],
  nowMs: number,
): R | undefined {
  return roots.findLast(({ certificate }) => isValidAt(certificate, nowMs));
}

/** From a minute ago, for clients whose clocks are behind; never past the issuer's end or before its beginning. */
export function validityFrom(ms: number, lifeSeconds: number, issuer?: Certificate): Validity {
  const nowMs = Math.floor(ms / 1000) * 1000;
  const start = nowMs - 60_000;
  const end = nowMs + lifeSeconds * 1000;
  return {
    notBeforeMs: Math.max(start, issuer?.notBeforeMs ?? start),
    notAfterMs: Math.min(end, issuer?.notAfterMs ?? end),
  };
}

const ROOT_SECONDS = 3600 * 86_400;
const INTERMEDIATE_SECONDS = 7 * 86_400;
export const LEAF_SECONDS = 12 * 3600;
