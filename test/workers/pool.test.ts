import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

import { afterEach, beforeEach, expect, test } from "vitest";

import { DEFAULT_CONFIG } from "../../src/config/config.ts";
import type { LogFields } from "../../src/edge/log.ts";
import { Gate } from "../../src/workers/gate.ts";
import type { WorkerLimits } from "../../src/workers/limits.ts";
import type { WorkerState } from "../../src/workers/messages.ts";
import { Pool } from "../../src/workers/pool.ts";

const FAKE = join(import.meta.dirname, "fixtures/fake-worker.ts");

let folder: string;
let gate: Gate;
let pool: Pool;
let children: ChildProcess[];
let events: [string, LogFields][];
let drainTimeoutMs: (state: WorkerState) => number;
/** How the next ones behave, the first first; then well. */
let manners: string[];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "sotto-pool-"));
  gate = await Gate.open(folder);
  [children, events, manners] = [[], [], []];
  drainTimeoutMs = () => 200;
});
afterEach(async () => {
  pool.kill();
  for (const child of children) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    await new Promise((resolve) => void child.once("exit", resolve));
  }
  await gate.close();
  await rm(folder, { recursive: true });
});

function state(snapshot: string): WorkerState {
  return {
    snapshot,
    tickets: { lifetimeSeconds: 1, keys: [] },
    ech: DEFAULT_CONFIG.ech,
    limits: {},
    handlers: [],
  };
}

function open(limits: Partial<WorkerLimits> = {}): Pool {
  return pool = new Pool({
    gate,
    spawn() {
      const before = "Deno" in globalThis ? ["run", "-A"] : [];
      const args = [...before, FAKE, gate.path, manners.shift() ?? "well"];
      const child = spawn(process.execPath, args, { stdio: ["ignore", "ignore", "inherit"] });
      children.push(child);
      return child;
    },
    start: {
      kind: "start",
      supervisor: { pid: process.pid, began: "", boot: "", container: "" },
      dataFolder: folder,
      https: [],
      http: [],
      options: { https: "", http: "" },
      debug: false,
      names: false,
      slowSignatures: "inline",
    },
    state: state("first"),
    answers: {
      onDemand: (name, client) =>
        name === "never.example"
          ? new Promise(() => {})
          : Promise.resolve(name === "a.example" && client === "::1"),
      challenge: (challenge) =>
        Promise.resolve([...Object.values(challenge), "answered"].join(" ")),
    },
    log: { event: (_level, event, fields) => void events.push([event, fields]) },
    startsAtOnce: 2,
    drainTimeoutMs,
    limits: { firstBackOffMs: 20, maxBackOffMs: 100, endMarginMs: 200, ...limits },
  });
}

async function until(what: () => boolean): Promise<void> {
  const deadline = Date.now() + 15_000;
  while (!what()) {
    if (Date.now() > deadline) {
      throw new Error(`in vain: ${String(what)} ${JSON.stringify(events)}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

function seen(event: string): LogFields[] {
  return events.flatMap(([name, fields]) => name === event ? [fields] : []);
}

test("All start with the same state, and what they log comes out with their number", async () => {
  await open().start(3);
  expect(pool.serving).toHaveLength(3);
  expect(new Set(pool.serving)).toEqual(new Set(children.map(({ pid }) => pid)));
  await until(() => seen("told").length === 3);
  expect(new Set(seen("told").map(({ worker }) => worker))).toEqual(new Set([1, 2, 3]));
  expect(seen("told").every(({ snapshot }) => snapshot === "first")).toBe(true);
});

test.for(
  [
    ["silent", "said nothing for 300 ms"],
    ["hangs", "did not serve within 300 ms"],
    ["dies", "exit code 3"],
    ["fails", "Cannot listen"],
    ["garbage", "its channel ended: no message"],
    ["impostor", "exit code 0"],
  ] as const,
)("A start with a worker that %s fails, and none is left", async ([how, why]) => {
  manners = ["well", how];
  const limits = { helloTimeoutMs: how === "silent" ? 300 : 4_000, startTimeoutMs: 300 };
  await expect(open(limits).start(2)).rejects.toThrow(why);
  expect(pool.serving).toEqual([]);
  expect(children.every(({ exitCode, signalCode }) => exitCode !== null || signalCode !== null))
    .toBe(true);
});

test("A failed start tells whose fault it was, as the worker named it", async () => {
  manners = ["fails"];
  await expect(open().start(1)).rejects.toMatchObject({ kind: "BindError", code: "EACCES" });
});

test("issue 4: who is killed is replaced, by one with the newest state", async () => {
  await open().start(2);
  pool.keep();
  await pool.adopt(state("second"));
  const [victim] = pool.serving;
  process.kill(victim!, "SIGKILL");
  await until(() => seen("worker_started").length === 1);
  expect(seen("worker_died")).toMatchObject([{ pid: victim, err: "SIGKILL" }]);
  expect(pool.serving).toHaveLength(2);
  expect(pool.serving).not.toContain(victim);
  await until(() => seen("told").length === 3);
  expect(seen("told").at(-1)).toMatchObject({ snapshot: "second" });
});

test("Who dies again and again waits longer each time, and at last serves", async () => {
  await open({ firstBackOffMs: 50, maxBackOffMs: 200 }).start(1);
  pool.keep();
  manners = ["dies", "dies", "dies"];
  const sinceMs = performance.now();
  process.kill(pool.serving[0]!, "SIGKILL");
  await until(() => seen("worker_started").length === 1);
  expect(performance.now() - sinceMs).toBeGreaterThan(50 + 100 + 200 + 200);
  expect(seen("worker_failed")).toHaveLength(3);
  expect(pool.serving).toHaveLength(1);
});

test("A worker that says what is no message is replaced", async () => {
  manners = ["late garbage"];
  await open().start(1);
  pool.keep();
  await until(() => seen("worker_started").length === 1);
  expect(pool.serving).toEqual([children[1]!.pid]);
  await until(() => children[0]!.exitCode !== null);
});

test.for(["asks too much", "is long", "makes up names"])(
  "A worker that %s is replaced",
  async (how) => {
    manners = [how];
    await open().start(1);
    pool.keep();
    await until(() => seen("worker_started").length === 1);
    expect(seen("worker_died")).toMatchObject([{ pid: children[0]!.pid }]);
    expect(pool.serving).toEqual([children[1]!.pid]);
  },
);

test("A worker that floods the log is heard, and so are the others", async () => {
  manners = ["floods"];
  await open().start(2);
  await until(() => events.length > 20_000 && seen("told").length === 2);
  expect(pool.serving).toHaveLength(2);
  await pool.adopt(state("second"));
});

test("design 2: a new state is taken by all, or it is said by whom not, and they are replaced", async () => {
  manners = ["well", "refuses"];
  await open({ adoptTimeoutMs: 300 }).start(2);
  pool.keep();
  await expect(pool.adopt(state("second"))).rejects.toThrow(
    /^Not taken by worker 2 \(process \d+\): a checksum is wrong\. Others take their place$/,
  );
  await until(() => seen("worker_started").length === 1);
  await pool.adopt(state("third"));
  expect(pool.serving).toHaveLength(2);
});

test("What one that starts is yet to read is not taken for forgotten", async () => {
  await open({ startTimeoutMs: 2_000 }).start(2);
  pool.keep();
  manners = ["hangs"];
  process.kill(pool.serving[0]!, "SIGKILL");
  await until(() => children.length === 3);
  await pool.adopt(state("second"));
  expect(new Set(pool.snapshots)).toEqual(new Set(["first", "second"]));
  await until(() => seen("worker_started").length === 1);
  expect(new Set(pool.snapshots)).toEqual(new Set(["second"]));
});

test("One that does not answer to a new state does not hold it up for ever", async () => {
  manners = ["ignores"];
  await open({ adoptTimeoutMs: 200 }).start(1);
  await expect(pool.adopt(state("second"))).rejects.toThrow("did not take it within 200 ms");
});

test("One that is killed while it is to take a new state has died: it has not left", async () => {
  manners = ["ignores"];
  await open().start(1);
  pool.keep();
  const [victim] = pool.serving;
  const adopted = pool.adopt(state("second"));
  process.kill(victim!, "SIGKILL");
  await expect(adopted).rejects.toThrow(`worker 1 (process ${victim}): SIGKILL`);
  await until(() => seen("worker_started").length === 1);
  expect(seen("worker_died")).toMatchObject([{ pid: victim, err: "SIGKILL" }]);
  expect(seen("worker_leaves")).toEqual([]);
});

test("design 2: questions are answered to whom they came from", async () => {
  manners = ["asks"];
  await open().start(1);
  await until(() => seen("challenged").length === 1 && seen("allowed").length === 1);
  expect(JSON.parse(seen("allowed")[0]!.answer as string)).toEqual({
    kind: "allowed",
    id: 1,
    allowed: true,
  });
  expect(JSON.parse(seen("challenged")[0]!.answer as string)).toEqual({
    kind: "challenged",
    id: 2,
    answer: "http-01 token a.example answered",
  });
});

test("design 2: counters are summed; of who has ended what happened is kept, and nothing lives", async () => {
  await open().start(2);
  await until(() => pool.counters["accepted"] === 4);
  expect(pool.counters).toEqual({ accepted: 4, live: 2, ech: { accepted: 3 } });
  process.kill(pool.serving[0]!, "SIGKILL");
  await until(() => pool.counters["accepted"] === 6);
  expect(pool.counters).toMatchObject({ accepted: 6, live: 2 });
});

test("Replacing goes one by one: there are never fewer than before", async () => {
  await open().start(2);
  pool.keep();
  const before = pool.serving;
  let fewest = 2;
  const looking = setInterval(() => fewest = Math.min(fewest, pool.serving.length), 1);
  await pool.replaceAll();
  clearInterval(looking);
  expect(fewest).toBe(2);
  expect(pool.serving).toHaveLength(2);
  expect(pool.serving.some((pid) => before.includes(pid))).toBe(false);
  expect(seen("worker_died")).toEqual([]);
});

test("One that cannot be replaced stays", async () => {
  await open().start(2);
  const before = pool.serving;
  manners = ["fails"];
  await expect(pool.replaceAll()).rejects.toThrow("worker 1: Cannot listen");
  expect(pool.serving).toEqual(before);
});

test("One that does not hear SIGTERM is killed in the end", async () => {
  manners = ["deaf"];
  await open().start(1);
  await pool.stop();
  expect(children[0]!.signalCode).toBe("SIGKILL");
});

test("So is one that is replaced, or that somebody else told to end", async () => {
  manners = ["deaf", "lingers"];
  await open().start(2);
  pool.keep();
  await until(() => seen("worker_started").length === 1);
  await pool.replaceAll();
  for (const child of children.slice(0, 2)) {
    await until(() => child.signalCode === "SIGKILL");
  }
  expect(seen("worker_killed")).toMatchObject([
    { worker: 2, pid: children[1]!.pid, err: "it did not end within 400 ms" },
    { worker: 1, pid: children[0]!.pid, err: "it did not end within 400 ms" },
  ]);
  expect(pool.serving).toHaveLength(2);
});

test("How long one may take to end is what it was told when it started", async () => {
  manners = ["deaf"];
  drainTimeoutMs = ({ snapshot }) => snapshot === "first" ? 1_500 : 0;
  await open().start(1);
  await pool.adopt(state("second"));
  const sinceMs = performance.now();
  await pool.stop();
  expect(performance.now() - sinceMs).toBeGreaterThan(1_500);
});

const HANG = { beatMs: 100, hangTimeoutMs: 800, hangMarginMs: 400 };

test("One whose loop is stuck is replaced, and killed since it does not hear; the others stay", async () => {
  manners = ["well", "sticks"];
  await open({ ...HANG, endMarginMs: 60_000 }).start(2);
  pool.keep();
  await until(() => seen("worker_started").length === 1);
  const [healthy, stuck, fresh] = children.map(({ pid }) => pid);
  expect(seen("worker_hangs")).toMatchObject([
    { worker: 2, pid: stuck, err: "it said nothing for 800 ms" },
  ]);
  await until(() => children[1]!.signalCode === "SIGKILL");
  expect(seen("worker_killed")).toMatchObject([{ worker: 2, pid: stuck }]);
  expect(pool.serving).toEqual([healthy, fresh]);
});

test("One that was only slow ends in order", async () => {
  manners = ["pauses"];
  await open({ ...HANG, hangMarginMs: 60_000, endMarginMs: 60_000 }).start(1);
  pool.keep();
  await until(() => seen("worker_hangs").length === 1);
  await until(() => children[0]!.exitCode === 0);
  expect(seen("worker_killed")).toEqual([]);
});

test("Nobody seems stuck because the supervisor was", async () => {
  await open({ ...HANG, hangTimeoutMs: 300 }).start(2);
  const before = pool.serving;
  for (let i = 0; i < 3; i++) {
    const untilMs = performance.now() + 1_000;
    while (performance.now() < untilMs);
    await new Promise((resolve) => setTimeout(resolve, 150));
  }
  expect(seen("worker_hangs")).toEqual([]);
  expect(pool.serving).toEqual(before);
});

test("One that has lost its channel may end in its own time, though nobody hears of it any more", async () => {
  manners = ["cut off"];
  await open({ ...HANG, endMarginMs: 60_000 }).start(1);
  pool.keep();
  await until(() => seen("worker_started").length === 1);
  await until(() => children[0]!.exitCode === 0);
  expect(seen("worker_killed")).toEqual([]);
});

test("More or fewer are had without a start", async () => {
  await open().start(1);
  await pool.resize(3);
  expect(pool.serving).toHaveLength(3);
  await pool.resize(1);
  expect(pool.serving).toHaveLength(1);
  expect(seen("worker_died")).toEqual([]);
});

test("A stranger at the gate is shown out", async () => {
  open();
  for (const said of ["GET / HTTP/1.1\r\n\r\n", '\0\0\0\x1a{"kind":"hello","pid":99999}']) {
    const stranger = connect(gate.path);
    stranger.on("error", () => {});
    stranger.write(said);
    await new Promise((resolve) => void stranger.once("close", resolve));
  }
});
