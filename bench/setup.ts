/**
 * What the servers of a run have in common: names, certificates, the page, and what is known of each.
 * @module
 */
import { rmSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

import { testCertificate, testRoot } from "../test/support/certificates.ts";
import type { PeerName, RuntimeName } from "./options.ts";

export const NAME = "bench.localhost";
/** The same page under an RSA-2048 certificate. */
export const RSA_NAME = "rsa.localhost";
export const PAGE = "the same page from everyone";
export const PUBLIC_NAME = "cover.localhost";
export interface Subject {
  /** `ours-bun`, `bun-listen`, …; tells the servers of one run apart. */
  readonly id: string;
  readonly runtime: RuntimeName;
  /** `ours`, the argument that the runtime's peer program takes, or a program of another kind (peers/peers.ts). */
  readonly kind: "ours" | "listen" | "serve" | "https" | PeerName;
  /** What people call it. */
  readonly label: string;
  /** Path of what is run. */
  readonly program: string;
  /** How many ECH keys it has; undefined: as it comes. */
  readonly echKeys?: number;
  /** Without what the program asks the engine for (wide arithmetic in WebAssembly). */
  readonly narrow?: boolean;
  /** What the program is told to serve; undefined: `PAGE`. */
  readonly page?: string;
  /** More of the configuration: sites, or limits. */
  readonly extra?: Extra;
}

export interface Extra {
  readonly limits?: string;
  readonly sites?: string;
}

/** What all servers are given; in a folder that goes when the bench ends. */
export interface Setup {
  readonly folder: string;
  readonly cert: string;
  readonly key: string;
  readonly root: string;
  /** Certificate and key of `RSA_NAME`. */
  readonly rsa: CertificateFiles;
  /** … and of the public name, for servers that do not make their own. */
  readonly cover: CertificateFiles;
}

export interface CertificateFiles {
  readonly cert: string;
  readonly key: string;
}

export async function makeSetup(): Promise<Setup> {
  const folder = await mkdtemp(join(tmpdir(), "sotto-bench-"));
  // Also where the run is stopped half-way.
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
  const files = async (name: string, kind: "p256" | "rsa", host: string) => {
    const certificate = await testCertificate({ kind, names: [host] });
    const cert = join(folder, `${name}cert.pem`);
    const key = join(folder, `${name}key.pem`);
    await writeFile(cert, certificate.chainPem);
    await writeFile(key, certificate.keyPem, { mode: 0o600 });
    return { cert, key };
  };
  const root = join(folder, "root.pem");
  await writeFile(root, (await testRoot()).pem);
  return {
    folder,
    ...await files("", "p256", NAME),
    root,
    rsa: await files("rsa-", "rsa", RSA_NAME),
    cover: await files("cover-", "p256", PUBLIC_NAME),
  };
}

export async function removeSetup(setup: Setup): Promise<void> {
  await rm(setup.folder, { recursive: true, force: true });
}

export interface Server {
  readonly subject: Subject;
  readonly pid: number;
  /** `127.0.0.1:PORT` */
  readonly addr: string;
  /** Where `RSA_NAME` is served: at the same address, or at one of its own. */
  readonly rsaAddr: string;
  /** PEM file with all roots that a client needs. */
  readonly root: string;
  /** Base64 of the ECHConfigList; undefined: it has no ECH. */
  readonly ech: string | undefined;
  /** A full collection now. `givesBack`: and memory that it leaves empty goes back, as far as the runtime can. */
  collect(givesBack?: boolean): Promise<void>;
  stop(): Promise<void>;
}
