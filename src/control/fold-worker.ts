/** A thread of its own for `foldElsewhere`. @module */
import { parentPort, workerData } from "node:worker_threads";

import { foldNames } from "../snapshot/name-index.ts";
import { Overlay } from "../snapshot/overlay.ts";
import { SniTrie } from "../snapshot/sni-trie.ts";

const { base, overlay } = workerData as { readonly base: Uint8Array; readonly overlay: Uint8Array };
const folded = foldNames(SniTrie.fromBytes(base), Overlay.fromBytes(overlay), { shared: true });
parentPort!.postMessage(folded.toBytes());
