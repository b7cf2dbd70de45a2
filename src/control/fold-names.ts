/**
 * A new base of names, built on another thread: for a million of them it takes the better part of a second.
 * @module
 */
import { Worker } from "node:worker_threads";

import type { NameIndex } from "../snapshot/name-index.ts";
import type { NameList } from "../snapshot/name-list.ts";
import { SniTrie } from "../snapshot/sni-trie.ts";
import { inTurns } from "./pace.ts";

/**
 * @param changes over both
 * @throws {Error} there is no thread to be had, or it failed
 */
export async function foldElsewhere(
  { base, overlay }: NameIndex,
  changes?: NameList,
): Promise<SniTrie> {
  const names = await inTurns(sharing(base.toBytes()));
  const bytes = await new Promise<Uint8Array>((resolve, reject) => {
    const worker = new Worker(new URL("./fold-worker.ts", import.meta.url), {
      workerData: { base: names, overlay: overlay.toBytes().slice(), changes: changes?.toArrays() },
    });
    worker.once("message", (folded: Uint8Array) => {
      resolve(folded);
      void worker.terminate();
    });
    worker.once("error", reject);
    worker.once("exit", (code) => reject(new Error(`the thread that folds names ended: ${code}`)));
  });
  return await inTurns(SniTrie.reading(bytes));
}

/** What another thread can read: a view would take all along that lies in the same buffer. In turns. */
function* sharing(bytes: Uint8Array): Generator<void, Uint8Array> {
  if (bytes.buffer instanceof SharedArrayBuffer) return bytes;
  const shared = new Uint8Array(new SharedArrayBuffer(bytes.length));
  for (let at = 0; at < bytes.length; at += COPY_STEP) {
    shared.set(bytes.subarray(at, at + COPY_STEP), at);
    yield;
  }
  return shared;
}

const COPY_STEP = 1 << 20;
