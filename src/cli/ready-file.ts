/**
 * The ready file: what scripts read once sotto serves. It appears whole or not at all.
 * @module
 */
import { randomBytes } from "node:crypto";
import { chmod, rename, rm, writeFile } from "node:fs/promises";

import { CommandError } from "./explain.ts";
import { fileTrouble } from "./file-trouble.ts";

export interface Ready {
  readonly pid: number;
  /** Process ids of workers. Null: `pid` serves by itself. */
  readonly workers: readonly number[] | null;
  readonly runtime: "bun" | "deno" | "node";
  /** `127.0.0.1:8443`, `[::1]:8443` */
  readonly https: readonly string[];
  readonly http: readonly string[];
  /** Path of the local CA's root certificate, PEM. */
  readonly root: string;
  /** Path of the unix socket with /healthz and /readyz. Null: there is none. */
  readonly health: string | null;
  /** Null: ECH is off. `configList` is base64 of the ECHConfigList, length included. */
  readonly ech: { readonly publicName: string; readonly configList: string } | null;
  readonly sites: readonly { readonly names: readonly string[]; readonly handler: string }[];
}

/**
 * Takes away what an earlier run left, which says nothing of this one.
 *
 * @throws {CommandError} none can be written there: better heard before another sotto is followed and ended
 */
export async function clearReadyFile(path: string): Promise<void> {
  try {
    // Written to, not asked about: Deno's access() knows no root.
    // By a name that nobody can have laid a link on.
    const trial = `${path}.${randomBytes(8).toString("hex")}.trial`;
    await writeFile(trial, "", { flag: "wx" });
    await rm(trial);
    await rm(path, { force: true });
  } catch (cause) {
    throw cannotWrite(path, cause);
  }
}

/**
 * Writes beside `path` and renames, so that no one reads half a file.
 *
 * @throws {CommandError}
 */
export async function writeReadyFile(path: string, ready: Ready): Promise<void> {
  const temporary = `${path}.${ready.pid}.tmp`;
  try {
    await writeFile(temporary, JSON.stringify(ready) + "\n");
    // It holds nothing secret, and who waits for it may be another user than who serves.
    await chmod(temporary, 0o644);
    await rename(temporary, path);
  } catch (cause) {
    await rm(temporary, { force: true }).catch(() => {}); // whatever lies there is not ours then
    throw cannotWrite(path, cause);
  }
}

function cannotWrite(path: string, cause: unknown): CommandError {
  const why = fileTrouble(cause);
  return new CommandError(
    `Cannot write the ready file ${path}: ${why}. Name another file with --ready-file`,
    { cause },
  );
}
