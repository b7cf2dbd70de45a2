/**
 * Soak: a mixture of all kinds of connections, faults among them, for a bounded number and time. Nothing is compared; it
 * holds, or it does not:
 *
 * - each attempt of the client is a success, or a fault that the client itself made;
 * - behind each round no connection is left on the server;
 * - its memory is flat: resident, after a collection, behind the last of five rounds no more than 5 % above the second's.
 *
 * @module
 */
import { readdirSync, readlinkSync } from "node:fs";
import { type AddressInfo, createServer, type Server as NetServer } from "node:net";
import process from "node:process";

import type { Clients } from "./client.ts";
import type { BenchOptions, RuntimeName } from "./options.ts";
import { residentBytes } from "./processes.ts";
import { ours, startServer } from "./servers.ts";
import { PAGE, type Server, type Setup } from "./setup.ts";

/** As the client counts one kind of connection, or all. */
export interface SoakCount {
  readonly attempts: number;
  readonly ok: number;
  /** Ended as the client made it end. */
  readonly injected: number;
  /** Ended otherwise. */
  readonly failed: number;
}

export interface SoakRound extends SoakCount {
  readonly kinds: Readonly<Record<string, SoakCount>>;
  readonly errors: Readonly<Record<string, number>>;
  readonly seconds: number;
}

export interface SoakResult {
  readonly runtime: RuntimeName;
  readonly wanted: number;
  readonly rounds: readonly SoakRound[];
  /** Behind each round, after a collection. */
  readonly residentBytes: readonly number[];
  /** Sockets of the server that were still open behind each round, for longer than they may be. */
  readonly leftOpen: readonly number[];
}

/** @param say progress, a line at a time */
export async function measureSoak(
  runtime: RuntimeName,
  options: BenchOptions,
  setup: Setup,
  clients: Clients,
  say: (line: string) => void,
): Promise<SoakResult> {
  const upstream = await startUpstream();
  let server: Server | undefined;
  try {
    const { port } = upstream.address() as AddressInfo;
    server = await startServer(
      ours(runtime, options, { limits: LIMITS, sites: sites(port) }),
      setup,
    );
    const before = sockets(server.pid);
    const rounds: SoakRound[] = [];
    const resident: number[] = [];
    const leftOpen: number[] = [];
    for (let round = 1; round <= SOAK_ROUNDS; round++) {
      const where = `${runtime}: round ${round} of ${SOAK_ROUNDS}`;
      rounds.push(await load(server, round, options, clients, (text) => say(`${where}: ${text}`)));
      leftOpen.push(await untilClosed(server.pid, before));
      await server.collect();
      await server.collect();
      resident.push(residentBytes(server.pid));
      say(`${where}: ${(resident.at(-1)! / 1e6).toFixed(1)} MB, ${leftOpen.at(-1)} left open`);
    }
    return { runtime, wanted: options.handshakes, rounds, residentBytes: resident, leftOpen };
  } finally {
    await server?.stop();
    upstream.close();
  }
}

async function load(
  server: Server,
  round: number,
  { handshakes, minutes }: BenchOptions,
  clients: Clients,
  say: (line: string) => void,
): Promise<SoakRound> {
  const client = clients.go === undefined ? "own" : "go";
  const flags = {
    n: String(Math.ceil(handshakes / SOAK_ROUNDS)),
    seconds: String(minutes * 60 / SOAK_ROUNDS),
    "retry-name": RETRY_NAME,
    "forward-name": FORWARD_NAME,
    ech: server.ech!,
    seed: String(round),
  };
  const args = Object.entries(flags).flatMap(([name, value]) => [`-${name}`, value]);
  let said = -Infinity;
  return await clients.follow<SoakRound>(client, "soak", server, args, (progress) => {
    const now = performance.now();
    if (!process.stderr.isTTY && now - said < QUIET_MS) return;
    said = now;
    const { attempts, ok, injected, failed } = progress;
    say(`${attempts} attempts, ${ok} ok, ${injected} injected, ${failed} failed`);
  });
}

/** What does not hold, a sentence each; empty: all does. */
export function violations(result: SoakResult): string[] {
  const { runtime, rounds, leftOpen, wanted } = result;
  const said: string[] = [];
  const all = total(rounds);
  if (all.attempts < wanted) {
    said.push(`${runtime}: the client made ${all.attempts} attempts of ${wanted}`);
  }
  if (all.attempts !== all.ok + all.injected) {
    const errors = rounds.flatMap(({ errors }) => Object.entries(errors));
    const examples = errors.slice(0, 5).map(([error, count]) => `${count} × ${error}`).join("; ");
    said.push(
      `${runtime}: ${all.attempts} attempts are not ${all.ok} successes and ${all.injected} ` +
        `injected faults: ${examples}`,
    );
  }
  for (const [i, left] of leftOpen.entries()) {
    if (left > 0) said.push(`${runtime}: ${left} sockets were open behind round ${i + 1}`);
  }
  const growth = memoryGrowth(result);
  if (growth === undefined) return said;
  if (!(growth <= MOST_GROWTH)) {
    const series = result.residentBytes.map((bytes) => (bytes / 1e6).toFixed(1)).join(", ");
    said.push(`${runtime}: memory grew by ${growth.toFixed(3)}, RSS in MB: ${series}`);
  }
  return said;
}

/**
 * RSS behind the last round by that behind the second. Undefined where so few connections say nothing: V8 lets its heap grow
 * to some size first, reached after some 15,000.
 */
export function memoryGrowth({ residentBytes, wanted }: SoakResult): number | undefined {
  if (wanted < LEAST_FOR_MEMORY) return undefined;
  return residentBytes[SOAK_ROUNDS - 1]! / residentBytes[1]!;
}

export function total(rounds: readonly SoakCount[]): SoakCount {
  const sum = (key: keyof SoakCount): number =>
    rounds.reduce((total, round) => total + round[key], 0);
  return {
    attempts: sum("attempts"),
    ok: sum("ok"),
    injected: sum("injected"),
    failed: sum("failed"),
  };
}

export const SOAK_ROUNDS = 5;
export const MOST_GROWTH = 1.05;
const LEAST_FOR_MEMORY = 100_000;

/** Between two lines of progress where they pile up. */
const QUIET_MS = 20_000;

const RETRY_NAME = "p256.bench.localhost";
const FORWARD_NAME = "forward.bench.localhost";

/** Silence is ended soon, so that the client need not wait for long. */
const LIMITS = `helloTimeoutMs = 3000
handshakeTimeoutMs = 5000
lingerMs = 1000`;

/** Their certificates are by sotto's local CA. */
function sites(upstream: number): string {
  return `
[[site]]
names = ["${RETRY_NAME}"]
groups = ["secp256r1"]
respond = "${PAGE}"

[[site]]
names = ["${FORWARD_NAME}"]
forward = "127.0.0.1:${upstream}"
`;
}

/** Answers what comes first, whatever it is, and ends. */
async function startUpstream(): Promise<NetServer> {
  const answer =
    `HTTP/1.1 200 OK\r\nContent-Length: ${PAGE.length}\r\nConnection: close\r\n\r\n${PAGE}`;
  const server = createServer((socket) => {
    socket.once("data", () => socket.end(answer));
    socket.on("error", () => socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

/** How many are left over in the end; they get as long as the limits above add up to. */
async function untilClosed(pid: number, before: number): Promise<number> {
  const end = performance.now() + CLOSED_WITHIN_MS;
  for (;;) {
    const left = Math.max(0, sockets(pid) - before);
    if (left === 0 || performance.now() > end) return left;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

const CLOSED_WITHIN_MS = 20_000;

function sockets(pid: number): number {
  const folder = `/proc/${pid}/fd`;
  return readdirSync(folder).filter((fd) => {
    try {
      return readlinkSync(`${folder}/${fd}`).startsWith("socket:");
    } catch {
      return false; // closed meanwhile
    }
  }).length;
}
