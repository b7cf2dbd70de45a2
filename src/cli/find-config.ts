/**
 * Which configuration a command works with.
 * @module
 */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import process from "node:process";

import { check } from "../config/check.ts";
import { type Config, DEFAULT_CONFIG } from "../config/config.ts";
import { ConfigError } from "../config/error.ts";
import { type SiteArguments, UsageError } from "./arguments.ts";
import { VERSION } from "./version.ts";

/**
 * The given file, else sotto.toml in the working directory, else the default.
 *
 * @param dataFolder where a large one that was accepted is kept; undefined: nowhere
 * @throws {ConfigError}
 */
export async function findConfig(
  given: string | undefined,
  dataFolder?: string,
): Promise<Config> {
  const file = resolve(given ?? "sotto.toml");
  if (given === undefined && !existsSync(file)) return DEFAULT_CONFIG;
  if (dataFolder !== undefined) {
    return await (await import("../config/accepted.ts")).loadAccepted(file, dataFolder, VERSION);
  }
  return await (await import("../config/load.ts")).loadConfig(file);
}

/** One site from the command line, through the same checks as a file. @throws {UsageError} */
export function configOfSite({ names, to }: SiteArguments): Config {
  const site = { names: [...names], ...(to !== undefined && { forward: to }) };
  const { config, problems } = check({ site: [site] }, "the command line", process.cwd());
  if (problems.length === 0) return config;
  const cause = new ConfigError("the command line", problems);
  const options = { names: to === undefined ? "--domain" : "--from", forward: "--to" };
  const [{ path, message }] = problems as [(typeof problems)[number]];
  throw new UsageError(`${options[path[2] as "names"] ?? path.join(".")}: ${message}`, { cause });
}
