/**
 * Where keys and certificates are kept (policy §1.9).
 * @module
 */
import { existsSync, statSync } from "node:fs";
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

/** What a container loses with itself (policy §1.9); undefined: nothing, as far as can be seen. */
export function warnOfContainer(
  path: string,
  { isContainer, device }: ContainerFacts = THIS_MACHINE,
): string | undefined {
  if (!isContainer() || device(path) !== device("/")) return undefined;
  return `the data folder ${path} is no volume: keys are lost with this container. Mount one there`;
}

interface ContainerFacts {
  readonly isContainer: () => boolean;
  /** Of the file system that a path lies on; undefined: it cannot be seen. */
  readonly device: (path: string) => number | undefined;
}

const THIS_MACHINE: ContainerFacts = {
  isContainer() {
    try {
      return existsSync("/.dockerenv") || existsSync("/run/.containerenv");
    } catch {
      return false; // not to be seen is no reason to warn
    }
  },
  device(path) {
    try {
      return statSync(path).dev;
    } catch {
      return undefined;
    }
  },
};
