/**
 * Which processes of this machine serve from a data folder: one file per listen address.
 *
 * `instances/HOST/ADDRESS.PORT.json` says who has an address, the socket beside it answers for its health. Hosts that
 * share a folder have files of their own, so a host's name must be its own too.
 *
 * Whether a process still lives is asked of the system (`process-identity.ts`), and of its socket where that does not
 * say.
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import { link, mkdir, open, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { hostname } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import * as z from "zod/mini";

import {
  isProcessAlive,
  isSameProcess,
  PROCESS_IDENTITY,
  thisProcess,
} from "./process-identity.ts";
import { explainFileError } from "./storage/files.ts";
import { StorageError } from "./storage/storage.ts";

/** Another process has the address; the message names the way out. */
export class InstanceError extends Error {
  override readonly name = "InstanceError";
  readonly holder: Instance;

  /** @param canFollow whoever reads this can ask for a takeover */
  constructor(address: string, holder: Instance, canFollow: boolean) {
    const wayOut = canFollow
      ? "Add --takeover to follow it without losing a connection, or stop it with"
      : "Stop it with";
    super(
      `Cannot serve on ${address}: sotto with process id ${holder.pid} serves there from the same ` +
        `data folder. ${wayOut}: kill ${holder.pid}`,
    );
    this.holder = holder;
  }
}

const INSTANCE = z.object({
  ...PROCESS_IDENTITY,
  /** `127.0.0.1:443`, `[::1]:443` */
  address: z.string(),
});

/** What a lock says of its holder. */
export type Instance = Readonly<z.infer<typeof INSTANCE>>;

/**
 * Who serves from `folder` on this machine and lives, in the order of addresses: for `reload`.
 * @throws {StorageError} that is not for this user to know
 */
export async function readInstanceLocks(folder: string): Promise<readonly Instance[]> {
  const place = instancesFolder(folder);
  const found: Instance[] = [];
  for (const name of (await unlessForbidden(place, readdir(place)) ?? []).sort()) {
    if (!name.endsWith(".json")) continue;
    const path = join(place, name);
    await unlessForbidden(path, opened(path));
    const instance = await read(path);
    if (instance !== undefined && await isAlive(instance, socketOf(path))) found.push(instance);
  }
  return found;
}

/** Undefined: it is not there. */
async function unlessForbidden<T>(path: string, work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (cause) {
    const { code = "" } = cause as NodeJS.ErrnoException;
    if (!FORBIDDEN.has(code)) return undefined;
    throw new StorageError(
      "permission denied",
      `Cannot look into ${path}: ask as root or as the user that sotto runs as`,
      { cause },
    );
  }
}

/** Deno's access() knows no root. */
async function opened(path: string): Promise<void> {
  await (await open(path)).close();
}

const FORBIDDEN: ReadonlySet<string> = new Set(["EACCES", "EPERM"]);

/** Who has `address` and lives; the process itself does not count. */
export async function instanceOn(folder: string, address: string): Promise<Instance | undefined> {
  const path = pathOf(folder, address);
  const found = await read(path);
  if (found === undefined || isSameProcess(found, await thisProcess())) return undefined;
  return await isAlive(found, socketOf(path)) ? found : undefined;
}

/** Where the socket of the instance on `address` lies. */
export function instanceSocket(folder: string, address: string): string {
  return socketOf(pathOf(folder, address));
}

export interface InstanceLock {
  readonly address: string;
  /** Gives it up and removes the socket beside it, unless somebody has taken it over. */
  release(): Promise<void>;
}

/**
 * Takes the lock of `address`. One whose holder is dead counts as none.
 *
 * @param takeover true: a living holder is followed, the lock is ours at once, and ending the holder is the caller's;
 *   undefined: nor could that be asked for
 * @throws {InstanceError} a living process has it
 * @throws {StorageError} the folder cannot be written to
 */
export async function takeInstanceLock(
  folder: string,
  address: string,
  { takeover }: { takeover?: boolean | undefined } = {},
): Promise<InstanceLock> {
  const path = pathOf(folder, address);
  const ours = { ...await thisProcess(), address };
  const temporary = `${path}.${randomBytes(8).toString("hex")}~`;
  try {
    await mkdir(instancesFolder(folder), { recursive: true, mode: 0o700 });
    await writeFile(temporary, JSON.stringify(ours) + "\n", { mode: 0o600, flag: "wx" });
    if (takeover === true) await rename(temporary, path);
    else await place(temporary, path, address, takeover !== undefined);
  } catch (error) {
    throw error instanceof InstanceError ? error : explainFileError("write", path, error);
  } finally {
    await rm(temporary, { force: true }).catch(() => {});
  }
  return {
    address,
    async release() {
      const found = await read(path);
      if (found === undefined || !isSameProcess(found, ours)) return;
      // Before the lock: whoever has that next makes a socket of its own.
      await rm(socketOf(path), { force: true });
      await rm(path, { force: true });
    },
  };
}

/** Gives the file its place where none of a living holder is. */
async function place(
  temporary: string,
  path: string,
  address: string,
  canFollow: boolean,
): Promise<void> {
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    if (await linkNew(temporary, path)) return;
    const holder = await livingHolder(path);
    if (holder !== undefined) throw new InstanceError(address, holder, canFollow);
    // Of all that find it dead one may put itself in its place, after another look: it may be another's by now.
    const guard = `${path}.dead~`;
    if (!await linkNew(temporary, guard)) {
      const rival = await read(guard);
      if (rival === undefined || !await isAlive(rival, socketOf(path))) {
        await rm(guard, { force: true });
      }
      await delay(RETRY_MS);
      continue;
    }
    try {
      const holder = await livingHolder(path);
      if (holder !== undefined) throw new InstanceError(address, holder, canFollow);
      return await rename(temporary, path);
    } finally {
      await rm(guard, { force: true });
    }
  }
  throw new Error("others want it too, again and again");
}

/** False: there is one. */
async function linkNew(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

async function livingHolder(path: string): Promise<Instance | undefined> {
  const found = await read(path);
  return found !== undefined && await isAlive(found, socketOf(path)) ? found : undefined;
}

const MAX_ATTEMPTS = 20;
const RETRY_MS = 10;

async function read(path: string): Promise<Instance | undefined> {
  try {
    return INSTANCE.parse(JSON.parse(await readFile(path, "utf8")));
  } catch {
    return undefined; // none, or nothing of ours: a lock appears whole
  }
}

async function isAlive(instance: Instance, socket: string): Promise<boolean> {
  return await isProcessAlive(instance) ?? await answers(socket);
}

/** Does anybody listen there? */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const done = (does: boolean) => {
      socket.destroy();
      resolve(does);
    };
    socket.once("connect", () => done(true));
    socket.once("error", () => done(false));
  });
}

/** Of this machine. */
export function instancesFolder(folder: string): string {
  return join(folder, "instances", hostname().replaceAll(/[^A-Za-z0-9_.-]/g, "_"));
}

function pathOf(folder: string, address: string): string {
  return join(instancesFolder(folder), `${fileNameOf(address)}.json`);
}

/** What names of files begin with that are about an address. */
export function fileNameOf(address: string): string {
  const at = address.lastIndexOf(":");
  const host = address.slice(0, at).replaceAll(/[[\]]/g, "").replaceAll(":", "_");
  return `${host}.${address.slice(at + 1)}`;
}

function socketOf(path: string): string {
  return path.replace(/json$/, "sock");
}
