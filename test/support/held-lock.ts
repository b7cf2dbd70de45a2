import { readFile, writeFile } from "node:fs/promises";

import {
  type Instance,
  instanceSocket,
  readInstanceLocks,
  takeInstanceLock,
} from "../../src/control/instance-lock.ts";

/** Writes the lock of `address` as the living process `pid` would have it, but for what is changed. Path of its file. */
export async function holdLock(
  folder: string,
  address: string,
  pid: number,
  change: Partial<Instance> = {},
): Promise<string> {
  await takeInstanceLock(folder, address, { takeover: true });
  const ours = (await readInstanceLocks(folder)).find((lock) => lock.address === address)!;
  const stat = await readFile(`/proc/${pid}/stat`, "latin1");
  const began = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]!;
  const file = instanceSocket(folder, address).replace(/sock$/, "json");
  await writeFile(file, JSON.stringify({ ...ours, pid, began, ...change }));
  return file;
}
