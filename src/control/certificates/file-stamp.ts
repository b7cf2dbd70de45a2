/**
 * Whether a file is still the one that was read.
 * @module
 */
import { stat } from "node:fs/promises";

/** Of several files, in their order: time, size and place on the disk; what is not there is told apart as well. */
export async function stampOf(paths: readonly string[]): Promise<string> {
  const stamps = await Promise.all(paths.map(async (path) => {
    try {
      const { mtimeMs, size, ino } = await stat(path);
      return `${mtimeMs} ${size} ${ino}`;
    } catch (error) {
      return (error as NodeJS.ErrnoException).code ?? "?";
    }
  }));
  return stamps.join();
}
