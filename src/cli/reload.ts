/** `edge.ts reload` @module */
import process from "node:process";

import { readInstanceLocks } from "../control/instance-lock.ts";
import { isInOtherContainer } from "../control/process-identity.ts";
import type { CommonArguments } from "./arguments.ts";
import { findDataFolder } from "./data-folder.ts";
import { CommandError } from "./explain.ts";
import { findConfig } from "./find-config.ts";

/**
 * Has those who serve from the data folder take their configuration anew. It is checked here first, so that what is
 * wrong with it is said to whoever asks for it; what came of it is in their log.
 *
 * @throws {ConfigError} nobody is told then
 * @throws {CommandError} nobody serves, or may not be told
 */
export async function reload(args: CommonArguments): Promise<void> {
  await findConfig(args.config);
  const { path } = findDataFolder(args.data, process.env, process.cwd());
  const instances = await readInstanceLocks(path);
  if (instances.length === 0) {
    throw new CommandError(
      `no sotto serves from ${path}. Another user's folder, as under sudo, is named with --data`,
    );
  }
  for (const instance of instances) {
    if (!await isInOtherContainer(instance)) continue;
    throw new CommandError(
      `the sotto on ${instance.address} runs in another container: have it reload from there`,
    );
  }
  for (const pid of new Set(instances.map(({ pid }) => pid))) {
    try {
      process.kill(pid, "SIGHUP");
    } catch (cause) {
      const { message } = cause as Error;
      throw new CommandError(`cannot tell process ${pid} to reload: ${message}`, { cause });
    }
    process.stdout.write(`told process ${pid} to reload: its log says what came of it\n`);
  }
}
