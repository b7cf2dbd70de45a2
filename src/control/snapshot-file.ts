/**
 * The last snapshot in a file of this machine: a start without storage serves what it holds.
 * @module
 */
import { randomBytes } from "node:crypto";
import { mkdir, open, rename, rm } from "node:fs/promises";
import { join } from "node:path";

import type { Crypto } from "../crypto/crypto.ts";
import {
  decodeSnapshot,
  encodeSnapshot,
  type SnapshotFacts,
  type StoredSnapshot,
} from "../snapshot/codec.ts";
import type { Snapshot } from "../snapshot/snapshot.ts";
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
   * Never rejects: without the file everything is built anew.
   *
   * `warning`: it is there, and is not used.
   */
  async read(): Promise<{ stored?: StoredSnapshot; warning?: string }> {
    try {
      const file = await open(this.path, "r");
      try {
        if (isExposed((await file.stat()).mode)) {
          throw new Error(`others on this machine can get at it. Run: chmod 600 ${this.path}`);
        }
        return { stored: decodeSnapshot(this.#crypto, new Uint8Array(await file.readFile())) };
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
   * Whole or not at all, readable by its owner alone. The loop has its turn after each part.
   *
   * @throws {StorageError}
   */
  async write(snapshot: Snapshot, facts: SnapshotFacts): Promise<void> {
    const temporary = join(this.#folder, `~${randomBytes(8).toString("hex")}`);
    try {
      await mkdir(this.#folder, { recursive: true, mode: 0o700 });
      const file = await open(temporary, "wx", 0o600);
      try {
        for (const part of encodeSnapshot(this.#crypto, snapshot, facts)) {
          await file.writeFile(part);
        }
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
