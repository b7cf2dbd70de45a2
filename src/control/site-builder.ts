/**
 * One site of the configuration as the snapshot has it: with its certificates, from files or from the local CA.
 * @module
 */
import { createHash } from "node:crypto";

import type { SiteOptions } from "../config/config.ts";
import type { Crypto } from "../crypto/crypto.ts";
import { SiteClientAuth } from "../snapshot/client-auth.ts";
import {
  credentialFromPem,
  orderCredentials,
  type SiteCredential,
} from "../snapshot/credential.ts";
import type { Site } from "../snapshot/snapshot.ts";
import type { ClientAuth, SiteConfig } from "../tls/config.ts";
import { X509Error } from "../x509/error.ts";
import { stampOf } from "./certificates/file-stamp.ts";
import type { LocalCa } from "./certificates/local-ca.ts";
import { loadSiteFiles, type SiteFiles } from "./certificates/site-files.ts";

export interface SiteSources {
  readonly crypto: Crypto;
  readonly localCa: LocalCa;
  /** One copy of equal certificates. */
  readonly share: (der: Uint8Array) => Uint8Array;
}

/** The options of one [[site]], or of the ECH public name. */
export interface WantedSite extends SiteOptions {
  readonly publicNameOnly: boolean;
}

/** What came of one [[site]]: several sites where its names have different certificates. */
export interface BuiltSite {
  readonly wanted: WantedSite;
  readonly sites: readonly Site[];
  /** Those that the local CA issued: they are renewed while sotto runs. */
  readonly managed: readonly SiteCredential[];
  /** What the operator should hear, each a sentence. */
  readonly warnings: readonly string[];
  readonly files: SiteFiles;
  readonly hasFiles: boolean;
  /** Of the files when they were read. */
  readonly stamp: string;
  /** False: they could not be used, and `files` is what was read before. */
  readonly isUpToDate: boolean;
  /** From then on a certificate has expired that had not: another one may be the better. */
  readonly orderedUntilMs: number;
  /** Of what differs from site to site: the longest chain in a Certificate message, and the CertificateRequest. */
  readonly flightLength: number;
}

export interface SiteWish {
  readonly nowMs: number;
  /** To be obtained anew. */
  readonly isDue: (credential: SiteCredential) => boolean;
  /** Its files have another stamp. */
  readonly haveFilesChanged: boolean;
  /** A file that cannot be used: keep what was read before, or refuse. */
  readonly otherwise: "keep" | "refuse";
}

/**
 * The same object where nothing has changed.
 *
 * @throws {X509Error} an operator's file cannot be used; the message names it
 * @throws {StorageError}
 */
export async function buildSite(
  sources: SiteSources,
  wanted: WantedSite,
  before: BuiltSite | undefined,
  wish: SiteWish,
): Promise<BuiltSite> {
  const { nowMs, isDue } = wish;
  if (before !== undefined && staysAsItIs(before, wish)) return before;
  const read = await readFiles(sources, wanted, before, wish);
  const { files } = read;
  const isSame = before !== undefined && files === before.files && read.stamp === before.stamp &&
    read.isUpToDate === before.isUpToDate &&
    nowMs < before.orderedUntilMs && !before.managed.some(isDue);
  if (isSame) return before;

  const managed: SiteCredential[] = [];
  const obtain = async (names: readonly string[]): Promise<SiteCredential> => {
    const id = `local:${names[0]}`;
    const old = before?.managed.find((credential) => credential.id === id && !isDue(credential));
    const credential = old ?? await localCredential(sources, id, names);
    managed.push(credential);
    return credential;
  };
  const clientAuth = wanted.clientAuth && files.clientPool &&
    new SiteClientAuth(wanted.clientAuth.mode, files.clientPool);
  const sites: Site[] = [];
  for (const { names, credentials } of files.parts) {
    const own = isIssued(wanted, names, credentials)
      ? [...credentials, await obtain(names)]
      : credentials;
    sites.push({
      names,
      tls: siteConfig(wanted, orderCredentials(own, nowMs), clientAuth),
      handler: wanted.handler,
      publicNameOnly: wanted.publicNameOnly,
      ...(wanted.requireEch && { requireEch: true }),
      ...(wanted.hosts && { hosts: wanted.hosts }),
    });
  }
  const all = sites.flatMap((site) => site.tls.credentials);
  const ends = all.map((credential) => credential.notAfterMs).filter((ms) => ms > nowMs);
  return {
    wanted,
    sites,
    managed,
    files,
    hasFiles: filesOf(wanted).length > 0,
    stamp: read.stamp,
    isUpToDate: read.isUpToDate,
    warnings: read.warnings,
    orderedUntilMs: Math.min(...ends),
    flightLength: Math.max(0, ...all.map(chainLength)) + requestLength(clientAuth),
  };
}

/** By the local CA: what files do not cover, or all of it where that is wished (policy §1.3, §1.4). */
function isIssued(
  { handler, automation }: WantedSite,
  names: readonly string[],
  supplied: readonly SiteCredential[],
): boolean {
  if (handler.kind === "passthrough") return false;
  const without = automation.noCertificates;
  const left = without === true ? names : names.filter((name) => without.includes(name));
  if (left.length === 0) return supplied.length === 0 || automation.ignoreLoaded;
  if (supplied.length > 0) return false;
  throw new X509Error(
    `There is no certificate for ${
      left.join(", ")
    }: auto_https lets none be issued, and no file of the site covers it`,
  );
}

/** Nothing of it is to be looked at. */
export function staysAsItIs(
  { managed, orderedUntilMs }: BuiltSite,
  { nowMs, isDue, haveFilesChanged }: SiteWish,
): boolean {
  return !haveFilesChanged && nowMs < orderedUntilMs && !managed.some(isDue);
}

/** All files that a site is made from. */
export function filesOf({ certificates, clientAuth }: SiteOptions): string[] {
  const pairs = certificates.flatMap(({ certificate, key }) => [certificate, key]);
  return [...pairs.filter((path) => !path.startsWith("env:")), ...clientAuth?.ca ?? []];
}

async function readFiles(
  { crypto, share }: SiteSources,
  wanted: WantedSite,
  before: BuiltSite | undefined,
  { nowMs, haveFilesChanged, otherwise }: SiteWish,
): Promise<Pick<BuiltSite, "files" | "stamp" | "isUpToDate" | "warnings">> {
  if (before !== undefined && !haveFilesChanged) return before;
  // Before they are read: what changes meanwhile is seen at the next look.
  const stamp = await stampOf(filesOf(wanted));
  if (before?.stamp === stamp && before.isUpToDate) return before;
  try {
    const files = await loadSiteFiles(crypto, wanted, nowMs, share);
    return { files, stamp, isUpToDate: true, warnings: files.warnings };
  } catch (error) {
    if (!(error instanceof X509Error) || before === undefined || otherwise === "refuse") {
      throw error;
    }
    const warning = `${error.message}. What was read before goes on serving`;
    return { files: before.files, stamp, isUpToDate: false, warnings: [warning] };
  }
}

async function localCredential(
  { localCa, crypto, share }: SiteSources,
  id: string,
  names: readonly string[],
): Promise<SiteCredential> {
  const { certificatePem, keyPem } = await localCa.obtain(names);
  return credentialFromPem(crypto, { id, certificatePem, keyPem, share });
}

function siteConfig(
  options: SiteOptions,
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

function chainLength({ chain }: SiteConfig["credentials"][number]): number {
  return chain.reduce((total, certificate) => total + certificate.length + ENTRY_OVERHEAD, 0);
}

/** A CertificateRequest: its fixed part, and the names of the CAs it lists (RFC 9846 §4.4.2). */
function requestLength(clientAuth: SiteConfig["clientAuth"]): number {
  if (clientAuth === undefined) return 0;
  return clientAuth.authorities.reduce((total, name) => total + 2 + name.length, 64);
}

/** Length and extensions of a CertificateEntry. */
const ENTRY_OVERHEAD = 5;

/** What the handlers speak. */
const HTTP_PROTOCOLS = ["http/1.1"];
