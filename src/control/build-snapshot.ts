/**
 * From configuration and storage to the one value that the data plane gets.
 * @module
 */
import { createHash } from "node:crypto";

import type { Config, SiteOptions } from "../config/config.ts";
import { DEFAULT_GROUPS } from "../config/config.ts";
import { coreLimits } from "../config/limits.ts";
import type { Crypto } from "../crypto/crypto.ts";
import {
  credentialFromPem,
  orderCredentials,
  type SiteCredential,
} from "../snapshot/credential.ts";
import { type Site, Snapshot } from "../snapshot/snapshot.ts";
import type { ClientAuth, ServerConfig, SiteConfig } from "../tls/config.ts";
import type { EchKeySet } from "../tls/ech.ts";
import type { TicketKeys } from "../tls/tickets.ts";
import { CipherSuite } from "../tls/wire/code-points.ts";
import { readLeafKey } from "../x509/leaf-key.ts";
import { SiteClientAuth } from "../snapshot/client-auth.ts";
import { certificateCompression } from "./certificates/compression.ts";
import type { LocalCa } from "./certificates/local-ca.ts";
import { loadSiteFiles } from "./certificates/site-files.ts";

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
  const { config, crypto, nowMs } = sources;
  const sites: Site[] = [];
  const warnings: string[] = [];
  const managed: SiteCredential[] = [];
  const local = async (names: readonly string[]): Promise<SiteCredential> => {
    const credential = await localCredential(sources, names);
    managed.push(credential);
    return credential;
  };

  for (const options of config.sites) {
    const files = await loadSiteFiles(crypto, options, nowMs);
    warnings.push(...files.warnings);
    const clientAuth = options.clientAuth && files.clientPool &&
      new SiteClientAuth(options.clientAuth.mode, files.clientPool);
    for (const { names, credentials } of files.parts) {
      const own = credentials.length > 0 ? credentials : [await local(names)];
      sites.push({
        names,
        tls: siteConfig(options, orderCredentials(own, nowMs), clientAuth),
        handler: options.handler,
        publicNameOnly: false,
      });
    }
  }
  const { enabled, publicName } = config.ech;
  // policy §6.9: a certificate, but no site; unless it is one as well.
  if (enabled && !config.sites.some((site) => site.names.includes(publicName))) {
    const credentials = [await local([publicName])];
    sites.push({
      names: [publicName],
      tls: siteConfig({ alpn: undefined, groups: DEFAULT_GROUPS }, credentials, undefined),
      handler: { kind: "respond", text: "" },
      publicNameOnly: true,
    });
  }
  const server = serverConfig(sources, enabled ? flightPadding(sites) : 0);
  return { snapshot: new Snapshot({ server, sites }), warnings, managed };
}

async function localCredential(
  { localCa, crypto }: SnapshotSources,
  names: readonly string[],
): Promise<SiteCredential> {
  const { certificatePem, keyPem } = await localCa.obtain(names);
  return credentialFromPem(crypto, { id: `local:${names[0]}`, certificatePem, keyPem });
}

function siteConfig(
  options: Pick<SiteOptions, "alpn" | "groups">,
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
