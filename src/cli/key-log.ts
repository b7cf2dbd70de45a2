/**
 * SSLKEYLOGFILE behind `--key-log FILE` (tls13-server §15): whoever has the file can read every connection.
 * @module
 */
import { closeSync, fchmodSync, openSync, writeSync } from "node:fs";

import { CommandError } from "./explain.ts";
import { fileTrouble } from "./file-trouble.ts";

export interface KeyLog {
  /** Appends one line at once, so that a debugger that reads along has it in time. */
  readonly line: (line: string) => void;
  close(): void;
}

/** Opens the file for appending, readable by its owner alone. @throws {CommandError} it cannot be written */
export function openKeyLog(path: string): KeyLog {
  const file = openPrivate(path);
  return {
    line: (line) => void writeSync(file, line + "\n"),
    close: () => closeSync(file),
  };
}

function openPrivate(path: string): number {
  try {
    const file = openSync(path, "a", 0o600);
    fchmodSync(file, 0o600);
    return file;
  } catch (cause) {
    const why = fileTrouble(cause);
    throw new CommandError(
      `Cannot write the key log ${path}: ${why}. Name another file with --key-log`,
      { cause },
    );
  }
}
