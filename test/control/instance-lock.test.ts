import { type ChildProcess, spawn } from "node:child_process";
import { chown, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

import { afterEach, beforeEach, expect, test } from "vitest";

import {
  type Instance,
  InstanceError,
  instanceOn,
  instanceSocket,
  readInstanceLocks,
  takeInstanceLock,
} from "../../src/control/instance-lock.ts";
import { holdLock } from "../support/held-lock.ts";

const ADDRESS = "127.0.0.1:443";

let folder: string;
let other: ChildProcess;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "sotto-lock-"));
  other = spawn("sleep", ["60"], { stdio: "ignore" });
});
afterEach(async () => {
  other.kill("SIGKILL");
  await rm(folder, { recursive: true });
});

test("design 12: a process's lock says who it is, to nobody else, and is given up", async () => {
  const lock = await takeInstanceLock(folder, "[::1]:8443");
  const file = join(folder, "instances", hostname(), "__1.8443.json");
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  expect(await readInstanceLocks(folder)).toMatchObject([
    { pid: process.pid, address: "[::1]:8443" },
  ]);
  expect(await instanceOn(folder, "[::1]:8443")).toBeUndefined(); // it is ourselves
  await writeFile(instanceSocket(folder, "[::1]:8443"), "");
  await lock.release();
  expect(await readdir(join(folder, "instances", hostname()))).toEqual([]);
  expect(await readInstanceLocks(folder)).toEqual([]);
});

test("design 12: a second process with the address is refused, and told of --takeover where it can ask for that", async () => {
  await held({});
  const refused = await Promise.all(
    [{ takeover: false }, {}].map((options) =>
      takeInstanceLock(folder, ADDRESS, options).catch((error: unknown) => error)
    ),
  );
  for (const error of refused) expect(error).toBeInstanceOf(InstanceError);
  const taken =
    `Cannot serve on ${ADDRESS}: sotto with process id ${other.pid} serves there from the same data folder. `;
  expect(refused.map((error) => (error as InstanceError).message)).toEqual([
    `${taken}Add --takeover to follow it without losing a connection, or stop it with: kill ${other.pid}`,
    `${taken}Stop it with: kill ${other.pid}`,
  ]);
  expect(await instanceOn(folder, ADDRESS)).toMatchObject({ pid: other.pid });
  expect(await instanceOn(folder, "127.0.0.1:444")).toBeUndefined();
  const second = await takeInstanceLock(folder, "127.0.0.1:444");
  expect((await readInstanceLocks(folder)).map(({ address }) => address)).toEqual([
    ADDRESS,
    "127.0.0.1:444",
  ]);
  await second.release();
});

test("A takeover has the lock at once, and the one before cannot give it up any more", async () => {
  const before = await takeInstanceLock(folder, ADDRESS);
  await held({});
  await before.release(); // not its own any more
  expect(await instanceOn(folder, ADDRESS)).toMatchObject({ pid: other.pid });
  const lock = await takeInstanceLock(folder, ADDRESS, { takeover: true });
  expect(await readInstanceLocks(folder)).toMatchObject([{ pid: process.pid }]);
  await lock.release();
});

test.skipIf(process.getuid?.() !== 0)("Root reads anybody's", async () => {
  const lock = await takeInstanceLock(folder, ADDRESS);
  const locks = join(folder, "instances", hostname());
  const [name] = (await readdir(locks)).filter((name) => name.endsWith(".json"));
  await chown(join(locks, name!), 65_534, 65_534);
  expect(await readInstanceLocks(folder)).toMatchObject([{ pid: process.pid }]);
  await lock.release();
});

test("A dead process's lock counts for nothing", async () => {
  await held({});
  const ended = new Promise((resolve) => other.once("exit", resolve));
  other.kill("SIGKILL");
  await ended;
  expect(await readInstanceLocks(folder)).toEqual([]);
  const lock = await takeInstanceLock(folder, ADDRESS);
  expect(await readInstanceLocks(folder)).toMatchObject([{ pid: process.pid }]);
  await lock.release();
});

test("Nor does one whose process id has gone to another process, or that is of another boot", async () => {
  for (const change of [{ began: "1" }, { boot: "another" }]) {
    await held(change);
    expect(await instanceOn(folder, ADDRESS), JSON.stringify(change)).toBeUndefined();
    await (await takeInstanceLock(folder, ADDRESS)).release();
  }
});

test("Nor does one that is not whole", async () => {
  const file = await held({});
  for (const text of ["", "{", "[]", '{"pid":0}']) {
    await writeFile(file, text);
    await (await takeInstanceLock(folder, ADDRESS)).release();
  }
});

test("Where the process cannot be seen, its socket is called", async () => {
  const strangers: Partial<Instance>[] = [{ container: "pid:[1]" }, { began: "" }, { boot: "" }];
  for (const stranger of strangers) {
    await held(stranger);
    expect(await instanceOn(folder, ADDRESS)).toBeUndefined();
  }
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(instanceSocket(folder, ADDRESS), resolve));
  for (const stranger of strangers) {
    await held(stranger);
    expect(await instanceOn(folder, ADDRESS)).toMatchObject({ pid: other.pid });
    await expect(takeInstanceLock(folder, ADDRESS)).rejects.toThrow(InstanceError);
  }
  await new Promise((resolve) => server.close(resolve));
});

test("Of many that find a dead one's lock, one gets it", async () => {
  const file = await held({ began: "1" });
  const tries = await Promise.allSettled(
    Array.from({ length: 8 }, () => takeInstanceLock(folder, ADDRESS)),
  );
  const got = tries.filter(({ status }) => status === "fulfilled");
  expect(got).toHaveLength(1);
  expect(await readdir(join(file, ".."))).toEqual(["127.0.0.1.443.json"]);
});

/** A lock of `other`, but for what is changed. */
async function held(change: Partial<Instance>): Promise<string> {
  return await holdLock(folder, ADDRESS, other.pid!, change);
}
