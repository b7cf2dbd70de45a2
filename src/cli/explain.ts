/**
 * What a person reads when a command fails.
 * @module
 */

/** A command cannot do what it is for; the message says why. */
export class CommandError extends Error {
  override readonly name = "CommandError";
}

/** Errors whose message is all there is to say; any other one is our own bug, and comes with its stack. */
const FOR_PEOPLE: ReadonlySet<string> = new Set([
  "UsageError",
  "CommandError",
  "ConfigError",
  "BindError",
  "UserError",
  "WorkerError",
  "StorageError",
  "EchKeyError",
  "X509Error",
  "RangeError",
]);

export function explain(error: unknown): string {
  if (!(error instanceof Error)) return `sotto: ${String(error)}\n`;
  if (!FOR_PEOPLE.has(error.name)) return `sotto: ${error.stack ?? error.message}\n`;
  let hint = "";
  if (error.name === "UsageError") hint = "See: edge.ts help\n";
  if (error.name === "StorageError") hint = "The data folder is --data DIR, else SOTTO_DATA.\n";
  return `sotto: ${error.message}\n${hint}`;
}
