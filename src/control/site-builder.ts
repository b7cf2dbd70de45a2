/**
 * One site of the configuration as the snapshot has it: with its certificates, from files or from the local CA.
 * @module
 */
import { createHash } from "node:crypto";
import process from "node:process";

import type { SiteOptions } from "../config/config.ts";
import type { Crypto } from "../crypto/crypto.ts";
import { SiteClientAuth } from "../snapshot/client-auth.ts";
import { credentialFromPem, orderCredentials, SiteCredential } from "../snapshot/credential.ts";
import { localId } from "../snapshot/site-bytes.ts";
import type { ReadFiles, Site, SiteOrigin } from "../snapshot/snapshot.ts";
import type { ClientAuth, SiteConfig } from "../tls/config.ts";
import { X509Error } from "../x509/error.ts";
import { stampOf } from "./certificates/file-stamp.ts";
import type { LocalCa } from "./certificates/local-ca.ts";
import { needsRenewal, renewalTimeMs } from "./certificates/renewal.ts";
import { loadSiteFiles } from "./certificates/site-files.ts";
import type { WantedSite } from "./site-keys.ts";

export interface SiteSources {
  readonly crypto: Crypto;
  readonly localCa: LocalCa;
  /** One copy of equal certificates. */
  readonly share: (der: Uint8Array) => Uint8Array;
}

export interface SiteWish {
  readonly key: number;
  readonly nowMs: number;
  /** What came of the same [[site]] before. */
  readonly before: readonly Site[];
  /** A file that cannot be used: keep what was read before, or refuse. */
  readonly otherwise: "keep" | "refuse";
  /** Read the files though they are as they were: what is said of them depends on the time. Default: false. */
  readonly anew?: boolean;
  /** Of those that the local CA issued, which are to be obtained anew. Default: those whose time has come. */
  readonly isDue?: IsDue | undefined;
}

type IsDue = (credential: SiteCredential) => boolean;

/**
 * What comes of one [[site]]: several sites where its names have different certificates. `before` where its files are
 * as they were.
 *
 * @throws {X509Error} an operator's file cannot be used; the message names it
 * @throws {StorageError}
 */
export async function makeSites(
  sources: SiteSources,
  wanted: WantedSite,
  { key, nowMs, before, otherwise, anew = false, isDue = timeHasCome(nowMs) }: SiteWish,
): Promise<readonly Site[]> {
  // Before they are read: what changes meanwhile is seen at the next look.
  const stamp = await filesStamp(wanted);
  const old = before[0]?.files;
  const isSame = before.length > 0 && (old?.stamp ?? "") === stamp && old?.isUpToDate !== false;
  if (isSame && !anew) return before;
  try {
    return await readSites(sources, wanted, { key, nowMs, before, stamp, isDue });
  } catch (error) {
    const isKept = error instanceof X509Error && before.length > 0 && otherwise === "keep";
    if (!isKept) throw error;
    const warnings = [`${error.message}. What was read before goes on serving`];
    return await Promise.all(before.map((site, i) => {
      const files = { stamp, isUpToDate: false, warnings: i === 0 ? warnings : [] };
      return renewSite(sources, { ...site, files }, nowMs, isDue);
    }));
  }
}

/**
 * The same site with what is due renewed, and its certificates in the order of now.
 *
 * @param isDue of those that the local CA issued
 * @throws {StorageError | X509Error}
 */
export async function renewSite(
  sources: SiteSources,
  site: Site,
  nowMs: number,
  isDue: IsDue = timeHasCome(nowMs),
): Promise<Site> {
  const credentials = await Promise.all(
    credentialsOf(site).map(async (credential) =>
      credential.origin === "managed" && isDue(credential)
        ? await localCredential(sources, site.names)
        : credential
    ),
  );
  const tls = { ...site.tls, credentials: orderCredentials(credentials, nowMs) };
  const { key } = site.origin!;
  return { ...site, tls, origin: originOf(key, tls, site.files, nowMs) };
}

function timeHasCome(nowMs: number): IsDue {
  return (credential) => needsRenewal(credential, nowMs);
}

/** A key in the environment counts as a file that changes with it. "": there are none. */
export async function filesStamp(wanted: SiteOptions): Promise<string> {
  if (!hasFiles(wanted)) return "";
  const { certificates, clientAuth } = wanted;
  const sources = certificates.flatMap(({ certificate, key }) => [certificate, key]);
  const paths = sources.filter((path) => !path.startsWith(ENV));
  const values = sources.filter((path) => path.startsWith(ENV))
    .map((path) => hashOf(process.env[path.slice(ENV.length)] ?? ""));
  return [await stampOf([...paths, ...clientAuth?.ca ?? []]), ...values].join();
}

export function hasFiles({ certificates, clientAuth }: SiteOptions): boolean {
  return certificates.length > 0 || (clientAuth !== undefined && clientAuth.ca.length > 0);
}

interface ReadWish extends Pick<SiteWish, "key" | "nowMs" | "before"> {
  readonly stamp: string;
  readonly isDue: IsDue;
}

async function readSites(
  sources: SiteSources,
  wanted: WantedSite,
  { key, nowMs, before, stamp, isDue }: ReadWish,
): Promise<Site[]> {
  const { parts, clientPool, warnings } = await loadSiteFiles(
    sources.crypto,
    wanted,
    nowMs,
    sources.share,
  );
  const clientAuth = wanted.clientAuth && clientPool &&
    new SiteClientAuth(wanted.clientAuth.mode, clientPool);
  const sites: Site[] = [];
  for (const [i, { names, credentials }] of parts.entries()) {
    const own = isIssued(wanted, names, credentials)
      ? [...credentials, await obtain(sources, names, before, isDue)]
      : credentials;
    const tls = siteConfig(wanted, orderCredentials(own, nowMs), clientAuth);
    const files = stamp === ""
      ? undefined
      : { stamp, isUpToDate: true, warnings: i === 0 ? warnings : [] };
    sites.push({
      names,
      tls,
      handler: wanted.handler,
      publicNameOnly: wanted.publicNameOnly ?? false,
      ...(wanted.requireEch && { requireEch: true }),
      ...(wanted.hosts && { hosts: wanted.hosts }),
      ...(files && { files }),
      origin: originOf(key, tls, files, nowMs),
    });
  }
  return sites;
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

/** The one that there was, if it is still good. */
async function obtain(
  sources: SiteSources,
  names: readonly string[],
  before: readonly Site[],
  isDue: IsDue,
): Promise<SiteCredential> {
  const old = before.flatMap(credentialsOf).find((credential) =>
    credential.origin === "managed" && hasNames(credential, names) && !isDue(credential)
  );
  return old ?? await localCredential(sources, names);
}

/** These and no others, in whatever order. */
function hasNames(credential: SiteCredential, names: readonly string[]): boolean {
  return credential.names.length === names.length &&
    names.every((name) => credential.names.includes(name));
}

async function localCredential(
  { localCa, crypto, share }: SiteSources,
  names: readonly string[],
): Promise<SiteCredential> {
  const { certificatePem, keyPem } = await localCa.obtain(names);
  return credentialFromPem(crypto, { id: localId(names), certificatePem, keyPem, share });
}

function credentialsOf({ tls }: Site): SiteCredential[] {
  return tls.credentials.filter((one) => one instanceof SiteCredential);
}

function originOf(
  key: number,
  tls: SiteConfig,
  files: ReadFiles | undefined,
  nowMs: number,
): SiteOrigin {
  let [sinceMs, dueMs] = [0, Infinity];
  let isManaged = false;
  for (const credential of tls.credentials) {
    // An expired one goes behind the others.
    if (credential.notAfterMs > nowMs) dueMs = Math.min(dueMs, credential.notAfterMs);
    if (!(credential instanceof SiteCredential) || credential.origin !== "managed") continue;
    isManaged = true;
    sinceMs = Math.max(sinceMs, credential.notBeforeMs);
    dueMs = Math.min(dueMs, Math.floor(renewalTimeMs(credential)) + 1);
  }
  const flightLength = Math.max(0, ...tls.credentials.map(chainLength)) +
    requestLength(tls.clientAuth);
  const hasWarnings = files !== undefined && files.warnings.length > 0;
  return {
    key,
    sinceMs,
    dueMs,
    flightLength,
    isManaged,
    hasFiles: files !== undefined,
    hasWarnings,
  };
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

function hashOf(text: string): string {
  return createHash("sha256").update(text).digest("base64url").slice(0, 16);
}

/** Length and extensions of a CertificateEntry. */
const ENTRY_OVERHEAD = 5;

/** What the handlers speak. */
const HTTP_PROTOCOLS = ["http/1.1"];

const ENV = "env:";
