/**
 * The local CA's roots, as the commands about them find them.
 * @module
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";

import { currentRoot, readLocalRoots } from "../control/certificates/local-ca.ts";
import { openFileStorage } from "../control/storage/files.ts";
import type { Storage } from "../control/storage/storage.ts";
import { type TrustRoot, trustRoot } from "../trust/root.ts";
import type { CommonArguments } from "./arguments.ts";
import { findDataFolder } from "./data-folder.ts";
import { CommandError } from "./explain.ts";

export interface StoredRoots {
  readonly storage: Storage;
  /** The one that issues. */
  readonly current: TrustRoot;
  /** It, those before it, and those that a wrong clock made. */
  readonly all: readonly TrustRoot[];
}

/**
 * None is made: under sudo it would be one in another user's folder.
 *
 * @throws {CommandError} there is none that is valid
 */
export async function storedRoots(args: Pick<CommonArguments, "data">): Promise<StoredRoots> {
  const { path } = findDataFolder(args.data, process.env, process.cwd());
  const none = new CommandError(
    `there is no root that is valid in ${path}: it is made when sotto first serves. ` +
      "Another user's folder, as under sudo, is named with --data",
  );
  if (!existsSync(path)) throw none;
  const storage = await openFileStorage(path);
  const roots = await readLocalRoots(storage);
  const current = currentRoot(roots, Date.now());
  if (current === undefined) throw none;
  const named = new Map(
    roots.map((root) => [root, trustRoot(root.pem, join(path, root.storageKey))]),
  );
  return { storage, current: named.get(current)!, all: [...named.values()] };
}
