/**
 * Certificates that the operator brings along: a pair of PEM files.
 * @module
 */
import { open } from "node:fs/promises";
import process from "node:process";

import type { Crypto } from "../../crypto/crypto.ts";
import { credentialFromPem, type SiteCredential } from "../../snapshot/credential.ts";
import { X509Error } from "../../x509/error.ts";
import { whyNotPem } from "../../x509/not-pem.ts";
import { isExposed } from "../storage/files.ts";

export interface CertificateFiles {
  readonly certificateFile: string;
  /** May be the same file, or `env:NAME` for the text in an environment variable. */
  readonly keyFile: string;
  /** One copy of equal certificates. */
  readonly share?: ((der: Uint8Array) => Uint8Array) | undefined;
}

export interface LoadedCredential {
  readonly credential: SiteCredential;
  /** For the operator, each a sentence. */
  readonly warnings: readonly string[];
}

/** The key is at fault, and not the certificate. */
export class KeyFileError extends X509Error {}

/**
 * Reads a pair of files. It is used also where others may read the key or the certificate has expired: the operator
 * knows best, and is told (design §12).
 *
 * @throws {X509Error} naming the file and what is wrong with it; a KeyFileError where it is the key's
 */
export async function loadCertificateFiles(
  crypto: Crypto,
  files: CertificateFiles,
  nowMs: number,
): Promise<LoadedCredential> {
  const { certificateFile, keyFile } = files;
  const certificate = await readText(certificateFile, "certificate");
  const key = keyFile === certificateFile ? certificate : await readKey(keyFile);
  const credential = credentialOf(crypto, files, certificate.text, key.text);
  const warnings: string[] = [];
  if (key.mode !== undefined && isExposed(key.mode)) {
    const mode = (key.mode & 0o777).toString(8).padStart(4, "0");
    warnings.push(
      `The key in ${keyFile} is open to others on this machine (mode ${mode}). Run: chmod 600 ${keyFile}`,
    );
  }
  if (credential.names.length === 0) {
    warnings.push(
      `The certificate in ${certificateFile} has no subjectAltName: clients will refuse it`,
    );
  }
  if (credential.notAfterMs <= nowMs) {
    const end = new Date(credential.notAfterMs).toISOString();
    warnings.push(`The certificate in ${certificateFile} expired at ${end}`);
  }
  if (credential.notBeforeMs > nowMs) {
    const start = new Date(credential.notBeforeMs).toISOString();
    warnings.push(`The certificate in ${certificateFile} is not valid before ${start}`);
  }
  return { credential, warnings };
}

function credentialOf(
  crypto: Crypto,
  { certificateFile, keyFile, share }: CertificateFiles,
  certificatePem: string,
  keyPem: string,
): SiteCredential {
  try {
    return credentialFromPem(crypto, {
      id: certificateFile,
      certificatePem,
      keyPem,
      origin: "operator",
      certificateSource: certificateFile,
      keySource: keyFile,
      ...(share && { share }),
    });
  } catch (cause) {
    const isKeys = cause instanceof X509Error && keyFile !== certificateFile &&
      cause.message.startsWith(`Cannot use ${keyFile}: `);
    throw isKeys ? new KeyFileError(cause.message, { cause }) : cause;
  }
}

/** `mode`: undefined where it lies in no file. */
async function readKey(source: string): Promise<{ text: string; mode: number | undefined }> {
  if (!source.startsWith("env:")) {
    try {
      return await readText(source, "key");
    } catch (cause) {
      throw new KeyFileError((cause as Error).message, { cause });
    }
  }
  const name = source.slice("env:".length);
  const text = process.env[name];
  if (text) return { text, mode: undefined };
  throw new KeyFileError(
    `Cannot read the key from the environment variable ${name}: it is not set`,
  );
}

/** A file that is to hold PEM. @throws {X509Error} naming it, its kind and why it cannot be read */
export async function readText(
  path: string,
  what: "certificate" | "key" | "CA" | "root certificate",
): Promise<{ text: string; mode: number }> {
  try {
    const file = await open(path, "r");
    try {
      const { mode, size } = await file.stat();
      if (size > MAX_FILE_BYTES) throw new X509Error("it is larger than 1 MiB");
      const bytes = await file.readFile();
      const why = whyNotPem(bytes, what === "key" ? "a private key" : "certificates");
      if (why !== undefined) throw new X509Error(why);
      return { text: bytes.toString("utf8"), mode };
    } finally {
      await file.close();
    }
  } catch (cause) {
    const why = cause instanceof Error ? (CAUSES[codeOf(cause)] ?? cause.message) : String(cause);
    throw new X509Error(`Cannot read the ${what} file ${path}: ${why}`, { cause });
  }
}

const MAX_FILE_BYTES = 1 << 20;

const CAUSES: Record<string, string> = {
  ENOENT: "there is no such file",
  ENOTDIR: "there is no such file: what should be its folder is a file",
  EACCES: "permission denied for the user that sotto runs as",
  EISDIR: "it is a folder",
};

function codeOf(error: Error): string {
  return "code" in error && typeof error.code === "string" ? error.code : "";
}
