/**
 * From configuration and storage to the one value that the data plane gets.
 * @module
 */
import type { Config } from "../config/config.ts";
import { DEFAULT_GROUPS, DEFAULT_SITE } from "../config/config.ts";
import { coreLimits } from "../config/limits.ts";
import type { Crypto } from "../crypto/crypto.ts";
import type { SiteCredential } from "../snapshot/credential.ts";
import { type SiteChange, Snapshot } from "../snapshot/snapshot.ts";
import type { ServerConfig } from "../tls/config.ts";
import type { EchKeySet } from "../tls/ech.ts";
import type { TicketKeys } from "../tls/tickets.ts";
import { CipherSuite } from "../tls/wire/code-points.ts";
import { readLeafKey } from "../x509/leaf-key.ts";
import { sameBytes } from "../x509/certificate.ts";
import { certificateCompression } from "./certificates/compression.ts";
import { stampOf } from "./certificates/file-stamp.ts";
import type { LocalCa } from "./certificates/local-ca.ts";
import { buildSite, type BuiltSite, filesOf, type WantedSite } from "./site-builder.ts";

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
    for (const { wanted, stamp } of this.#sites.values()) {
      const files = filesOf(wanted);
      if (files.length > 0 && await stampOf(files) !== stamp) changed.add(wanted);
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
    const sites = new Map<string, BuiltSite>();
    const sources = { ...this.#parts, share: this.#shared.share };
    for (const wanted of wantedSites(config)) {
      const key = keyOf(wanted);
      const before = this.#sites.get(key);
      const built = await buildSite(sources, wanted, before, {
        nowMs,
        isDue,
        haveFilesChanged: changed === "all" || (before !== undefined && changed.has(before.wanted)),
        otherwise: changed === "all" ? "refuse" : "keep",
      });
      sites.set(key, built);
    }
    const server = this.#server(wish, [...sites.values()]);
    const warnings = [...sites.values()].flatMap((site) => site.warnings);
    const known = new Set(this.#built?.warnings);
    const built = {
      snapshot: this.#snapshot(config, server, sites),
      warnings,
      news: warnings.filter((warning) => !known.has(warning)),
      managed: [...sites.values()].flatMap((site) => site.managed),
    };
    this.#sites = sites;
    this.#wish = wish;
    return this.#built = built;
  }

  #snapshot(
    { defaultSni, fallbackSni }: Config,
    server: ServerConfig,
    sites: ReadonlyMap<string, BuiltSite>,
  ): Snapshot {
    const parts = { server, defaultSni, fallbackSni };
    if (this.#built !== undefined) {
      return this.#built.snapshot.with(changesBetween(this.#sites, sites), parts);
    }
    return new Snapshot({ ...parts, sites: [...sites.values()].flatMap((built) => built.sites) });
  }

  /** The same object where nothing has changed. */
  #server(wish: SnapshotWish, sites: readonly BuiltSite[]): ServerConfig {
    const { config, ech, tickets } = wish;
    const padding = config.ech.enabled ? flightPadding(sites) : 0;
    const last = this.#built?.snapshot.server;
    const isSame = last?.ech === ech && last?.tickets === tickets &&
      last?.flightPadding === padding && this.#wish?.config === config;
    return isSame ? last! : serverConfig({ ...this.#parts, config, ech, tickets }, padding);
  }
}

/** policy §6.9: the public name has a certificate, but no site; unless it is one as well. */
function wantedSites({ sites, ech: { enabled, publicName } }: Config): WantedSite[] {
  const wanted = sites.map((site) => ({ ...site, publicNameOnly: false }));
  if (!enabled || sites.some(({ names }) => names.includes(publicName))) return wanted;
  const handler = { kind: "respond", text: "" } as const;
  const groups = DEFAULT_GROUPS;
  return [
    ...wanted,
    { ...DEFAULT_SITE, names: [publicName], handler, groups, publicNameOnly: true },
  ];
}

function keyOf(wanted: WantedSite): string {
  return JSON.stringify(wanted);
}

function changesBetween(
  before: ReadonlyMap<string, BuiltSite>,
  after: ReadonlyMap<string, BuiltSite>,
): SiteChange[] {
  const changes: SiteChange[] = [];
  for (const [key, { sites }] of before) {
    const next = after.get(key)?.sites ?? [];
    if (next === sites) continue;
    // The same [[site]] may have come apart in another way.
    const isSameShape = next.length === sites.length &&
      next.every(({ names }, i) => names.join() === sites[i]!.names.join());
    for (const [i, site] of sites.entries()) {
      changes.push([site, isSameShape ? next[i] : undefined]);
    }
    if (!isSameShape) { for (const site of next) changes.push([undefined, site]); }
  }
  for (const [key, { sites }] of after) {
    if (!before.has(key)) { for (const site of sites) changes.push([undefined, site]); }
  }
  return changes;
}

/**
 * One size for the encrypted flight of every site, so that it does not tell which one it is (ech-server §10): room for
 * the longest chain and signature, in steps of 1 KiB.
 */
function flightPadding(sites: readonly BuiltSite[]): number {
  let longest = 0;
  for (const { chainLength } of sites) longest = Math.max(longest, chainLength);
  return Math.ceil((longest + REST_OF_FLIGHT) / 1024) * 1024;
}

/** EncryptedExtensions, the headers, CertificateVerify of a 4096-bit RSA key, Finished. */
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
    greaseHelloRetry: true,
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
