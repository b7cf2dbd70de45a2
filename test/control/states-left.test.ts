import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";

import { afterEach, beforeEach, expect, test } from "vitest";

import { StateFiles } from "../../src/control/state-files.ts";
import { Snapshot } from "../../src/snapshot/snapshot.ts";
import type { ServerConfig } from "../../src/tls/config.ts";
import { testCrypto } from "../support/server-config.ts";

/** Above what Linux gives. */
const NOBODY = 2 ** 22 + 1;

let folder: string;
let gates: Server[];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "sotto-states-"));
  gates = [];
});
afterEach(async () => {
  for (const gate of gates) gate.close();
  await rm(folder, { recursive: true });
});

async function openGate(
  name: string,
  welcome = (socket: Socket): void => void socket.once("data", () => socket.destroy()),
): Promise<void> {
  const gate = createServer((socket) => welcome(socket.on("error", () => {})));
  gates.push(gate);
  await new Promise<void>((resolve) => void gate.listen({ path: join(folder, name) }, resolve));
}

test("What the dead left is swept away, and nothing else", async () => {
  const { ppid } = process;
  for (const pid of [NOBODY, ppid, process.pid]) {
    await mkdir(join(folder, `${pid}-aaaaaa.states/1`), { recursive: true });
  }
  await writeFile(join(folder, `${NOBODY}-bbbbbb.gate`), "");
  await writeFile(join(folder, "127.0.0.1.443.json"), "{}");
  await StateFiles.sweep(folder);
  expect((await readdir(folder)).sort()).toEqual(
    ["127.0.0.1.443.json", `${ppid}-aaaaaa.states`].sort(),
  );
});

test("A gate that is open, and that nobody keeps, is no sign of life", async () => {
  await mkdir(join(folder, `${NOBODY}-aaaaaa.states`));
  await openGate(`${NOBODY}-bbbbbb.gate`, () => {});
  await StateFiles.sweep(folder);
  expect(await readdir(folder)).toEqual([]);
});

test("Of another container's, with this process's id or nobody's here, what lives is left", async () => {
  for (const pid of [NOBODY, process.pid]) {
    await mkdir(join(folder, `${pid}-aaaaaa.states`));
    await openGate(`${pid}-bbbbbb.gate`);
  }
  const before = await readdir(folder);
  await StateFiles.sweep(folder);
  expect((await readdir(folder)).sort()).toEqual(before.sort());
  expect(StateFiles.folderIn(folder)).not.toBe(StateFiles.folderIn(folder));
});

test("Snapshots stay as long as somebody is to read them", async () => {
  const files = new StateFiles(folder, join(folder, "own"), testCrypto);
  const snapshot = new Snapshot({ server: {} as ServerConfig, sites: [] });
  const facts = { createdMs: 1, configHash: "", rootKey: "", authorities: "", flightPadding: 0 };
  const paths: string[] = [];
  for (let i = 0; i < 4; i++) {
    await files.write(snapshot, { ...facts, ech: undefined });
    paths.push(await files.newest());
  }
  await files.keepOnly(new Set([paths[1]!, paths[3]!]));
  expect(await readdir(join(folder, "own"))).toEqual(["2", "4"]);
  expect(dirname(paths[1]!)).toBe(join(folder, "own/2"));
});
