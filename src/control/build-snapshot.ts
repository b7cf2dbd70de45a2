/**
 * From configuration and storage to the one value that the data plane gets.
 * @module
 */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";

import type { CertificateFiles, Config, SiteOptions } from "../config/config.ts";
import { DEFAULT_GROUPS } from "../config/config.ts";
import { coreLimits } from "../config/limits.ts";
import type { Crypto } from "../crypto/crypto.ts";
import {
  credentialFromPem,
  orderCredentials,
  type SiteCredential,
} from "../snapshot/credential.ts";
import { type HandlerSpec, type Site, Snapshot } from "../snapshot/snapshot.ts";
import type { ClientAuth, ServerConfig, SiteConfig } from "../tls/config.ts";
import type { EchKeySet } from "../tls/ech.ts";
import type { TicketKeys } from "../tls/tickets.ts";
import { CipherSuite } from "../tls/wire/code-points.ts";
import { type ClientPool, clientPoolFromPem } from "../x509/chain.ts";
import { X509Error } from "../x509/error.ts";
import { readLeafKey } from "../x509/leaf-key.ts";
import { certificateCompression } from "./certificates/compression.ts";
import { loadCertificateFiles } from "./certificates/files.ts";
import type { LocalCa } from "./certificates/local-ca.ts";

export interface SnapshotSources {
  readonly config: Config;
  readonly crypto: Crypto;
  readonly localCa: LocalCa;
  /** Undefined: ECH is off. */
  readonly ech: EchKeySet | undefined;
  readonly tickets: TicketKeys;
  readonly nowMs: number;
  readonly keyLog: ((line: string) => void) | undefined;
}

export interface BuiltSnapshot {
  readonly snapshot: Snapshot;
  /** What the operator should hear, each a sentence. */
  readonly warnings: readonly string[];
  /** Those that the local CA issued: they are renewed while sotto runs. */
  readonly managed: readonly SiteCredential[];
}

/**
 * @throws {X509Error} an operator's file cannot be used; the message names it
 * @throws {StorageError}
 */
export async function buildSnapshot(sources: SnapshotSources): Promise<BuiltSnapshot> {
  const { config } = sources;
  const sites: Site[] = [];
  const warnings: string[] = [];
  const managed: SiteCredential[] = [];
  const build = new SiteBuilder(sources, managed, warnings);
  for (const options of config.sites) sites.push(...await build.sites(options));
  const { enabled, publicName } = config.ech;
  const isSite = config.sites.some((site) => site.names.includes(publicName));
  if (enabled && !isSite) sites.push(await build.publicName(publicName));
  const server = serverConfig(sources, enabled ? flightPadding(sites) : 0);
  return { snapshot: new Snapshot({ server, sites }), warnings, managed };
}

class SiteBuilder {
  readonly #sources: SnapshotSources;
  readonly #managed: SiteCredential[];
  readonly #warnings: string[];

  constructor(sources: SnapshotSources, managed: SiteCredential[], warnings: string[]) {
    this.#sources = sources;
    this.#managed = managed;
    this.#warnings = warnings;
  }

  /**
   * One site as configured; several where its names have different credentials. A supplied certificate covers its own
   * names alone, the others are the local CA's (policy §1.4).
   */
  async sites(options: SiteOptions): Promise<Site[]> {
    const supplied = await Promise.all(options.certificates.map((files) => this.#supplied(files)));
    const pool = await this.#clientPool(options.clientAuth?.ca ?? []);
    const clientAuth = options.clientAuth &&
      { mode: options.clientAuth.mode, authorities: pool.authorities, pool };
    const sites: Site[] = [];
    for (const [credentials, names] of this.#namesByCredentials(options.names, supplied)) {
      const own = credentials.length > 0 ? credentials : [await this.#local(names)];
      sites.push({
        names,
        tls: siteConfig(options, orderCredentials(own, this.#sources.nowMs), clientAuth),
        handler: handlerSpec(options),
        publicNameOnly: false,
      });
    }
    return sites;
  }

  /** policy §6.9: a certificate, but no site. */
  async publicName(name: string): Promise<Site> {
    const options = { names: [name], alpn: undefined, groups: DEFAULT_GROUPS };
    return {
      names: [name],
      tls: siteConfig(options, [await this.#local([name])], undefined),
      handler: { kind: "respond", text: "" },
      publicNameOnly: true,
    };
  }

  async #supplied({ certificate, key }: CertificateFiles): Promise<SiteCredential> {
    const files = { certificateFile: certificate, keyFile: key };
    const { crypto, nowMs } = this.#sources;
    const { credential, warnings } = await loadCertificateFiles(crypto, files, nowMs);
    this.#warnings.push(...warnings);
    return credential;
  }

  async #local(names: readonly string[]): Promise<SiteCredential> {
    const { certificatePem, keyPem } = await this.#sources.localCa.obtain(names);
    const id = `local:${names[0]}`;
    const credential = credentialFromPem(this.#sources.crypto, { id, certificatePem, keyPem });
    this.#managed.push(credential);
    return credential;
  }

  #namesByCredentials(
    names: readonly string[],
    supplied: readonly SiteCredential[],
  ): Iterable<[SiteCredential[], string[]]> {
    const groups = new Map<string, [SiteCredential[], string[]]>();
    for (const name of names) {
      // A wildcard site is covered by the same wildcard alone.
      const fitting = supplied.filter((credential) =>
        name.startsWith("*.") ? credential.names.includes(name) : credential.covers(name)
      );
      const key = fitting.map((credential) => supplied.indexOf(credential)).join();
      const group = groups.get(key);
      if (group === undefined) groups.set(key, [fitting, [name]]);
      else group[1].push(name);
      if (supplied.length > 0 && fitting.length === 0) {
        this.#warnings.push(
          `No certificate given for ${name} covers it: the local CA issues one, which only clients with its root trust`,
        );
      }
    }
    return groups.values();
  }

  async #clientPool(files: readonly string[]): Promise<ClientPool> {
    const pools = await Promise.all(files.map(loadClientPool));
    return {
      anchors: pools.flatMap((pool) => pool.anchors),
      authorities: pools.flatMap((pool) => pool.authorities),
    };
  }
}

async function loadClientPool(file: string): Promise<ClientPool> {
  try {
    return clientPoolFromPem(await readFile(file, "utf8"));
  } catch (cause) {
    throw new X509Error(`Cannot use the CA file ${file}: ${(cause as Error).message}`, { cause });
  }
}

function siteConfig(
  options: Pick<SiteOptions, "names" | "alpn" | "groups">,
  credentials: readonly SiteCredential[],
  clientAuth: ClientAuth | undefined,
): SiteConfig {
  const alpn = options.alpn ?? HTTP_PROTOCOLS;
  return {
    policyId: policyId(clientAuth),
    credentials,
    alpn: alpn.length === 0 ? undefined : alpn,
    groups: options.groups,
    clientAuth,
    // policy §7.3
    tickets: clientAuth === undefined,
  };
}

function handlerSpec(options: SiteOptions): HandlerSpec {
  return options.respond === undefined
    ? { kind: "app", app: "welcome" }
    : { kind: "respond", text: options.respond };
}

/** Tickets are bound to it: the same after a restart, another where client authentication changes. */
function policyId(clientAuth: ClientAuth | undefined): number {
  if (clientAuth === undefined) return 0;
  const hash = createHash("sha256").update(clientAuth.mode);
  for (const name of clientAuth.authorities) hash.update(name);
  return hash.digest().readUInt32BE();
}

/**
 * One size for the encrypted flight of every site, so that it does not tell which one it is (ech-server §10): room for
 * the longest chain and signature, in steps of 1 KiB.
 */
function flightPadding(sites: readonly Site[]): number {
  const chains = sites.flatMap((site) => site.tls.credentials).map(({ chain }) =>
    chain.reduce((total, certificate) => total + certificate.length + ENTRY_OVERHEAD, 0)
  );
  return Math.ceil((Math.max(...chains) + REST_OF_FLIGHT) / 1024) * 1024;
}

/** Length and extensions of a CertificateEntry. */
const ENTRY_OVERHEAD = 5;
/** EncryptedExtensions, the headers, CertificateVerify of a 4096-bit RSA key, Finished. */
const REST_OF_FLIGHT = 700;

function serverConfig(sources: SnapshotSources, flightPadding: number): ServerConfig {
  const { config, crypto, ech, tickets, keyLog } = sources;
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
    strictOuterSni: false,
    greaseHelloRetry: true,
    keepExporterSecret: false,
    keyLog,
  };
}

/** What the handlers speak. */
const HTTP_PROTOCOLS = ["http/1.1"];

const SUITES = [
  CipherSuite.TLS_AES_128_GCM_SHA256,
  CipherSuite.TLS_AES_256_GCM_SHA384,
  CipherSuite.TLS_CHACHA20_POLY1305_SHA256,
];
