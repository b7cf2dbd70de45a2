import { chown, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, expect, test } from "vitest";

import { findDataFolder, warnOfContainer } from "../../src/cli/data-folder.ts";
import { CommandError } from "../../src/cli/explain.ts";
import { openKeyLog } from "../../src/cli/key-log.ts";
import { clearReadyFile, type Ready, writeReadyFile } from "../../src/cli/ready-file.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "sotto-cli-"));
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

const ready: Ready = {
  pid: 7,
  workers: null,
  runtime: "bun",
  https: ["127.0.0.1:8443", "[::1]:8443"],
  http: [],
  root: "/data/root.pem",
  health: "/data/health.sock",
  ech: { publicName: "cover.localhost", configList: "AA==" },
  sites: [{ names: ["localhost"], handler: "app" }],
};

test("The ready file appears whole, for others to read, and nothing beside it", async () => {
  const path = join(folder, "ready.json");
  await writeFile(path, "old");
  await writeReadyFile(path, ready);
  expect(JSON.parse(await readFile(path, "utf8"))).toEqual(ready);
  expect((await stat(path)).mode & 0o777).toBe(0o644);
  expect(await readdir(folder)).toEqual(["ready.json"]);
});

test("A ready file that cannot be put in place leaves nothing behind", async () => {
  const inNone = join(folder, "no/such");
  const there = join(folder, "there");
  await mkdir(there);
  const inFile = join(folder, "file/ready.json");
  await writeFile(join(folder, "file"), "");
  for (
    const [path, why] of [
      [there, "it is a folder"],
      [inNone, "there is no such folder"],
      [`${inNone}/`, "there is no such folder"],
      [inFile, "what should be its folder is a file"],
    ] as const
  ) {
    const error = new CommandError(
      `Cannot write the ready file ${path}: ${why}. Name another file with --ready-file`,
    );
    await expect(writeReadyFile(path, ready)).rejects.toThrow(error);
    await expect(clearReadyFile(path)).rejects.toThrow(error);
  }
  expect((await readdir(folder)).sort()).toEqual(["file", "there"]);
});

test("A ready file of an earlier run goes before another one starts", async () => {
  const path = join(folder, "ready.json");
  await clearReadyFile(path);
  await writeFile(path, "old");
  await clearReadyFile(path);
  expect(await readdir(folder)).toEqual([]);
});

test.skipIf(process.getuid?.() !== 0)("Root writes it into anybody's folder", async () => {
  await chown(folder, 65_534, 65_534);
  const path = join(folder, "ready.json");
  await clearReadyFile(path);
  expect(await readdir(folder)).toEqual([]);
  await writeReadyFile(path, ready);
  expect(await readdir(folder)).toEqual(["ready.json"]);
});

test("policy 1.9: the data folder is the given one, SOTTO_DATA, XDG's, the home's, the working one", () => {
  const all = { SOTTO_DATA: "s", XDG_DATA_HOME: "/xdg", HOME: "/home/me" };
  const path = (given: string | undefined, environment: Record<string, string>) =>
    findDataFolder(given, environment, "/srv").path;
  expect(path("d", all)).toBe("/srv/d");
  expect(path(undefined, all)).toBe("/srv/s");
  expect(path(undefined, { ...all, SOTTO_DATA: "" })).toBe("/xdg/sotto");
  expect(path(undefined, { XDG_DATA_HOME: "relative", HOME: "/home/me" })).toBe(
    "/home/me/.local/share/sotto",
  );
  const last = findDataFolder(undefined, {}, "/srv");
  expect(last.path).toBe("/srv/sotto-data");
  expect(last.warning).toContain("/srv/sotto-data");
});

test("policy 1.9: in a container a data folder that is no volume is warned of", () => {
  const on = (devices: Record<string, number>, isContainer = true) =>
    warnOfContainer("/data", { isContainer: () => isContainer, device: (path) => devices[path] });
  expect(on({ "/": 1, "/data": 1 })).toBe(
    "the data folder /data is no volume: keys are lost with this container. Mount one there",
  );
  expect(on({ "/": 1, "/data": 2 })).toBeUndefined();
  expect(on({ "/": 1, "/data": 1 }, false)).toBeUndefined();
});

test("tls13 15: the key log is appended to and private, whatever it was", async () => {
  const path = join(folder, "keys.log");
  await writeFile(path, "old\n", { mode: 0o644 });
  const log = openKeyLog(path);
  log.line("CLIENT_RANDOM 1");
  log.line("CLIENT_RANDOM 2");
  log.close();
  expect(await readFile(path, "utf8")).toBe("old\nCLIENT_RANDOM 1\nCLIENT_RANDOM 2\n");
  expect((await stat(path)).mode & 0o777).toBe(0o600);
});

test("A key log that cannot be written is told with its path", () => {
  const inNone = join(folder, "no/keys.log");
  expect(() => openKeyLog(inNone)).toThrow(
    new CommandError(
      `Cannot write the key log ${inNone}: there is no such folder. Name another file with --key-log`,
    ),
  );
  expect(() => openKeyLog(folder)).toThrow(`Cannot write the key log ${folder}: it is a folder`);
});
