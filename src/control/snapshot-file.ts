/**
 * The last snapshot in a file of this machine: what a start serves with at once, and one without storage goes on with.
 * @module
 */
import { randomBytes } from "node:crypto";
import { type FileHandle, mkdir, open, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";

import type { Crypto } from "../crypto/crypto.ts";
import {
  decodingSnapshot,
  encodeSnapshot,
  type SnapshotFacts,
  type StoredSnapshot,
} from "../snapshot/codec.ts";
import type { Snapshot } from "../snapshot/snapshot.ts";
import { echKey, EchKeySet } from "../tls/ech.ts";
import { inTurns, Pace } from "./pace.ts";
import { explainFileError, isExposed } from "./storage/files.ts";

export class SnapshotFile {
  readonly path: string;
  readonly #folder: string;
  readonly #crypto: Crypto;

  constructor(folder: string, crypto: Crypto) {
    this.#folder = folder;
    this.path = join(folder, "snapshot.bin");
    this.#crypto = crypto;
  }

  /**
   * Never rejects: without the file everything is built anew. Who serves meanwhile is not held up.
   *
   * `warning`: it is there, and is not used.
   */
  async read(): Promise<{ stored?: StoredSnapshot; warning?: string }> {
    try {
      const file = await open(this.path, "r");
      try {
        const { mode, size, uid } = await file.stat();
        if (isExposed(mode)) {
          throw new Error(`others on this machine can get at it. Run: chmod 600 ${this.path}`);
        }
        if (isOthers(uid)) throw new Error(`it belongs to user ${uid}. Remove it`);
        const bytes = await readWhole(file, size);
        const stored = await inTurns(decodingSnapshot(this.#crypto, bytes));
        proveEch(this.#crypto, stored);
        return { stored };
      } finally {
        await file.close();
      }
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code === "ENOENT" || code === "ENOTDIR") return {};
      return { warning: `The snapshot in ${this.path} is ignored: ${message}` };
    }
  }

  /**
   * Whole or not at all, readable by its owner alone; in turns.
   *
   * @throws {StorageError}
   */
  async write(snapshot: Snapshot, facts: SnapshotFacts): Promise<void> {
    const temporary = join(this.#folder, `~${randomBytes(8).toString("hex")}`);
    try {
      await mkdir(this.#folder, { recursive: true, mode: 0o700 });
      const file = await open(temporary, "wx", 0o600);
      try {
        const pace = new Pace();
        let parts: Uint8Array[] = [];
        let length = 0;
        for (const part of encodeSnapshot(this.#crypto, snapshot, facts)) {
          parts.push(part);
          length += part.length;
          if (length >= WRITE_STEP) {
            await file.writev(parts);
            [parts, length] = [[], 0];
          }
          if (pace.isOver) await pace.rest();
        }
        await file.writev(parts);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(temporary, this.path);
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => {});
      throw explainFileError("write", this.path, error);
    }
  }
}

/** Root can read everybody's files, and must not serve by what somebody else has put in its folder. */
function isOthers(uid: number): boolean {
  const own = (process as Partial<Pick<typeof process, "geteuid">>).geteuid?.();
  return own !== undefined && uid !== own;
}

/** @throws {Error} keys that this version has no use for */
function proveEch(crypto: Crypto, { ech }: StoredSnapshot): void {
  if (ech !== undefined) new EchKeySet(ech.keys.map((key) => echKey(crypto, key)), ech.state);
}

/** One buffer of the right size, which is kept: what grows on the way would be copied. */
async function readWhole(file: FileHandle, size: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(size);
  for (let at = 0; at < size;) {
    const { bytesRead } = await file.read(bytes, at, Math.min(size - at, READ_STEP), at);
    if (bytesRead === 0) return bytes.subarray(0, at);
    at += bytesRead;
  }
  return bytes;
}

const READ_STEP = 1 << 24;
const WRITE_STEP = 1 << 18;
