/**
 * What may be logged of an unexpected exception: its kind and where it was thrown, never its message, which may quote
 * what a peer sent.
 */
export function describeException(error: unknown): { err: string; where: string | undefined } {
  if (!(error instanceof Error)) return { err: typeof error, where: undefined };
  const frames = (error.stack ?? "").split("\n").filter((line) => /^\s+at /.test(line));
  const where = frames.slice(0, 4).map((line) => line.trim().slice("at ".length)).join(" < ");
  return { err: error.name, where: where === "" ? undefined : where };
}
