/**
 * Where keys and certificates are kept (policy §1.9).
 * @module
 */
import { constants } from "node:fs";
import { access, mkdir } from "node:fs/promises";
import { isAbsolute, join, resolve } from "node:path";

export interface DataFolder {
  readonly path: string;
  readonly warning: string | undefined;
}

/** `--data`, else SOTTO_DATA, else the XDG data folder, else the home folder's, else the working directory. */
export function findDataFolder(
  given: string | undefined,
  environment: Readonly<Record<string, string | undefined>>,
  workingDirectory: string,
): DataFolder {
  const chosen = given ?? environment.SOTTO_DATA;
  if (chosen) return { path: resolve(workingDirectory, chosen), warning: undefined };
  const { XDG_DATA_HOME: xdg, HOME: home } = environment;
  // The XDG specification wants relative paths ignored.
  if (xdg && isAbsolute(xdg)) return { path: join(xdg, "sotto"), warning: undefined };
  if (home && isAbsolute(home)) {
    return { path: join(home, ".local/share/sotto"), warning: undefined };
  }
  const path = join(workingDirectory, "sotto-data");
  return {
    path,
    warning: `neither --data, SOTTO_DATA, XDG_DATA_HOME nor HOME is set: keys are kept in ${path}`,
  };
}

/** The data folder cannot be used; the message says what to do. */
export class DataFolderError extends Error {
  override readonly name = "DataFolderError";
}

/** Creates the folder (0700) where it is missing. @throws {DataFolderError} it cannot be written to */
export async function prepareDataFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
    await access(path, constants.W_OK | constants.X_OK);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    throw new DataFolderError(
      `The data folder ${path} is not writable (${code ?? message}). ` +
        "Name one that is with --data DIR or SOTTO_DATA, or give this user the right to write there.",
      { cause },
    );
  }
}
