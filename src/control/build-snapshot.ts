/**
 * From configuration and storage to the one value that the data plane gets.
 * @module
 */
import type { Config } from "../config/config.ts";
import { DEFAULT_GROUPS, DEFAULT_SITE } from "../config/config.ts";
import { coreLimits } from "../config/limits.ts";
import type { Crypto } from "../crypto/crypto.ts";
import type { SiteCredential } from "../snapshot/credential.ts";
import { type Site, type SiteChange, Snapshot } from "../snapshot/snapshot.ts";
import type { Overlay } from "../snapshot/overlay.ts";
import type { SniTrie } from "../snapshot/sni-trie.ts";
import type { ServerConfig } from "../tls/config.ts";
import type { EchKeySet } from "../tls/ech.ts";
import type { TicketKeys } from "../tls/tickets.ts";
import { CipherSuite } from "../tls/wire/code-points.ts";
import { readLeafKey } from "../x509/leaf-key.ts";
import { sameBytes } from "../x509/certificate.ts";
import { certificateCompression } from "./certificates/compression.ts";
import { stampOf } from "./certificates/file-stamp.ts";
import type { LocalCa } from "./certificates/local-ca.ts";
import {
  buildSite,
  type BuiltSite,
  filesOf,
  staysAsItIs,
  type WantedSite,
} from "./site-builder.ts";

export interface BuilderParts {
  readonly crypto: Crypto;
  readonly localCa: LocalCa;
  readonly keyLog: ((line: string) => void) | undefined;
}

export interface SnapshotWish {
  readonly config: Config;
  /** Undefined: ECH is off. */
  readonly ech: EchKeySet | undefined;
  readonly tickets: TicketKeys;
  readonly nowMs: number;
  /** Certificates of the local CA to be obtained anew. */
  readonly isDue: (credential: SiteCredential) => boolean;
  /** What `changedFiles` found, or "all": look at every one, and refuse what cannot be used. */
  readonly changed: ReadonlySet<WantedSite> | "all";
}

export interface BuiltSnapshot {
  readonly snapshot: Snapshot;
  /** What the operator should hear, each a sentence. */
  readonly warnings: readonly string[];
  /** Those among them that the build before did not have. */
  readonly news: readonly string[];
  /** Those that the local CA issued: they are renewed while sotto runs. */
  readonly managed: readonly SiteCredential[];
}

/** Builds one snapshot after the other, each from the one before: what has not changed is not made again. */
export class SnapshotBuilder {
  readonly #parts: BuilderParts;
  readonly #shared = new SharedCertificates();
  #sites: ReadonlyMap<string, BuiltSite> = new Map();
  #wish: SnapshotWish | undefined;
  #built: BuiltSnapshot | undefined;

  constructor(parts: BuilderParts) {
    this.#parts = parts;
  }

  /** Sites that have files which are not as they were when they were read. */
  async changedFiles(): Promise<Set<WantedSite>> {
    const changed = new Set<WantedSite>();
    for (const { wanted, stamp, hasFiles } of this.#sites.values()) {
      if (hasFiles && await stampOf(filesOf(wanted)) !== stamp) changed.add(wanted);
    }
    return changed;
  }

  /**
   * With an error everything is as it was.
   *
   * @throws {X509Error} an operator's file cannot be used; the message names it
   * @throws {StorageError}
   */
  async build(wish: SnapshotWish): Promise<BuiltSnapshot> {
    const { config, nowMs, isDue, changed } = wish;
    const isSameConfig = changed !== "all" && this.#wish?.config === config;
    const before = this.#sites;
    const after = new Map<string, BuiltSite>();
    const sources = { ...this.#parts, share: this.#shared.share };
    const pace = new Pace();
    for (const [key, wanted] of isSameConfig ? wantedOf(before) : wantedSites(config)) {
      const old = before.get(key);
      const siteWish = {
        nowMs,
        isDue,
        haveFilesChanged: changed === "all" || (old !== undefined && changed.has(old.wanted)),
        otherwise: changed === "all" ? "refuse" as const : "keep" as const,
      };
      const isSame = old !== undefined && staysAsItIs(old, siteWish);
      after.set(key, isSame ? old : await buildSite(sources, wanted, old, siteWish));
      if (pace.isOver) await pace.rest();
    }
    const managed: SiteCredential[] = [];
    const warnings: string[] = [];
    const changes: SiteChange[] = [];
    let longestFlight = 0;
    for (const [key, built] of after) {
      managed.push(...built.managed);
      warnings.push(...built.warnings);
      longestFlight = Math.max(longestFlight, built.flightLength);
      const old = before.get(key);
      if (old !== built) changes.push(...changesBetween(old?.sites ?? [], built.sites));
      if (pace.isOver) await pace.rest();
    }
    for (const [key, { sites }] of isSameConfig ? [] : before) {
      if (!after.has(key)) changes.push(...changesBetween(sites, []));
      if (pace.isOver) await pace.rest();
    }
    const known = new Set(this.#built?.warnings);
    const built = {
      snapshot: this.#snapshot(config, this.#server(wish, longestFlight), changes),
      warnings,
      news: warnings.filter((warning) => !known.has(warning)),
      managed,
    };
    this.#sites = after;
    this.#wish = wish;
    return this.#built = built;
  }

  /** The last snapshot over a new base of names. */
  rebase(base: SniTrie, folded: Overlay): BuiltSnapshot {
    const built = this.#built!;
    return this.#built = { ...built, snapshot: built.snapshot.withBase(base, folded), news: [] };
  }

  #snapshot(
    { defaultSni, fallbackSni }: Config,
    server: ServerConfig,
    changes: readonly SiteChange[],
  ): Snapshot {
    const parts = { server, defaultSni, fallbackSni };
    if (this.#built !== undefined) return this.#built.snapshot.with(changes, parts);
    return new Snapshot({ ...parts, sites: changes.map(([, site]) => site!) });
  }

  /** The same object where nothing has changed. */
  #server(wish: SnapshotWish, longestFlight: number): ServerConfig {
    const { config, ech, tickets } = wish;
    const padding = config.ech.enabled ? flightPadding(longestFlight) : 0;
    const last = this.#built?.snapshot.server;
    const isSame = last?.ech === ech && last?.tickets === tickets &&
      last?.flightPadding === padding && this.#wish?.config === config;
    return isSame ? last! : serverConfig({ ...this.#parts, config, ech, tickets }, padding);
  }
}

/** Lets the loop have its turn: sites are many, and connections must not wait for them. */
class Pace {
  #since = performance.now();

  get isOver(): boolean {
    return performance.now() - this.#since > TURN_MS;
  }

  async rest(): Promise<void> {
    await new Promise<void>((resolve) => setImmediate(resolve));
    this.#since = performance.now();
  }
}

const TURN_MS = 2;

function* wantedOf(sites: ReadonlyMap<string, BuiltSite>): Generator<[string, WantedSite]> {
  for (const [key, { wanted }] of sites) yield [key, wanted];
}

/**
 * Each by what tells it from every other one. policy §6.9: the public name has a certificate, but no site; unless it
 * is one as well.
 */
function* wantedSites(
  { sites, ech: { enabled, publicName } }: Config,
): Generator<[string, WantedSite]> {
  for (const site of sites) {
    const wanted = { ...site, publicNameOnly: false };
    yield [JSON.stringify(wanted), wanted];
  }
  if (!enabled || sites.some(({ names }) => names.includes(publicName))) return;
  const handler = { kind: "respond", text: "" } as const;
  const wanted = { ...DEFAULT_SITE, names: [publicName], handler, publicNameOnly: true };
  yield [JSON.stringify(wanted), wanted];
}

/** Of one [[site]], which may have come apart in another way. */
function changesBetween(before: readonly Site[], after: readonly Site[]): SiteChange[] {
  const isSameShape = before.length === after.length &&
    after.every(({ names }, i) => names.join() === before[i]!.names.join());
  if (isSameShape) return before.map((site, i) => [site, after[i]]);
  return [
    ...before.map((site): SiteChange => [site, undefined]),
    ...after.map((site): SiteChange => [undefined, site]),
  ];
}

/**
 * One size for the encrypted flight of every site, so that it does not tell which one it is (ech-server §10): room for
 * the longest chain, CertificateRequest and signature, in steps of 1 KiB.
 */
function flightPadding(longestFlight: number): number {
  return Math.ceil((longestFlight + REST_OF_FLIGHT) / 1024) * 1024;
}

/** EncryptedExtensions, the headers, CertificateVerify of a 4096-bit RSA key, Finished; the rest is rounding. */
const REST_OF_FLIGHT = 700;

export interface ServerParts extends Omit<BuilderParts, "localCa"> {
  readonly config: Config;
  readonly ech: EchKeySet | undefined;
  readonly tickets: TicketKeys;
}

export function serverConfig(parts: ServerParts, flightPadding: number): ServerConfig {
  const { config, crypto, ech, tickets, keyLog } = parts;
  return {
    crypto,
    limits: coreLimits(config.limits),
    suites: SUITES,
    groups: DEFAULT_GROUPS,
    ech,
    tickets,
    flightPadding,
    ...certificateCompression(),
    readCertificate: readLeafKey,
    strictOuterSni: config.ech.strictOuterSni,
    greaseHelloRetry: config.ech.greaseHelloRetry,
    keepExporterSecret: false,
    keyLog,
  };
}

const SUITES = [
  CipherSuite.TLS_AES_128_GCM_SHA256,
  CipherSuite.TLS_AES_256_GCM_SHA384,
  CipherSuite.TLS_CHACHA20_POLY1305_SHA256,
];

/** One copy of each intermediate, however many chains it is in. */
class SharedCertificates {
  readonly #byEnd = new Map<string, Uint8Array>();

  readonly share = (der: Uint8Array): Uint8Array => {
    // The end of a certificate is its signature.
    const key = String.fromCharCode(...der.subarray(-32));
    const known = this.#byEnd.get(key);
    if (known !== undefined && sameBytes(known, der)) return known;
    if (this.#byEnd.size >= MAX_SHARED) this.#byEnd.clear();
    this.#byEnd.set(key, der);
    return der;
  };
}

const MAX_SHARED = 1024;
