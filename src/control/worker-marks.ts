/**
 * Which workers listen where, in files: the supervisor that started them may be gone.
 *
 * `instances/HOST/ADDRESS.PORT.PID.worker` is a worker's own: made before it listens, removed once it does no more. Who
 * starts next finds the orphans by it, binds beside them and ends them.
 *
 * @module
 */
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

import * as z from "zod/mini";

import { fileNameOf, instancesFolder } from "./instance-lock.ts";
import {
  isProcessAlive,
  isSameProcess,
  PROCESS_IDENTITY,
  type ProcessIdentity,
  thisProcess,
} from "./process-identity.ts";
import { explainFileError } from "./storage/files.ts";

const MARK = z.object({ ...PROCESS_IDENTITY, supervisor: z.object(PROCESS_IDENTITY) });

/**
 * This process listens on `addresses` from now on.
 *
 * @returns takes that back
 * @throws {StorageError} the folder cannot be written to
 */
export async function markWorker(
  folder: string,
  addresses: readonly string[],
  supervisor: ProcessIdentity,
): Promise<() => Promise<void>> {
  const ours = await thisProcess();
  const text = JSON.stringify({ ...ours, supervisor }) + "\n";
  const paths = addresses.map((address) =>
    join(instancesFolder(folder), `${fileNameOf(address)}.${ours.pid}.worker`)
  );
  await mkdir(instancesFolder(folder), { recursive: true, mode: 0o700 });
  for (const path of paths) {
    await writeFile(path, text, { mode: 0o600 }).catch((error: unknown) => {
      throw explainFileError("write", path, error);
    });
  }
  return async () => {
    await Promise.all(paths.map((path) => rm(path, { force: true }).catch(() => {})));
  };
}

/** Workers that listen on `address` and live, whose supervisor does not. Marks of the dead are swept away. */
export async function orphansOn(folder: string, address: string): Promise<ProcessIdentity[]> {
  const place = instancesFolder(folder);
  const prefix = `${fileNameOf(address)}.`;
  const ours = await thisProcess();
  const orphans: ProcessIdentity[] = [];
  for (const name of await readdir(place).catch((): string[] => [])) {
    if (!name.startsWith(prefix) || !/^\d+\.worker$/.test(name.slice(prefix.length))) continue;
    const path = join(place, name);
    const mark = await read(path);
    if (mark === undefined || isSameProcess(mark.supervisor, ours)) continue;
    const isAlive = await isProcessAlive(mark);
    if (isAlive === false) await rm(path, { force: true });
    // Where the system does not say, a signal might hit another process.
    if (isAlive !== true || await isProcessAlive(mark.supervisor) !== false) continue;
    orphans.push(mark);
  }
  return orphans;
}

async function read(path: string): Promise<z.infer<typeof MARK> | undefined> {
  try {
    return MARK.parse(JSON.parse(await readFile(path, "utf8")));
  } catch {
    return undefined; // none, or not whole yet
  }
}
