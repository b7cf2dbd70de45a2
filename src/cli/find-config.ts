/**
 * Which configuration a command works with.
 * @module
 */
import { existsSync } from "node:fs";
import { resolve } from "node:path";

import { type Config, DEFAULT_CONFIG } from "../config/config.ts";
import { loadConfig } from "../config/load.ts";

/** The given file, else sotto.toml in the working directory, else the default. @throws {ConfigError} */
export async function findConfig(given: string | undefined): Promise<Config> {
  if (given !== undefined) return await loadConfig(resolve(given));
  const usual = resolve("sotto.toml");
  return existsSync(usual) ? await loadConfig(usual) : DEFAULT_CONFIG;
}
