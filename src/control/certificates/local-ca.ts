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
import { type Authority, AuthorityStore, isIssuedBy, storageKeyOf } from "./authorities.ts";
import { isCurrent, type Issuer, Issuers, LEAF_SECONDS, validityFrom } from "./issuers.ts";
import { LeafRecords } from "./leaf-records.ts";
import { isValidAt, LOOK_EVERY_MS, needsRenewal, renewalTimeMs, type Validity } from "./renewal.ts";

export { currentRoot } from "./issuers.ts";
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

export class LocalCa {
  readonly #store: AuthorityStore;
  readonly #issuers: Issuers;
  readonly #leaves: LeafRecords;
  readonly #now: () => number;
  #issuer: Issuer | undefined;
  /** Of root and intermediate one at a time: two at once would make two of everything. */
  #queue: Promise<unknown> = Promise.resolve();

  constructor({ storage, now, name = "sotto Local Authority" }: LocalCaOptions) {
    const store = this.#store = new AuthorityStore(storage);
    this.#issuers = new Issuers({ store, place: storage.description, now, name });
    this.#leaves = new LeafRecords(storage);
    this.#now = now;
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
      const { root, crossesPem, intermediate } = this.#issuer = await this.#issuers.find();
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
    const validity = validityFrom(this.#now(), LEAF_SECONDS, intermediate.certificate);
    const { certificate, keyPem } = await leaves.make(names, validity);
    return { certificatePem: chainPem(issuer, certificate, intermediate.certificate), keyPem };
  }

  async #currentIssuer(): Promise<Issuer> {
    if (!isCurrent(this.#issuer, this.#now())) this.#issuer = await this.#issuers.find();
    return this.#issuer!;
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work);
    this.#queue = result.catch(() => {});
    return result;
  }
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

/** acme §14.12. */
const KEEP_EXPIRED_MS = 14 * 86_400_000;
