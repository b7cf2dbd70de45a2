/**
 * Storage in a folder of one's own on a local disk: one file per key.
 *
 * Folders are 0700 and files 0600, from the moment they exist. A file is written beside its place, synced, renamed, and
 * the folder synced, so a crash leaves the old value or the new one, and at worst a file with `~` in its name, which
 * no key can have, and which is removed when the store is next opened an hour later or more.
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import { lstatSync, statSync } from "node:fs";
import { link, lstat, mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import process from "node:process";
import { checkKey, type Storage, StorageError, type StorageTrouble } from "./storage.ts";

/**
 * Opens a folder as a store, making it if need be, and shows by one write that it can be written to (policy §1.9).
 *
 * @throws {StorageError} "permission denied", "full", "read-only", "failed", with the path and what to do
 */
export async function openFileStorage(folder: string): Promise<FileStorage> {
  const root = resolve(folder);
  const probe = `${root}/probe${temporarySuffix()}`;
  try {
    await mkdir(root, { recursive: true, mode: 0o700 });
    await writeNew(probe, new Uint8Array(1));
    // The probe's time rather than our clock's: files are compared with a file.
    await sweepAbandoned(root, (await stat(probe)).mtimeMs - ABANDONED_AFTER_MS);
    await rm(probe);
  } catch (error) {
    await rm(probe, { force: true }).catch(() => {}); // where the disk is full it is there, and empty
    throw explainFileError("write to", root, error);
  }
  const { mode } = await stat(root);
  return new FileStorage(root, isExposed(mode) ? [exposure("folder", root, mode, "700")] : []);
}

export class FileStorage implements Storage {
  readonly #root: string;
  /** What the operator should hear of at start. */
  readonly warnings: readonly string[];

  constructor(root: string, warnings: readonly string[]) {
    this.#root = root;
    this.warnings = warnings;
  }

  get description(): string {
    return `files in ${this.#root}`;
  }

  /**
   * Certificates (`.crt`) are public. Any other file that group or world may read is refused: its secret may be out,
   * and only the operator can tell.
   */
  async get(key: string): Promise<Uint8Array | undefined> {
    const path = this.#path(key);
    try {
      const file = await open(path, "r");
      try {
        const { mode } = await file.stat();
        if (isExposed(mode) && !key.endsWith(".crt")) {
          throw new StorageError("exposed", `Cannot use ${exposure("file", path, mode, "600")}`);
        }
        const buffer = await file.readFile();
        return new Uint8Array(buffer);
      } finally {
        await file.close();
      }
    } catch (error) {
      if (ABSENT.has(codeOf(error))) return undefined;
      throw explainFileError("read", path, error);
    }
  }

  put(key: string, value: Uint8Array): Promise<void> {
    return this.#write(key, value, (temporary, path) => rename(temporary, path));
  }

  create(key: string, value: Uint8Array): Promise<boolean> {
    return this.#write(key, value, async (temporary, path) => {
      const created = await placeNew(temporary, path);
      // Where there are hard links it has two names now, or is not wanted.
      await rm(temporary, { force: true });
      return created;
    });
  }

  /** @param place gives the temporary file, whole and on the disk, its place */
  async #write<T>(
    key: string,
    value: Uint8Array,
    place: (temporary: string, path: string) => Promise<T>,
  ): Promise<T> {
    const path = this.#path(key);
    const temporary = dirname(path) + "/" + temporarySuffix();
    const bytes = Uint8Array.from(value);
    try {
      try {
        await writeNew(temporary, bytes);
      } catch (error) {
        if (codeOf(error) !== "ENOENT") throw error;
        await this.#makeFolders(key);
        await writeNew(temporary, bytes);
      }
      const result = await place(temporary, path);
      await syncFolder(dirname(path));
      return result;
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => {});
      throw explainFileError("write", path, error);
    }
  }

  async delete(key: string): Promise<void> {
    const path = this.#path(key);
    try {
      await rm(path);
      await syncFolder(dirname(path));
    } catch (error) {
      const code = codeOf(error);
      if (ABSENT.has(code) || code === "ERR_FS_EISDIR") return;
      throw explainFileError("delete", path, error);
    }
  }

  async list(prefix: string): Promise<string[]> {
    if (prefix !== "") checkKey(prefix);
    const keys: string[] = [];
    const folders = [prefix];
    for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
      const path = folder === "" ? this.#root : `${this.#root}/${folder}`;
      try {
        for (const entry of await readdir(path, { withFileTypes: true })) {
          if (entry.name.includes("~")) continue;
          const key = folder === "" ? entry.name : `${folder}/${entry.name}`;
          if (entry.isDirectory()) folders.push(key);
          else keys.push(key);
        }
      } catch (error) {
        if (!ABSENT.has(codeOf(error))) throw explainFileError("list", path, error);
      }
    }
    return keys.sort();
  }

  #path(key: string): string {
    checkKey(key);
    return `${this.#root}/${key}`;
  }

  /** One by one, each made known to the disk by its parent. */
  async #makeFolders(key: string): Promise<void> {
    let folder = this.#root;
    for (const segment of key.split("/").slice(0, -1)) {
      const parent = folder;
      folder = `${folder}/${segment}`;
      try {
        await mkdir(folder, 0o700);
      } catch (error) {
        if (codeOf(error) !== "EEXIST") throw error;
        continue;
      }
      await syncFolder(parent);
    }
  }
}

async function writeNew(path: string, bytes: Uint8Array): Promise<void> {
  const file = await open(path, "wx", 0o600);
  try {
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
}

/**
 * A hard link appears at once, with all of its content, or not at all because there is something.
 * Where there are no hard links (FAT, some network mounts) the last of two at the same moment wins.
 */
async function placeNew(temporary: string, path: string): Promise<boolean> {
  try {
    await link(temporary, path);
    return true;
  } catch (error) {
    const code = codeOf(error);
    if (code !== "EEXIST" && !NO_HARD_LINKS.has(code)) throw error;
  }
  const found = await lstat(path).catch((error: unknown) => {
    if (codeOf(error) !== "ENOENT") throw error;
  });
  if (found?.isDirectory()) {
    throw new StorageError("key is a folder", `Cannot write ${path}: ${whatIsInTheWay(path)}`);
  }
  if (found !== undefined) return false;
  await rename(temporary, path);
  return true;
}

const NO_HARD_LINKS: ReadonlySet<string> = new Set([
  "EPERM",
  "EACCES",
  "ENOTSUP",
  "EOPNOTSUPP",
  "ENOSYS",
]);

/** Removes the temporary files that a crash left in `folder` and below, if they are older than `beforeMs`. */
async function sweepAbandoned(folder: string, beforeMs: number): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = `${folder}/${entry.name}`;
    try {
      if (entry.isDirectory()) await sweepAbandoned(path, beforeMs);
      else if (TEMPORARY.test(entry.name) && (await stat(path)).mtimeMs < beforeMs) await rm(path);
    } catch (error) {
      // Another process may have been faster; what cannot be looked at is told of when it is needed.
      if (!UNSWEPT.has(codeOf(error))) throw error;
    }
  }
}

const TEMPORARY = /^(?:probe)?~[0-9a-f]{16}$/;
/** Writing one takes milliseconds: nobody is at it any more. */
const ABANDONED_AFTER_MS = 3600_000;
const UNSWEPT: ReadonlySet<string> = new Set(["ENOENT", "EACCES", "EPERM"]);

async function syncFolder(path: string): Promise<void> {
  if (process.platform === "win32") return; // a folder cannot be opened there
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } catch (error) {
    if (codeOf(error) !== "EINVAL") throw error; // some file systems have no such thing
  } finally {
    await folder.close();
  }
}

function temporarySuffix(): string {
  return `~${randomBytes(8).toString("hex")}`;
}

/** May group or world do anything with it? Windows has no such bits. */
export function isExposed(mode: number): boolean {
  return process.platform !== "win32" && (mode & 0o077) !== 0;
}

function exposure(what: string, path: string, mode: number, wanted: string): string {
  const bits = (mode & 0o777).toString(8).padStart(4, "0");
  return `the ${what} ${path}: others on this machine can get at it (mode ${bits}). Run: chmod ${wanted} ${path}`;
}

/** A file's absence, and what a key meets where another key's file or folder lies. */
const ABSENT: ReadonlySet<string> = new Set(["ENOENT", "ENOTDIR", "EISDIR"]);

/** What the system said, as a sentence that names the path and the way out. */
export function explainFileError(doing: string, path: string, error: unknown): StorageError {
  if (error instanceof StorageError) return error;
  const code = codeOf(error);
  const isInTheWay = IN_THE_WAY.has(code) || (code === "ENOENT" && kindOf(path) === "link");
  const [trouble, why] = isInTheWay
    ? ["key is a folder", whatIsInTheWay(path)] as const
    : EXPLANATIONS[code] ??
      ["failed", error instanceof Error ? error.message : String(error)] as const;
  return new StorageError(trouble, `Cannot ${doing} ${path}: ${why}`, { cause: error });
}

const NOT_ALLOWED = [
  "permission denied",
  "permission denied. Give the folder to the user that sotto runs as, or name another one",
] as const;
const IN_THE_WAY: ReadonlySet<string> = new Set(["EISDIR", "ENOTDIR", "ENOTEMPTY", "EEXIST"]);

/** The nearest that there is, of `path` and the folders above it, is what the system stumbled over. */
function whatIsInTheWay(path: string): string {
  for (let at = path;; at = dirname(at)) {
    const what = kindOf(at);
    if (what === undefined && dirname(at) !== at) continue;
    const name = at === path ? "it" : at;
    if (what === "file") return `${name} is a file, a folder is needed. ${MOVE_IT}`;
    if (what === "link") return `${name} is a link that leads nowhere. ${MOVE_IT}`;
    if (at === path) return `it is a folder, a file is needed. ${MOVE_IT}`;
    return "a file and a folder want the same name";
  }
}

const MOVE_IT = "Move it away, or name another data folder";

/** Undefined: there is none, or it is not for us to see. */
function kindOf(path: string): "file" | "folder" | "link" | undefined {
  try {
    const found = statSync(path, { throwIfNoEntry: false });
    if (found !== undefined) return found.isDirectory() ? "folder" : "file";
    return lstatSync(path, { throwIfNoEntry: false }) && "link";
  } catch {
    return undefined;
  }
}

const EXPLANATIONS: Record<string, readonly [StorageTrouble, string]> = {
  EACCES: NOT_ALLOWED,
  EPERM: NOT_ALLOWED,
  EROFS: ["read-only", "the file system is read-only. Mount it writable, or name another folder"],
  ENOSPC: ["full", "the disk is full. Free some space; what was stored before is intact"],
  EDQUOT: ["full", "the disk quota is used up. Raise it; what was stored before is intact"],
};

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string"
    ? error.code
    : "";
}
