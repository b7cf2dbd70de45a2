/**
 * Snapshots as workers get them: each in a file of its own, so that none reads another one than it was told of. What
 * `snapshot.bin` holds is the same file under a second name.
 * @module
 */
import { randomBytes } from "node:crypto";
import { copyFile, link, mkdir, readdir, rename, rm } from "node:fs/promises";
import { connect } from "node:net";
import { dirname, join } from "node:path";
import process from "node:process";

import { SnapshotFile } from "./snapshot-file.ts";
import { explainFileError } from "./storage/files.ts";
import type { Crypto } from "../crypto/crypto.ts";
import type { SnapshotFacts } from "../snapshot/codec.ts";
import type { Snapshot } from "../snapshot/snapshot.ts";

export class StateFiles extends SnapshotFile {
  readonly #folder: string;
  readonly #crypto: Crypto;
  #count = 0;
  #newest: string | undefined;
  #trouble: unknown;

  /** @param folder of this process alone */
  constructor(dataFolder: string, folder: string, crypto: Crypto) {
    super(dataFolder, crypto);
    this.#folder = folder;
    this.#crypto = crypto;
  }

  /** A folder in `instances` that no other process has, of this container or another. */
  static folderIn(instances: string): string {
    return join(instances, `${process.pid}-${randomBytes(3).toString("hex")}.states`);
  }

  /**
   * Removes what supervisors left behind that have ended: whose process id nobody has, or this process itself, and
   * whose gate nobody keeps. In another container one may have the same id, or one that nobody has here.
   */
  static async sweep(instances: string): Promise<void> {
    const names = await readdir(instances).catch((): string[] => []);
    const open = new Set<string>();
    for (const name of names) {
      const pid = /^(\d+)-\w+\.gate$/.exec(name)?.[1];
      if (pid !== undefined && await showsOut(join(instances, name))) open.add(pid);
    }
    for (const name of names) {
      const pid = /^(\d+)-\w+\.(?:states|gate)$/.exec(name)?.[1];
      if (pid === undefined || open.has(pid)) continue;
      if (Number(pid) !== process.pid && isThere(Number(pid))) continue;
      await rm(join(instances, name), { recursive: true, force: true }).catch(() => {});
    }
  }

  override async write(snapshot: Snapshot, facts: SnapshotFacts): Promise<void> {
    try {
      const file = new SnapshotFile(join(this.#folder, `${++this.#count}`), this.#crypto);
      await file.write(snapshot, facts);
      this.#newest = file.path;
      this.#trouble = undefined;
      await this.#publish(file.path);
    } catch (error) {
      this.#trouble ??= error;
      throw error;
    }
  }

  /**
   * The newest; a start without storage has written none.
   *
   * @throws {StorageError} the newest could not be written
   */
  async newest(): Promise<string> {
    if (this.#trouble !== undefined) throw this.#trouble;
    if (this.#newest !== undefined) return this.#newest;
    const own = join(this.#folder, "0", "snapshot.bin");
    try {
      await mkdir(join(this.#folder, "0"), { recursive: true, mode: 0o700 });
      await this.#linkOrCopy(this.path, own);
      return this.#newest = own;
    } catch {
      return this.#newest = this.path; // nothing can be written, so nobody replaces it
    }
  }

  /** Others than these, and than what is newer, are not needed any more. */
  async keepOnly(paths: ReadonlySet<string>): Promise<void> {
    const kept = new Set([...paths].map((path) => dirname(path)));
    for (const name of await readdir(this.#folder).catch((): string[] => [])) {
      const folder = join(this.#folder, name);
      if (Number(name) >= this.#count || kept.has(folder)) continue;
      await rm(folder, { recursive: true, force: true }).catch(() => {});
    }
  }

  async stop(): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true }).catch(() => {});
  }

  async #publish(from: string): Promise<void> {
    // A name that whoever opens the folder knows for one that a crash has left.
    const temporary = join(dirname(this.path), `~${randomBytes(8).toString("hex")}`);
    try {
      await this.#linkOrCopy(from, temporary);
      await rename(temporary, this.path);
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => {});
      throw explainFileError("write", this.path, error);
    }
  }

  /** Not every file system has links. */
  async #linkOrCopy(from: string, to: string): Promise<void> {
    await rm(to, { force: true });
    await link(from, to).catch(() => copyFile(from, to));
  }
}

/**
 * Whoever keeps a gate ends a connection with what is no message. That somebody listens says nothing: Deno hands the
 * socket on to the workers, who may have outlived their supervisor.
 */
function showsOut(gate: string): Promise<boolean> {
  return new Promise((resolve) => {
    let isConnected = false;
    const socket = connect(gate);
    const timer = setTimeout(() => done(false), GATE_TIMEOUT_MS);
    const done = (does: boolean) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(does);
    };
    socket.once("connect", () => {
      isConnected = true;
      socket.resume().write(Uint8Array.of(0xff, 0xff, 0xff, 0xff));
    });
    socket.on("error", () => done(isConnected)).once("close", () => done(isConnected));
  });
}

const GATE_TIMEOUT_MS = 1_000;

function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
}
