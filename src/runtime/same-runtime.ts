/**
 * How another process of the runtime that executes this is started, with the same flags.
 * @module
 */
import { readFileSync } from "node:fs";
import process from "node:process";

export interface CommandLine {
  readonly command: string;
  readonly args: readonly string[];
}

/** @throws {RangeError} Deno may not read its own command line: its permissions are too few to be passed on */
export function sameRuntime(script: string, args: readonly string[]): CommandLine {
  const flags = "Deno" in globalThis ? denoFlags() : process.execArgv;
  return { command: process.execPath, args: [...flags, script, ...args] };
}

/** Deno does not tell its flags: they are what stands before the script and its arguments. */
function denoFlags(): string[] {
  let words: string[];
  try {
    words = readFileSync("/proc/self/cmdline", "utf8").split("\0").slice(0, -1);
  } catch (cause) {
    throw new RangeError(
      "Cannot start workers: Deno may not read its own flags, which they need too. " +
        "Start it with -A, or serve from one process",
      { cause },
    );
  }
  return words.slice(1, words.length - (process.argv.length - 2) - 1);
}
