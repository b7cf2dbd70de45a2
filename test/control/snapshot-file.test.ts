import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { SnapshotFile } from "../../src/control/snapshot-file.ts";
import type { SnapshotFacts } from "../../src/snapshot/codec.ts";
import { Snapshot } from "../../src/snapshot/snapshot.ts";
import type { ServerConfig } from "../../src/tls/config.ts";
import { bareSite } from "../support/bare-site.ts";
import { testCrypto, testEchKey } from "../support/server-config.ts";

let folder: string;
let file: SnapshotFile;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "sotto-snapshot-"));
  file = new SnapshotFile(folder, testCrypto);
});
afterEach(async () => {
  vi.restoreAllMocks();
  await rm(folder, { recursive: true });
});

const site = bareSite(["a.example", "*.a.example"]);
const snapshot = new Snapshot({ server: {} as ServerConfig, sites: [site] });
const facts: SnapshotFacts = {
  createdMs: 1,
  configHash: "",
  rootKey: "",
  authorities: "",
  flightPadding: 0,
  ech: undefined,
};

const ignored = (why: string) => ({ warning: `The snapshot in ${file.path} is ignored: ${why}` });

describe("The snapshot's file", () => {
  test("is held in memory: what becomes of it later touches nobody who has read it", async () => {
    await file.write(snapshot, facts);
    const { stored } = await file.read();
    await writeFile(file.path, new Uint8Array(10_000).fill(0xff), { flag: "r+" });
    await writeFile(file.path, "");
    expect(stored!.table.slots.get(0)).toMatchObject({ names: site.names, handler: site.handler });
    expect(await file.read()).toEqual(ignored("it is no snapshot of this version"));
  });

  test("of somebody else is not served, even where it can be read", async () => {
    await file.write(snapshot, facts);
    expect(await file.read()).toHaveProperty("stored");
    const uid = process.geteuid!();
    vi.spyOn(process as { geteuid: () => number }, "geteuid").mockReturnValue(uid + 1);
    expect(await file.read()).toEqual(ignored(`it belongs to user ${uid}. Remove it`));
  });

  test("with an ECH key that is of no use is ignored, and does not keep a start from building another", async () => {
    const { config, privateKey } = testEchKey();
    const keys = (privateKey: Uint8Array, retry = true): SnapshotFacts["ech"] => ({
      state: "active",
      keys: [{ privateKey, config, retry, createdMs: 1 }],
    });
    await file.write(snapshot, { ...facts, ech: keys(privateKey) });
    expect(await file.read()).toHaveProperty("stored");
    await file.write(snapshot, { ...facts, ech: keys(privateKey.map((byte) => byte ^ 0x55)) });
    expect((await file.read()).warning).toContain("its public key belongs to another key");
    await file.write(snapshot, { ...facts, ech: keys(privateKey, false) });
    expect((await file.read()).warning).toContain("no key that clients can retry with");
  });
});
