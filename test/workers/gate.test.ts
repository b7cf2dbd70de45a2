import { chmod, mkdir, mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";

import { afterEach, beforeEach, expect, test } from "vitest";

import { Gate } from "../../src/workers/gate.ts";

let folder: string;
let gate: Gate;
let umask: number;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "sotto-gate-"));
  umask = process.umask(0);
});
afterEach(async () => {
  process.umask(umask);
  await gate.close();
  await rm(folder, { recursive: true });
});

const modeOf = async (path: string) => ((await stat(path)).mode & 0o777).toString(8);

test("Only its owner gets to it, whatever the umask is and the folder was", async () => {
  const place = join(folder, "instances");
  await mkdir(place);
  await chmod(place, 0o777);
  gate = await Gate.open(place);
  expect(dirname(gate.path)).toBe(place);
  expect(await modeOf(place)).toBe("700");
  expect(await modeOf(gate.path)).toBe("600");
});

test("Where the path is too long it lies in a temporary folder of its own, which goes with it", async () => {
  gate = await Gate.open(join(folder, "x".repeat(90)));
  const place = dirname(gate.path);
  expect(await modeOf(place)).toBe("700");
  expect(await modeOf(gate.path)).toBe("600");
  await gate.close();
  await expect(stat(place)).rejects.toThrow("ENOENT");
});

test("Nobody foresees its name", async () => {
  const first = gate = await Gate.open(folder);
  gate = await Gate.open(folder);
  expect(gate.path).not.toBe(first.path);
  await first.close();
  expect(await readdir(folder)).toHaveLength(1);
});
