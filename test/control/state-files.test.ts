import { mkdir, mkdtemp, readdir, rm, utimes } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, expect, test, vi } from "vitest";

import { StateFiles } from "../../src/control/state-files.ts";
import { openFileStorage } from "../../src/control/storage/files.ts";
import { Snapshot } from "../../src/snapshot/snapshot.ts";
import type { ServerConfig } from "../../src/tls/config.ts";
import { testCrypto } from "../support/server-config.ts";

/** The machine goes down before a file gets its name. */
let crashes = false;
vi.mock("node:fs/promises", async (original) => {
  const real = await original<typeof import("node:fs/promises")>();
  const isLast = (to: string) => crashes && to === join(data, "snapshot.bin");
  return {
    ...real,
    rename: (from: string, to: string) =>
      isLast(to) ? Promise.reject(new Error("crash")) : real.rename(from, to),
    rm: (path: string, options: object) =>
      crashes && path.includes("~") ? Promise.resolve() : real.rm(path, options),
  };
});

let data = "";
afterEach(() => rm(data, { recursive: true }));

test("What a crash leaves of a snapshot, whose keys are secret, is swept like all that is half-written", async () => {
  data = await mkdtemp(join(tmpdir(), "sotto-states-"));
  const states = join(data, "instances", "1.states");
  await mkdir(states, { recursive: true });
  const files = new StateFiles(data, states, testCrypto);
  const snapshot = new Snapshot({ server: {} as ServerConfig, sites: [] });
  const facts = { createdMs: 1, configHash: "", rootKey: "", authorities: "", flightPadding: 0 };
  crashes = true;
  await expect(files.write(snapshot, { ...facts, ech: undefined })).rejects.toThrow("crash");
  crashes = false;
  const left = (await readdir(data)).filter((name) => name !== "instances");
  expect(left.length).toBe(1);
  const old = new Date(Date.now() - 2 * 3600_000);
  await utimes(join(data, left[0]!), old, old);
  await openFileStorage(data);
  expect(await readdir(data)).toEqual(["instances"]);
});
