import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

import { expect, test } from "vitest";

import { curl } from "../support/program.ts";
import { CliKit, type Serving } from "./cli-kit.ts";

const cli = new CliKit("clock");

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
    const last = await serveOnce(0, async ({ https }) => {
      const root = join(cli.folder, "data/pki/authorities/local/root.crt");
      const page = await curl("--cacert", root, `https://localhost:${https}/connection.json`);
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
async function serveOnce(offsetMs: number, visit?: (serving: Serving) => Promise<void>) {
  const script = join(import.meta.dirname, "fixtures/with-clock.ts");
  const serving = await cli.serve([], { first: [`${offsetMs}`], script });
  await visit?.(serving);
  expect(await serving.stop()).toBe(0);
  return serving.ready;
}

/** What cannot be made again: the root's key, and the keys of ECH. Those of leaves come and go. */
async function secrets(): Promise<Map<string, Buffer>> {
  const data = join(cli.folder, "data");
  const found = new Map<string, Buffer>();
  for (const name of await readdir(data, { recursive: true })) {
    if (!/^pki\/.*root.*\.key$|^ech\/keys\/.*\.json$/.test(name)) continue;
    found.set(name, await readFile(join(data, name)));
  }
  return found;
}
