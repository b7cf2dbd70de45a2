/**
 * SSLKEYLOGFILE behind `--key-log FILE` (tls13-server §15): whoever has the file can read every connection.
 * @module
 */
import { closeSync, fchmodSync, openSync, writeSync } from "node:fs";

export interface KeyLog {
  /** Appends one line at once, so that a debugger that reads along has it in time. */
  readonly line: (line: string) => void;
  close(): void;
}

/** Opens the file for appending, readable by its owner alone. */
export function openKeyLog(path: string): KeyLog {
  const file = openSync(path, "a", 0o600);
  fchmodSync(file, 0o600);
  return {
    line: (line) => void writeSync(file, line + "\n"),
    close: () => closeSync(file),
  };
}
