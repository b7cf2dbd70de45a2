/**
 * On what it was measured.
 * @module
 */
import { execFileSync } from "node:child_process";
import { arch, cpus, loadavg, platform, release } from "node:os";
import { join } from "node:path";

import { cryptoOfProcess } from "../src/open-control.ts";
import { PEERS } from "./options.ts";
import { versionOf } from "./peers/peers.ts";
import { whyNotPinned } from "./processes.ts";
import { installedRuntimes, runtimeBinary } from "./servers.ts";

export interface Environment {
  readonly machine: string;
  readonly loadBefore: number;
  readonly pinned: boolean;
  /** Of runtimes, peers and the libraries that sotto calls, by name; what is not installed is absent. */
  readonly versions: Readonly<Record<string, string>>;
  /** Of the sources; `+` behind it: with changes. */
  readonly commit: string | undefined;
  readonly date: string;
}

export function readEnvironment(): Environment {
  const [cpu] = cpus();
  const versions: Record<string, string> = {};
  for (const runtime of installedRuntimes()) {
    const version = said(runtimeBinary(runtime), "--version");
    const number = version && /\d+\.\d+\.\d+\S*/.exec(version)?.[0];
    if (number) versions[runtime] = number;
  }
  for (const peer of PEERS) {
    const version = versionOf(peer);
    if (version !== undefined) versions[peer] = version;
  }
  // The servers choose as this process would: a runtime without foreign functions has none all the same.
  const { name } = cryptoOfProcess();
  for (const [, library, version] of name.matchAll(/(openssl|ipsec-mb) (\S+)/g)) {
    versions[library!] = version!;
  }
  return {
    machine: `${cpus().length} × ${cpu?.model.trim() ?? "?"}, ${platform()} ${release()} ${arch()}`,
    loadBefore: Math.round(loadavg()[0]! * 100) / 100,
    pinned: whyNotPinned() === undefined,
    versions,
    commit: commit(),
    date: new Date().toISOString(),
  };
}

function commit(): string | undefined {
  const head = said("git", "-C", ROOT_FOLDER, "rev-parse", "--short=12", "HEAD");
  if (head === undefined) return undefined;
  const changes = said(
    "git",
    "-C",
    ROOT_FOLDER,
    "status",
    "--porcelain",
    "-uno",
    "--",
    "src",
    "edge.ts",
  );
  return changes === "" ? head : `${head}+`;
}

function said(program: string, ...args: string[]): string | undefined {
  try {
    return execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] })
      .trim();
  } catch {
    return undefined;
  }
}

const ROOT_FOLDER = join(import.meta.dirname, "..");
