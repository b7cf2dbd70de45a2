/**
 * The files that the configuration names for a site: certificates, keys, CAs of clients.
 * @module
 */
import type { SiteOptions } from "../../config/config.ts";
import type { Crypto } from "../../crypto/crypto.ts";
import type { SiteCredential } from "../../snapshot/credential.ts";
import { type ClientPool, clientPoolFromPem } from "../../x509/chain.ts";
import { X509Error } from "../../x509/error.ts";
import { KeyFileError, loadCertificateFiles, readText } from "./files.ts";

export interface SiteFiles {
  /** The site's names, by what they are served with; without credentials: the local CA's turn. */
  readonly parts: readonly SitePart[];
  /** Undefined: no client authentication. */
  readonly clientPool: ClientPool | undefined;
  /** For the operator, each a sentence. */
  readonly warnings: readonly string[];
}

export interface SitePart {
  readonly names: readonly string[];
  readonly credentials: readonly SiteCredential[];
}

/** A file that a site names cannot be used. */
export class SiteFileError extends X509Error {
  readonly site: SiteOptions;
  /** The key of its [[site]] that names the file, as in `["client_auth", "ca", 1]`. */
  readonly path: readonly (string | number)[];

  constructor(site: SiteOptions, path: readonly (string | number)[], cause: X509Error) {
    super(cause.message, { cause });
    this.site = site;
    this.path = path;
  }
}

/** @throws {SiteFileError} naming the file and what is wrong with it */
export async function loadSiteFiles(
  crypto: Crypto,
  site: SiteOptions,
  nowMs: number,
  share?: (der: Uint8Array) => Uint8Array,
): Promise<SiteFiles> {
  const loaded = await Promise.all(
    site.certificates.map(async ({ certificate, key }, i) => {
      const files = { certificateFile: certificate, keyFile: key, share };
      try {
        return await loadCertificateFiles(crypto, files, nowMs);
      } catch (cause) {
        const which = cause instanceof KeyFileError ? "key" : "certificate";
        throw siteFileError(site, [which], site.certificates, i, cause);
      }
    }),
  );
  const warnings = loaded.flatMap((one) => one.warnings);
  const parts = divide(site.names, loaded.map((one) => one.credential), warnings);
  const clientPool = site.clientAuth && await loadClientPool(site, site.clientAuth.ca);
  return { parts, clientPool, warnings };
}

/** @param all of which it is the one at `i`: one by itself need not be in a list */
function siteFileError(
  site: SiteOptions,
  path: readonly string[],
  all: readonly unknown[],
  i: number,
  cause: unknown,
): unknown {
  if (!(cause instanceof X509Error)) return cause;
  return new SiteFileError(site, all.length > 1 ? [...path, i] : path, cause);
}

/** A supplied certificate covers its own names alone, the others are the local CA's (policy §1.4). */
function divide(
  names: readonly string[],
  supplied: readonly SiteCredential[],
  warnings: string[],
): SitePart[] {
  const parts = new Map<string, { names: string[]; credentials: SiteCredential[] }>();
  const uncovered: string[] = [];
  for (const name of names) {
    // A wildcard site is covered by the same wildcard alone.
    const credentials = supplied.filter((credential) =>
      name.startsWith("*.") ? credential.names.includes(name) : credential.covers(name)
    );
    if (credentials.length === 0) uncovered.push(name);
    const key = credentials.map((credential) => supplied.indexOf(credential)).join();
    const part = parts.get(key);
    if (part === undefined) parts.set(key, { names: [name], credentials });
    else part.names.push(name);
  }
  if (supplied.length === 0 || uncovered.length === 0) return [...parts.values()];
  if (uncovered.length === names.length) {
    warnings.push(
      `No certificate given for ${names.join(", ")} covers it: they are shown as they are`,
    );
    return [{ names, credentials: supplied }];
  }
  warnings.push(
    `No certificate given for ${uncovered.join(", ")} covers it: the local CA issues one`,
  );
  return [...parts.values()];
}

async function loadClientPool(
  site: SiteOptions,
  files: readonly string[],
): Promise<ClientPool> {
  const pools = await Promise.all(files.map(async (file, i) => {
    try {
      return await readClientPool(file);
    } catch (cause) {
      throw siteFileError(site, ["client_auth", "ca"], files, i, cause);
    }
  }));
  return {
    anchors: pools.flatMap((pool) => pool.anchors),
    authorities: pools.flatMap((pool) => pool.authorities),
  };
}

async function readClientPool(file: string): Promise<ClientPool> {
  const { text } = await readText(file, "CA");
  try {
    return clientPoolFromPem(text);
  } catch (cause) {
    const { message } = cause as Error;
    throw new X509Error(`Cannot use the CA file ${file}: ${message}`, { cause });
  }
}
