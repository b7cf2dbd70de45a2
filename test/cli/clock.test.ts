import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

import { afterEach, beforeEach, expect, test } from "vitest";

import { curl, type Program, startProgram, whenReady } from "../support/program.ts";

let folder: string;
let running: Program | undefined;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "sotto-clock-"));
});
afterEach(async () => {
  running?.child.kill("SIGKILL");
  await running?.ended;
  await rm(folder, { recursive: true });
});

const DAY_MS = 86_400_000;

test.each([1, -1, 400, -400])(
  "acme 14.15b: a start with a clock that is wrong by %i days destroys no key, and no trust",
  async (days) => {
    const first = await serveOnce(0);
    const keys = await secrets();
    expect(keys.has("pki/authorities/local/root.key")).toBe(true);
    expect([...keys.keys()].filter((name) => name.startsWith("ech/"))).toHaveLength(1);
    await serveOnce(days * DAY_MS);
    await expectKept(keys);
    // The clock is right again: who trusted the root, or knows the ECH key, still finds what fits.
    const last = await serveOnce(0, async (port) => {
      const root = join(folder, "data/pki/authorities/local/root.crt");
      const page = await curl("--cacert", root, `https://localhost:${port}/connection.json`);
      expect(JSON.parse(page)).toMatchObject({ "Server name": "localhost" });
    });
    expect(last.ech).toEqual(first.ech);
    await expectKept(keys);
  },
);

async function expectKept(keys: ReadonlyMap<string, Buffer>): Promise<void> {
  const now = await secrets();
  for (const [name, bytes] of keys) expect(now.get(name), name).toEqual(bytes);
}

/** Starts, and stops it once it has served. */
async function serveOnce(offsetMs: number, visit?: (port: string) => Promise<void>) {
  const file = join(folder, "ready.json");
  const ports = ["--listen", "127.0.0.1", "--https-port", "0", "--http-port", "0"];
  running = startProgram(
    [`${offsetMs}`, ...ports, "--data", join(folder, "data"), "--ready-file", file],
    { cwd: folder, script: join(import.meta.dirname, "fixtures/with-clock.ts") },
  );
  const ready = await whenReady(running, file);
  await visit?.(ready.https[0]!.split(":").at(-1)!);
  process.kill(running.child.pid!, "SIGTERM");
  expect((await running.ended).code).toBe(0);
  return ready;
}

/** What cannot be made again: the root's key, and the keys of ECH. Those of leaves come and go. */
async function secrets(): Promise<Map<string, Buffer>> {
  const data = join(folder, "data");
  const found = new Map<string, Buffer>();
  for (const name of await readdir(data, { recursive: true })) {
    if (!/^pki\/.*root.*\.key$|^ech\/keys\/.*\.json$/.test(name)) continue;
    found.set(name, await readFile(join(data, name)));
  }
  return found;
}
