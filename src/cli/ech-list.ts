/** `edge.ts ech list` @module */
import { existsSync } from "node:fs";
import process from "node:process";

import { loadEchKeySet } from "../control/ech/ech-key-store.ts";
import { publishedConfigList } from "../control/ech/ech-keys.ts";
import { openFileStorage } from "../control/storage/files.ts";
import { cryptoOfProcess } from "../open-control.ts";
import type { CommonArguments } from "./arguments.ts";
import { CommandError } from "./explain.ts";
import { findDataFolder } from "./data-folder.ts";
import { findConfig } from "./find-config.ts";

/** Prints the base64 ECHConfigList as a client or an HTTPS record wants it. */
export async function echList(args: CommonArguments): Promise<void> {
  const config = await findConfig(args.config);
  const { path } = findDataFolder(args.data, process.env, process.cwd());
  const keys = existsSync(path)
    ? await loadEchKeySet(cryptoOfProcess(config), await openFileStorage(path))
    : undefined;
  if (keys === undefined) {
    throw new CommandError(`there is no ECH key in ${path}: it is made when sotto first serves`);
  }
  const list = publishedConfigList(keys);
  if (list === undefined) throw new CommandError("ECH is being withdrawn: no key is handed out");
  process.stdout.write(list + "\n");
}
