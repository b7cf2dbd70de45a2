/**
 * What must hold while somebody means harm. Figures in full on Bun, shorter on the others.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { words } from "./support/run.ts";
import { jsonLines, type RunningServer, SERVER, startServer } from "./support/server.ts";
import type { ServerState } from "./support/test-server.ts";
import { go, goClient } from "./support/tools.ts";

const IN_FULL = SERVER === "bun";
/** Quiet and attack take turns, so that both see the same of whatever else the machine does. */
const TURNS = 4;
const ATTACK_SECONDS = IN_FULL ? 15 : 5;
const QUIET_SECONDS = 5;
const SCRIPT = join(import.meta.dirname, "support/test-server.ts");

describe(`${SERVER} under connections that stop half-way`, () => {
  const ROUNDS = 5;
  const CONNECTIONS = 1_000;
  const WARM_UP = 600;
  const DEADLINE_MS = 3_000;
  let server: RunningServer;
  beforeAll(async () => {
    server = await startServer({
      script: SCRIPT,
      toml: `[limits]
helloTimeoutMs = ${DEADLINE_MS}
handshakeTimeoutMs = ${DEADLINE_MS}
idleTimeoutMs = ${DEADLINE_MS}
writeStallTimeoutMs = ${DEADLINE_MS}
lingerMs = 1_000
maxPendingHandshakes = ${2 * CONNECTIONS}

[[site]]
names = ["localhost"]
respond = "${"0123456789".repeat(200_000)}"
`,
    });
  });
  afterAll(() => server?.stop());

  test(
    `${ROUNDS} times ${CONNECTIONS} of them end by their deadlines and leave nothing behind`,
    async () => {
      // A heap that has never been used grows before it is collected.
      await goodClient(server, 5);
      await stopHalfWay(server, WARM_UP, DEADLINE_MS);
      const rss: number[] = [];
      for (let round = 0; round < ROUNDS; round++) {
        rss.push(await stopHalfWay(server, CONNECTIONS, DEADLINE_MS));
      }
      const megabytes = rss.map((bytes) => (bytes / 1e6).toFixed(1));
      console.log(`RSS after each round, MB: ${megabytes.join(", ")}`);
      expect(rss[4]! / rss[1]!, `RSS after each round, MB: ${megabytes.join(", ")}`)
        .toBeLessThanOrEqual(1.05);
    },
    180_000,
  );
});

/** The RSS after it. */
async function stopHalfWay(server: RunningServer, connections: number, deadlineMs: number) {
  const attack = attacker("stop", server, ["-n", String(connections), "-seconds", "60"]);
  try {
    await attack.open;
    const state = await untilNoneIsLive(server, deadlineMs + 12_000);
    expect(state).toMatchObject({ live: 0, exceptions: 0, refused: {} });
    // Those that do not read what they asked for are not watched: they hear nothing.
    const watched = connections * 3 / 4;
    expect(await attack.end()).toMatchObject({ watched, ended: watched });
    return state.rss;
  } finally {
    attack.kill();
  }
}

describe(`good clients of ${SERVER} are served`, () => {
  let server: RunningServer;
  const SILENT = 10_000;
  beforeAll(async () => {
    server = await startServer({
      script: SCRIPT,
      toml: `[limits]
helloTimeoutMs = 300_000
handshakeTimeoutMs = 300_000
maxPendingHandshakes = ${2 * SILENT}

[[site]]
names = ["localhost"]
respond = "hello"
`,
    });
    await goodClient(server, 5);
  });
  afterAll(() => server?.stop());

  test(`beside 100 malformed hellos a second, for ${TURNS * ATTACK_SECONDS} s`, {
    retry: 2,
    timeout: 300_000,
  }, async () => {
    await takeTurns("malformed hellos", server, async () => {
      const attack = go<{ sent: number; refused: number }>(
        words`flood -kind malformed -addr 127.0.0.1:${server.port}
        -rate 100 -seconds ${ATTACK_SECONDS + 1}`,
        { timeoutMs: 120_000 },
      );
      const load = await goodClient(server, ATTACK_SECONDS);
      const [flood] = await attack;
      expect(flood).toMatchObject({ refused: 0 });
      expect(flood?.sent).toBeGreaterThanOrEqual(ATTACK_SECONDS * 95);
      return load;
    });
    expect(await stateOf(server)).toMatchObject({ exceptions: 0 });
  });

  test(`beside ${SILENT} sockets that say nothing, for ${TURNS * ATTACK_SECONDS} s`, {
    retry: 2,
    timeout: 300_000,
  }, async () => {
    await takeTurns("silent sockets", server, async () => {
      const attack = attacker("silent", server, ["-n", String(SILENT), "-seconds", "200"]);
      try {
        await attack.open;
        const load = await goodClient(server, ATTACK_SECONDS);
        expect((await stateOf(server)).live).toBeGreaterThanOrEqual(SILENT);
        expect(await attack.end()).toMatchObject({ ended: 0 });
        return load;
      } finally {
        attack.kill();
      }
    });
  });
});

/** Every good client is served, and with an attack the slowest of a hundred takes at most twice as long as without. */
async function takeTurns(
  what: string,
  server: RunningServer,
  attacked: () => Promise<Load>,
): Promise<void> {
  const quiet: Load[] = [];
  const during: Load[] = [];
  for (let turn = 0; turn < TURNS; turn++) {
    quiet.push(await goodClient(server, QUIET_SECONDS));
    during.push(await attacked());
  }
  const figures = (loads: readonly Load[]) =>
    loads.map(({ p50Micros, p99Micros }) => `${p50Micros}/${p99Micros}`).join(" ");
  const text = `${what}: p50/p99 in µs ${figures(during)}, without ${figures(quiet)}`;
  console.log(text);
  for (const load of [...quiet, ...during]) expect(load.ok, JSON.stringify(load)).toBe(load.count);
  expect(medianP99(during) / medianP99(quiet), text).toBeLessThanOrEqual(2);
}

function medianP99(loads: readonly Load[]): number {
  const sorted = loads.map(({ p99Micros }) => p99Micros).toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  return (sorted[Math.ceil(middle) - 1]! + sorted[Math.floor(middle)]!) / 2;
}

interface Load {
  readonly count: number;
  readonly ok: number;
  readonly p50Micros: number;
  readonly p99Micros: number;
}

/** A handshake and a request, 50 times a second. */
async function goodClient(server: RunningServer, seconds: number): Promise<Load> {
  const [load] = await go<Load>(
    words`load -addr 127.0.0.1:${server.port} -root ${server.ready.root} -get
    -rate 50 -n 100000 -seconds ${seconds}`,
    { timeoutMs: (seconds + 30) * 1000 },
  );
  if (load === undefined) throw new Error("the load says nothing");
  return load;
}

interface Attack {
  /** Resolves once all its connections are open. */
  readonly open: Promise<unknown>;
  /** Lets it go, and says what it saw. */
  end(): Promise<Record<string, unknown> | undefined>;
  kill(): void;
}

function attacker(kind: string, server: RunningServer, args: readonly string[]): Attack {
  let child: ChildProcess | undefined;
  let said = "";
  const open = (async () => {
    const started = spawn(
      goClient(),
      words`flood -kind ${kind} -addr 127.0.0.1:${server.port}
      -root ${server.ready.root} ${args}`,
      { stdio: ["pipe", "pipe", "pipe"] },
    );
    child = started;
    started.stdout.on("data", (chunk: Buffer) => said += chunk);
    started.stderr.on("data", (chunk: Buffer) => said += chunk);
    while (!said.includes('"open"')) {
      if (started.exitCode !== null) throw new Error(`the attacker ended: ${said}`);
      await delay(50);
    }
  })();
  return {
    open,
    async end() {
      const closed = once(child!, "close");
      child!.stdin!.end();
      await closed;
      return jsonLines(said).at(-1);
    },
    kill: () => void child?.kill("SIGKILL"),
  };
}

async function untilNoneIsLive(server: RunningServer, withinMs: number): Promise<ServerState> {
  const deadline = Date.now() + withinMs;
  for (;;) {
    const state = await stateOf(server);
    if (state.live === 0) return state;
    if (Date.now() > deadline) throw new Error(`after ${withinMs} ms: ${JSON.stringify(state)}`);
    await delay(250);
  }
}

/** Makes the server collect its garbage, and say how it is. */
async function stateOf(server: RunningServer): Promise<ServerState> {
  const before = server.events("state").length;
  server.child.stdin!.write("state\n");
  for (;;) {
    const states = server.events("state");
    if (states.length > before) return states.at(-1) as unknown as ServerState;
    if (server.child.exitCode !== null) throw new Error(server.output());
    await delay(20);
  }
}
