/**
 * Where keys and certificates are kept (policy §1.9).
 * @module
 */
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
