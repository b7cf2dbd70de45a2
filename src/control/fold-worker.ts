/** A thread of its own for `foldElsewhere`. @module */
import { parentPort, workerData } from "node:worker_threads";

import { foldNames } from "../snapshot/name-index.ts";
import { type NameArrays, NameList } from "../snapshot/name-list.ts";
import { Overlay } from "../snapshot/overlay.ts";
import { SniTrie } from "../snapshot/sni-trie.ts";

const { base, overlay, changes } = workerData as {
  readonly base: Uint8Array;
  readonly overlay: Uint8Array;
  readonly changes: NameArrays | undefined;
};
const list = changes && NameList.fromArrays(changes);
const folded = foldNames(SniTrie.fromBytes(base), Overlay.fromBytes(overlay), list, {
  shared: true,
});
parentPort!.postMessage(folded.toBytes());
