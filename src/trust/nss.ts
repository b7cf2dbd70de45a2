/**
 * NSS databases: those of Firefox's profiles, and the one that Chromium uses on Linux (acme §12.6).
 * @module
 */
import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";

import type { Machine } from "./machine.ts";
import type { TrustRoot } from "./root.ts";
import type { Step } from "./step.ts";

export async function planNss(
  machine: Machine,
  root: TrustRoot,
  goal: Step["goal"],
): Promise<Step[]> {
  const databases = machine.home === undefined ? [] : await findDatabases(machine.home);
  const certutil = databases.length > 0 ? await machine.find("certutil") : undefined;
  return databases.map(({ folder, name }): Step => {
    const common = { store: "nss", goal, place: folder } as const;
    if (certutil === undefined) return { ...common, actions: [], missing: NO_CERTUTIL };
    const database = ["-d", name, "-n", root.label];
    // Where the database has a password: asked for on the terminal, or taken to be none.
    const password = machine.mayAsk ? [] : ["-f", "/dev/null"];
    return goal === "trusted"
      ? {
        ...common,
        check: [certutil, "-V", "-u", "L", ...database],
        actions: [{
          do: "run",
          command: [certutil, "-A", ...database, "-t", "C,,", "-i", root.file, ...password],
        }],
      }
      : {
        ...common,
        check: [certutil, "-L", ...database],
        actions: [{ do: "run", command: [certutil, "-D", ...database, ...password] }],
      };
  });
}

const NO_CERTUTIL = "certutil is missing: it is in the package libnss3-tools (Debian, Ubuntu), " +
  "nss-tools (Fedora), mozilla-nss-tools (openSUSE), nss (Arch, Homebrew)";

interface Database {
  readonly folder: string;
  /** With its kind, as certutil wants it. */
  readonly name: string;
}

async function findDatabases(home: string): Promise<Database[]> {
  const folders = SINGLE.map((path) => join(home, path));
  for (const profiles of PROFILES.map((path) => join(home, path))) {
    const names: string[] = await readdir(profiles).catch(() => []);
    folders.push(...names.sort().map((name) => join(profiles, name)));
  }
  return folders.flatMap((folder) => {
    const kind = existsSync(join(folder, "cert9.db"))
      ? "sql"
      : existsSync(join(folder, "cert8.db"))
      ? "dbm"
      : undefined;
    return kind === undefined ? [] : [{ folder, name: `${kind}:${folder}` }];
  });
}

/** Below the home folder. */
const SINGLE = [".pki/nssdb", ".local/share/pki/nssdb", "snap/chromium/current/.pki/nssdb"];
/** Folders with a profile in each of their folders. */
const PROFILES = [
  ".mozilla/firefox",
  ".config/mozilla/firefox",
  "snap/firefox/common/.mozilla/firefox",
  ".var/app/org.mozilla.firefox/.mozilla/firefox",
  "Library/Application Support/Firefox/Profiles",
];
