/**
 * A new base of names, built on another thread: for a million of them it takes the better part of a second.
 * @module
 */
import { Worker } from "node:worker_threads";

import type { NameIndex } from "../snapshot/name-index.ts";
import { SniTrie } from "../snapshot/sni-trie.ts";

/** @throws {Error} there is no thread to be had, or it failed */
export function foldElsewhere({ base, overlay }: NameIndex): Promise<SniTrie> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL("./fold-worker.ts", import.meta.url), {
      workerData: { base: base.toBytes(), overlay: overlay.toBytes() },
    });
    worker.once("message", (bytes: Uint8Array) => {
      resolve(SniTrie.fromBytes(bytes));
      void worker.terminate();
    });
    worker.once("error", reject);
    worker.once("exit", (code) => reject(new Error(`the thread that folds names ended: ${code}`)));
  });
}
