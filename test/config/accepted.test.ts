import { chmod, mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { loadAccepted } from "../../src/config/accepted.ts";
import { loadConfig } from "../../src/config/load.ts";

let folder: string;
let file: string;
let data: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "sotto-accepted-"));
  file = join(folder, "sotto.toml");
  data = join(folder, "data");
  await mkdir(data);
});
afterEach(async () => {
  vi.restoreAllMocks();
  await rm(folder, { recursive: true });
});

const site = (i: number, more = "") =>
  `[[site]]\nnames = ["n${i}.localhost", "www.n${i}.localhost"]\nrespond = "text ${
    i % 3
  }"\n${more}`;

/** More than is worth keeping. */
const large = (first = "") => first + Array.from({ length: 5000 }, (_, i) => site(i)).join("");

const kept = () => readFile(join(data, "config.bin"));
const load = (version = "1") => loadAccepted(file, data, version);

test("A large configuration is the same when it comes back, and is checked no more", async () => {
  const odd = site(9999, 'alpn = []\ngroups = ["x25519"]\nclient_auth = { mode = "require" }\n');
  await writeFile(file, large() + odd);
  const { textHash, ...first } = await load();
  expect(textHash).toMatch(/^[0-9a-f]{64}$/);
  expect(first).toEqual(await loadConfig(file));
  expect((await stat(join(data, "config.bin"))).mode & 0o777).toBe(0o600);
  const { mtimeMs } = await stat(join(data, "config.bin"));
  expect(await load()).toEqual({ ...first, textHash });
  expect(JSON.stringify((await load()).sites)).toBe(JSON.stringify(first.sites));
  expect((await stat(join(data, "config.bin"))).mtimeMs).toBe(mtimeMs);
});

test("Another text, another place and another version are checked", async () => {
  await writeFile(file, large());
  const first = await load();
  expect((await load("2")).textHash).not.toBe(first.textHash);
  await writeFile(file, large("# more\n"));
  expect((await load()).textHash).not.toBe(first.textHash);
  await writeFile(file, large('http_port = "x"\n'));
  await expect(load()).rejects.toThrow(/http_port/);
});

test("What somebody else has put there is passed over and written anew", async () => {
  await writeFile(file, large());
  const config = await load();
  const { ino } = await stat(join(data, "config.bin"));
  expect(await load()).toEqual(config);
  expect((await stat(join(data, "config.bin"))).ino).toBe(ino);
  const uid = process.geteuid!();
  vi.spyOn(process as { geteuid: () => number }, "geteuid").mockReturnValue(uid + 1);
  expect(await load()).toEqual(config);
  expect((await stat(join(data, "config.bin"))).ino).not.toBe(ino);
});

test("A small one is not kept", async () => {
  await writeFile(file, site(1));
  expect((await load()).textHash).toBeUndefined();
  await expect(kept()).rejects.toThrow("ENOENT");
});

test("What is damaged, cut or open to others is passed over and written anew", async () => {
  await writeFile(file, large());
  const first = await load();
  const whole = await kept();
  for (const at of [0, 40, 70, whole.length - 1]) {
    const damaged = Uint8Array.from(whole);
    damaged[at]! ^= 1;
    await writeFile(join(data, "config.bin"), damaged);
    expect(await load()).toEqual(first);
    expect(await kept()).toEqual(whole);
  }
  for (const length of [0, 31, 64, 1000]) {
    await writeFile(join(data, "config.bin"), whole.subarray(0, length));
    expect(await load()).toEqual(first);
  }
  await chmod(join(data, "config.bin"), 0o644);
  expect(await load()).toEqual(first);
  expect((await stat(join(data, "config.bin"))).mode & 0o777).toBe(0o600);
});

test("Where nothing can be kept, it is checked each time", async () => {
  await writeFile(file, large());
  await rm(data, { recursive: true });
  expect((await load()).sites).toHaveLength(5000);
  expect((await load()).sites).toHaveLength(5000);
});
