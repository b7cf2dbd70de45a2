/**
 * What turns out to be wrong with a configuration when it is used, with its place as in what is wrong with its text.
 * @module
 */
import { readFile } from "node:fs/promises";

import { ConfigError, type ConfigPath } from "./error.ts";
import { locator, type Position } from "./position.ts";
import { textOf } from "./text.ts";

/** The same error for the value at `path`. @param file that the configuration came from */
export async function errorAt(file: string, path: ConfigPath, cause: Error): Promise<ConfigError> {
  const position = await positionOf(file, path);
  return new ConfigError(file, [{ path, message: cause.message, ...position }], { cause });
}

/** Undefined: the text is too long, or is no longer there as it was read. */
async function positionOf(file: string, path: ConfigPath): Promise<Position | undefined> {
  try {
    const text = textOf(await readFile(file), file);
    return (await locator(text))?.(path);
  } catch {
    return undefined;
  }
}
