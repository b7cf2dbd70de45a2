/**
 * Which process is meant, so that a later one with the same id is never taken for it.
 *
 * A process is its id and the moment it began, which no second process of a boot has. Where that cannot be read
 * (another system than Linux, another container, Deno with few permissions) it is empty. No clock is compared.
 *
 * @module
 */
import { readFile, readlink } from "node:fs/promises";
import process from "node:process";

import * as z from "zod/mini";

export const PROCESS_IDENTITY = {
  pid: z.int().check(z.positive()),
  /** Of the process, in ticks since boot; empty where the system does not say. */
  began: z.string(),
  /** One boot's, and one container's; empty where the system does not say. */
  boot: z.string(),
  container: z.string(),
};

const schema = z.object(PROCESS_IDENTITY);
export type ProcessIdentity = Readonly<z.infer<typeof schema>>;

export async function thisProcess(): Promise<ProcessIdentity> {
  const orEmpty = (text: Promise<string | undefined>) => text.then((it) => it ?? "", () => "");
  return {
    pid: process.pid,
    began: await orEmpty(began(process.pid)),
    boot: await orEmpty(
      readFile("/proc/sys/kernel/random/boot_id", "latin1").then((id) => id.trim()),
    ),
    container: await orEmpty(readlink("/proc/self/ns/pid")),
  };
}

/** Undefined: the system does not say. */
export async function isProcessAlive(which: ProcessIdentity): Promise<boolean | undefined> {
  const { boot, container } = await thisProcess();
  const isKnown = which.began !== "" && which.boot !== "" && boot !== "";
  if (isKnown && which.boot !== boot) return false;
  if (!isKnown || which.container !== container) return undefined;
  try {
    return await began(which.pid) === which.began;
  } catch {
    return undefined;
  }
}

/** Its process id means another process here: signals would hit that one. */
export async function isInOtherContainer(which: ProcessIdentity): Promise<boolean> {
  const { container } = await thisProcess();
  return which.container !== "" && container !== "" && which.container !== container;
}

export function isSameProcess(one: ProcessIdentity, other: ProcessIdentity): boolean {
  return one.pid === other.pid && one.began === other.began && one.boot === other.boot &&
    one.container === other.container;
}

/**
 * The 22nd field of /proc/PID/stat; undefined where there is no such process, or it has ended and nobody has asked.
 *
 * @throws where there is no /proc to be read
 */
async function began(pid: number): Promise<string | undefined> {
  let stat: string;
  try {
    stat = await readFile(`/proc/${pid}/stat`, "latin1");
  } catch (error) {
    await readFile("/proc/self/stat"); // is there any?
    if (GONE.has((error as NodeJS.ErrnoException).code ?? "")) return undefined;
    throw error;
  }
  // The second field is the program's name in brackets, which may hold anything.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return fields[0] === "Z" || fields[0] === "X" ? undefined : fields[19];
}

const GONE: ReadonlySet<string> = new Set(["ENOENT", "ESRCH"]);
