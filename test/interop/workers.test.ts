import { chmodSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import type { NetworkNamespace } from "./support/namespace.ts";
import { must, words } from "./support/run.ts";
import { type RunningServer, SERVER, startServer } from "./support/server.ts";
import { exitCode, openSuccession, PORT, type Succession } from "./support/under-load.ts";

const TOML = `
workers = 2
[[site]]
names = ["localhost"]
respond = "served"
`;

let succession: Succession;
let network: NetworkNamespace;
let folder: string;
let serving: RunningServer;
beforeAll(async () => {
  succession = await openSuccession(TOML);
  ({ network, folder } = succession);
  serving = await succession.start();
});
afterAll(async () => {
  await succession?.close();
});

const load = (seconds: number, ...more: string[]) =>
  succession.load(serving.ready.root, seconds, ...more);

async function until(what: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!await what()) {
    if (Date.now() > deadline) throw new Error(`in vain: ${String(what)}\n${serving.output()}`);
    await delay(20);
  }
}

async function curl(...args: string[]): Promise<string> {
  const [command, ...before] = network.within;
  return (await must(command!, [...before, "curl", "-sS", "--max-time", "10", ...args])).stdout;
}

function readyz(): Promise<string> {
  return curl("--unix-socket", serving.ready.health!, "http://localhost/readyz");
}

/** Of the workers that serve now, as their marks say. */
function workers(): number[] {
  const [host] = readdirSync(join(folder, "data/instances"));
  return readdirSync(join(folder, "data/instances", host!)).flatMap((name) => {
    const pid = /\.(\d+)\.worker$/.exec(name)?.[1];
    return pid === undefined || !isAlive(Number(pid)) ? [] : [Number(pid)];
  });
}

function isAlive(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) [ZX]/.test(readFileSync(`/proc/${pid}/stat`, "latin1"));
  } catch {
    return false;
  }
}

/** The clients' ports of the connections that a process has accepted. */
async function peersOf(pid: number): Promise<number[]> {
  const [command, ...before] = network.within;
  const { stdout } = await must(command!, [...before, "ss", "-tnHe", "sport", "=", `:${PORT}`]);
  const own = new Set(
    readdirSync(`/proc/${pid}/fd`).map((fd) => {
      try {
        return readlinkSync(`/proc/${pid}/fd/${fd}`);
      } catch {
        return "";
      }
    }),
  );
  return stdout.split("\n").flatMap((line) => {
    const peer = line.split(/\s+/)[4];
    const inode = /\bino:(\d+)/.exec(line)?.[1];
    return own.has(`socket:[${inode}]`) ? [Number(peer!.split(":").at(-1))] : [];
  });
}

/** It stands still from now on, all of it: what it has is all that it will ever have. */
async function stop(pid: number): Promise<void> {
  process.kill(pid, "SIGSTOP");
  const isStopped = (thread: string) => {
    try {
      return /^\d+ \(.*\) T/.test(readFileSync(`/proc/${pid}/task/${thread}/stat`, "latin1"));
    } catch {
      return true; // it has ended
    }
  };
  await until(() => readdirSync(`/proc/${pid}/task`).every(isStopped));
}

test(`design 2: two workers of ${SERVER} serve, and the supervisor touches no client's socket`, async () => {
  expect(serving.ready.workers).toHaveLength(2);
  expect(new Set(workers())).toEqual(new Set(serving.ready.workers));
  expect(await readyz()).toBe("ready\n2 of 2 workers serve\n");
  const loaded = load(2);
  await delay(700);
  expect(await peersOf(serving.ready.pid)).toEqual([]);
  const { stdout } = await must(network.within[0]!, [
    ...network.within.slice(1),
    ..."ss -tlnpH".split(" "),
  ]);
  expect(stdout).not.toContain(`pid=${serving.ready.pid},`);
  for (const pid of workers()) expect(stdout).toContain(`pid=${pid},`);
  expect(await loaded).toMatchObject({ failed: 0, failures: [] });
});

test("design 2: a ticket from one worker resumes on every other one", async () => {
  const result = await load(1.5, "-resume");
  expect(result).toMatchObject({ failed: 0, failures: [] });
  expect(result.ok).toBeGreaterThan(50);
  expect(result.resumed).toBe(result.ok);
});

test("issue 4: replacing each worker under load, three times over, loses no connection", async () => {
  const loaded = load(9);
  await delay(1_000);
  for (let i = 1; i <= 3; i++) {
    const before = workers();
    process.kill(serving.ready.pid, "SIGUSR2");
    await until(() => serving.events("workers_replaced").length === i);
    await until(() => !workers().some((pid) => before.includes(pid)));
    expect(workers()).toHaveLength(2);
  }
  const result = await loaded;
  expect(succession.lost(result)).toEqual([]);
  expect(result.ok).toBeGreaterThan(500);
});

test("issue 4: kill -9 of a worker under load ends its own connections and no others", async () => {
  const held = await succession.hold(serving.ready.root, 40);
  const [survivor] = workers();
  const loaded = load(8);
  const victims = new Set<number>();
  for (let i = 0; i < 3; i++) {
    await delay(800);
    const [victim] = workers().filter((pid) => pid !== survivor);
    // What waits in its queue is not its own yet: another one gets that.
    await stop(victim!);
    for (const port of await peersOf(victim!)) victims.add(port);
    process.kill(victim!, "SIGKILL");
    await until(() => !workers().includes(victim!) && workers().length === 2);
    await until(async () => await readyz() === "ready\n2 of 2 workers serve\n");
  }
  const survivors = new Set(await peersOf(survivor!));
  const { answered, unanswered } = await held.ask();
  // Those that were there from the start are all accounted for, one way or the other.
  expect(unanswered.filter((port) => !victims.has(port))).toEqual([]);
  expect(answered.filter((port) => !survivors.has(port))).toEqual([]);
  expect(answered.length).toBeGreaterThan(0);
  expect(unanswered.length).toBeGreaterThan(0);
  const result = await loaded;
  console.log(
    `${victims.size} connections of those killed: of the held ones ${unanswered.length} ended and ` +
      `${answered.length} did not, of the load's ${result.failed} ended`,
  );
  expect(result.failures).toHaveLength(result.failed);
  expect(succession.lost(result, victims)).toEqual([]);
  expect(result.ok).toBeGreaterThan(200);
  expect(serving.events("worker_died")).toHaveLength(3);
});

test("design 12: --takeover of a supervisor under load loses no connection", async () => {
  const loaded = load(6);
  await delay(1_000);
  const before = serving;
  const old = workers();
  serving = await succession.start("--takeover");
  expect(await exitCode(before), before.output()).toBe(0);
  expect(old.filter(isAlive)).toEqual([]);
  expect(succession.lost(await loaded)).toEqual([]);
  expect(await readyz()).toBe("ready\n2 of 2 workers serve\n");
});

test("issue 4: without a supervisor its workers serve on, and the next start takes their place", async () => {
  const orphans = workers();
  const loaded = load(8);
  await delay(500);
  process.kill(serving.ready.pid, "SIGKILL");
  await until(() => serving.child.signalCode !== null);
  await delay(1_500);
  expect(workers()).toEqual(orphans);
  serving = await succession.start();
  await until(() => orphans.every((pid) => !isAlive(pid)));
  expect(succession.lost(await loaded)).toEqual([]);
  expect(new Set(workers())).toEqual(new Set(serving.ready.workers));
  expect(await readyz()).toBe("ready\n2 of 2 workers serve\n");
});

test("design 12: SIGTERM ends the supervisor and all workers in order", async () => {
  const all = workers();
  process.kill(serving.ready.pid, "SIGTERM");
  expect(await exitCode(serving), serving.output()).toBe(0);
  expect(all.filter(isAlive)).toEqual([]);
  expect(workers()).toEqual([]);
});

describe("as a user, on ports below 1024", () => {
  let own: string;
  let server: RunningServer;
  beforeAll(async () => {
    own = mkdtempSync(join(tmpdir(), "sotto-workers-user-"));
    chmodSync(own, 0o777);
    server = await startServer({
      toml: `user = "daemon"\n${TOML}`,
      folder: own,
      within: network.within,
      args: words`--https-port 443 --http-port 80`,
    });
  });
  afterAll(async () => {
    await server?.stop();
    rmSync(own, { recursive: true, force: true });
  });

  const ids = (pid: number) => {
    const status = readFileSync(`/proc/${pid}/status`, "latin1");
    const field = (name: string) => new RegExp(`^${name}:\\s*(.*)$`, "m").exec(status)![1];
    return { uid: field("Uid"), gid: field("Gid"), capabilities: field("CapPrm") };
  };
  const daemon = { uid: "1\t1\t1\t1", gid: "1\t1\t1\t1", capabilities: "0000000000000000" };
  const page = () =>
    curl(
      "--cacert",
      server.ready.root,
      "--resolve",
      "localhost:443:127.0.0.1",
      "https://localhost/",
    );

  test("design 12: no worker has anything left of root, and the supervisor is the user meanwhile", async () => {
    expect(server.ready.https).toEqual(["127.0.0.1:443"]);
    expect(server.ready.http).toEqual(["127.0.0.1:80"]);
    for (const pid of server.ready.workers!) expect(ids(pid)).toEqual(daemon);
    expect(ids(server.ready.pid).uid).toBe("0\t1\t0\t1");
    expect(await page()).toBe("served");
  });

  test("issue 4: a worker that was killed is replaced by one that could bind, and is as little root", async () => {
    process.kill(server.ready.workers![0]!, "SIGKILL");
    await until(() => server.events("worker_started").length === 1);
    const [{ pid }] = server.events("worker_started") as [{ pid: number }];
    expect(ids(pid)).toEqual(daemon);
    expect(await page()).toBe("served");
    const { stdout } = await must("find", [join(own, "data"), "!", "-user", "daemon"]);
    expect(stdout).toBe("");
  });
});
