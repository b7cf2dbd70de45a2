import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { parseConfig } from "../../src/config/load.ts";
import { type ControlPlane, startControlPlane } from "../../src/control/control-plane.ts";
import { SnapshotFile } from "../../src/control/snapshot-file.ts";
import { openFileStorage } from "../../src/control/storage/files.ts";
import { StorageError } from "../../src/control/storage/storage.ts";
import { chooseCrypto } from "../../src/crypto/choose.ts";

const crypto = chooseCrypto();

/** A file on a disk that is full as long as it is said to be. */
class File extends SnapshotFile {
  isFull = false;
  /** How many have been written, or tried. */
  tries = 0;
  /** The next write waits for it. */
  gate: Promise<void> | undefined;

  override async write(...args: Parameters<SnapshotFile["write"]>): Promise<void> {
    this.tries++;
    const { gate, isFull } = this;
    this.gate = undefined;
    await gate;
    if (isFull) throw new StorageError("full", "the disk is full");
    await super.write(...args);
  }
}

let folder: string;
let file: File;
let plane: ControlPlane;
let trouble: unknown[];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "sotto-writer-"));
  trouble = [];
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
  file = new File(join(folder, "data"), crypto);
  plane = await startControlPlane({
    config: await config("zero"),
    openStorage: () => openFileStorage(join(folder, "data")),
    file,
    crypto,
    keyLog: undefined,
    now: Date.now,
    onTrouble: (error) => void trouble.push(error),
  });
  plane.keepFresh(() => {});
  await plane.written();
});
afterEach(async () => {
  plane.stop();
  vi.useRealTimers();
  await rm(folder, { recursive: true });
});

const config = (text: string) =>
  parseConfig(`[[site]]\nnames = ["localhost"]\nrespond = "${text}"\n`, join(folder, "sotto.toml"));

async function kept(): Promise<unknown> {
  const { stored } = await new SnapshotFile(join(folder, "data"), crypto).read();
  const { slots } = stored!.table;
  for (let slot = 0; slot < slots.length; slot++) {
    if (slots.get(slot)?.names.includes("localhost")) return slots.get(slot)!.handler;
  }
  return undefined;
}

test("What waited behind a write that failed is written all the same", async () => {
  file.isFull = true;
  const { promise, resolve } = Promise.withResolvers<void>();
  file.gate = promise;
  await plane.reload(await config("first"));
  await vi.waitFor(() => expect(file.tries).toBe(2));
  file.isFull = false;
  await plane.reload(await config("second"));
  resolve();
  await plane.written();
  expect(trouble).toHaveLength(1);
  expect(await kept()).toMatchObject({ kind: "respond", text: "second" });
});

test("A disk that was full is tried again each minute, though nothing has changed since", async () => {
  file.isFull = true;
  await plane.reload(await config("later"));
  await plane.written();
  for (let i = 1; i <= 2; i++) {
    expect(trouble).toHaveLength(i);
    vi.advanceTimersByTime(60_000);
    await plane.settled();
    await plane.written();
  }
  expect(await kept()).toMatchObject({ kind: "respond", text: "zero" });
  file.isFull = false;
  vi.advanceTimersByTime(60_000);
  await plane.settled();
  await plane.written();
  expect(trouble).toHaveLength(3);
  expect(await kept()).toMatchObject({ kind: "respond", text: "later" });
  const { tries } = file;
  vi.advanceTimersByTime(60_000);
  await plane.settled();
  await plane.written();
  expect(file.tries).toBe(tries);
});
