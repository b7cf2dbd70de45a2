/**
 * Handshakes a second when everybody is as fast as can be, and how long a connection takes when half, or nine tenths,
 * as many arrive.
 *
 * Saturation is a closed loop: connections under way at all times. Latency is an open one: arrivals are random and do not
 * wait for the server, and time counts from when a connection was due. Where the load client's cores are at their limit and
 * the server's is not, it is the client that was measured, and the result says so: then what the server could do is
 * estimated from its CPU time.
 *
 * @module
 */
import { availableParallelism } from "node:os";

import type { ClientName, Clients, LoadResult } from "./client.ts";
import { type BenchOptions, type PeerName, type RuntimeName } from "./options.ts";
import { peerSubjects } from "./peers/peers.ts";
import { CpuClock } from "./processes.ts";
import { inRounds } from "./rounds.ts";
import { ours, reference, startServer } from "./servers.ts";
import { type Server, type Setup } from "./setup.ts";
import { type Estimate, estimate, estimateRatio, shuffled } from "./statistics.ts";

export interface ThroughputResult {
  readonly runtime: RuntimeName;
  readonly label: string;
  /** Handshakes a second, as reached. */
  readonly reached: Estimate;
  /** … and by one second of the server's CPU. */
  readonly byCpu: Estimate;
  /** Share of one core: how busy the server was, and of all that the client has. */
  readonly serverBusy: Estimate;
  readonly clientBusy: Estimate;
  /** µs from when a connection was due, at shares of what was reached; empty: the client has no open loop. */
  readonly latency: readonly Latency[];
  /** Sotto's `byCpu` by this one's. */
  readonly ratio: Estimate | undefined;
}

export interface Latency {
  readonly percent: number;
  /** Rounds in which ever more connections waited. They are left out of the rest. */
  readonly fellBehind: number;
  /** Undefined: every round fell behind. */
  readonly times: {
    readonly p50: Estimate;
    readonly p99: Estimate;
    /** How late the client itself was to begin, p99. */
    readonly late: Estimate;
  } | undefined;
}

/** Who was at its limit. `neither`: others had the cores, or the machine has more of them than it says. */
export function limitOf(
  { serverBusy, clientBusy }: Pick<ThroughputResult, "serverBusy" | "clientBusy">,
): "server" | "client" | "neither" {
  if (serverBusy.median >= BUSY) return "server";
  return clientBusy.median >= BUSY ? "client" : "neither";
}

const BUSY = 0.9;

interface OfferResult {
  readonly count: number;
  readonly ok: number;
  readonly errors: Readonly<Record<string, number>>;
  readonly p50Micros: number;
  readonly p99Micros: number;
  readonly lateP99Micros: number;
}

/** @param say progress, a line at a time */
export async function measureThroughput(
  runtime: RuntimeName,
  options: BenchOptions,
  peers: readonly PeerName[],
  setup: Setup,
  clients: Clients,
  say: (line: string) => void,
): Promise<ThroughputResult[]> {
  const client: ClientName = clients.go === undefined ? "own" : options.client ?? "go";
  const servers: Server[] = [];
  try {
    const others = peerSubjects(peers, runtime).filter(({ id }) => id !== "go-4");
    for (const subject of [ours(runtime, options), reference(runtime, options), ...others]) {
      servers.push(await startServer(subject, setup));
    }
    const cells = servers.map((server) => new Cell(server, client, clients));
    say(`${runtime}: warming up`);
    for (const cell of cells) await cell.warmUp(options.warmUp);
    await inRounds(options, (line) => say(`${runtime}: ${line}`), async () => {
      for (const cell of shuffled(cells)) await cell.measure(options.seconds);
    });
    return cells.map((cell, i) => cell.result(runtime, i === 0 ? undefined : cells[0]));
  } finally {
    for (const server of servers) await server.stop();
  }
}

class Cell {
  readonly server: Server;
  readonly #client: ClientName;
  readonly #clients: Clients;
  readonly #clock: CpuClock;
  readonly #reached: number[] = [];
  readonly #byCpu: number[] = [];
  readonly #serverBusy: number[] = [];
  readonly #clientBusy: number[] = [];
  readonly #latency = SHARES.map((percent) => ({
    percent,
    fellBehind: 0,
    p50: [] as number[],
    p99: [] as number[],
    late: [] as number[],
  }));

  constructor(server: Server, client: ClientName, clients: Clients) {
    this.server = server;
    this.#client = client;
    this.#clients = clients;
    this.#clock = new CpuClock(server.pid);
  }

  async warmUp(connections: number): Promise<void> {
    // The chain is looked at here and not again: it is the client that saves by that.
    const flags = ["-groups", "X25519", "-n", String(connections)];
    this.#allWell(await this.#clients.load(this.#client, this.server, flags));
  }

  async measure(seconds: number): Promise<void> {
    const before = await this.#clock.readAtRest();
    const result = await this.#clients.load(this.#client, this.server, [
      ...QUICK,
      "-n",
      "1000000",
      "-concurrency",
      String(CONCURRENCY),
      "-seconds",
      String(seconds),
    ]);
    const used = (await this.#clock.readAtRest() - before) / 1e9;
    this.#allWell(result);
    const reached = result.ok / result.seconds;
    this.#reached.push(reached);
    this.#byCpu.push(result.ok / used);
    this.#serverBusy.push(used / result.seconds);
    this.#clientBusy.push(result.cpuSeconds / result.seconds / CLIENT_CORE_COUNT);
    if (this.#client === "own") return;
    for (const latency of this.#latency) {
      const rate = reached * latency.percent / 100;
      const offered = await this.#clients.run<OfferResult>("go", "offer", this.server, [
        ...QUICK,
        "-rate",
        rate.toFixed(1),
        "-seconds",
        String(seconds),
      ]);
      if ((offered.errors[TOO_MANY_OPEN] ?? 0) > 0) {
        latency.fellBehind++;
        continue;
      }
      this.#allWell(offered);
      latency.p50.push(offered.p50Micros);
      latency.p99.push(offered.p99Micros);
      latency.late.push(offered.lateP99Micros);
    }
  }

  result(runtime: RuntimeName, own: Cell | undefined): ThroughputResult {
    return {
      runtime,
      label: this.server.subject.label,
      reached: estimate(this.#reached),
      byCpu: estimate(this.#byCpu),
      serverBusy: estimate(this.#serverBusy),
      clientBusy: estimate(this.#clientBusy),
      latency: this.#client === "own" ? [] : this.#latency.map(
        ({ percent, fellBehind, p50, p99, late }) => ({
          percent,
          fellBehind,
          times: p50.length === 0
            ? undefined
            : { p50: estimate(p50), p99: estimate(p99), late: estimate(late) },
        }),
      ),
      ratio: own && estimateRatio(own.#byCpu, this.#byCpu),
    };
  }

  #allWell({ ok, count, errors }: Pick<LoadResult, "ok" | "count" | "errors">): void {
    if (ok === count) return;
    throw new Error(
      `${this.server.subject.label}: ${count - ok} of ${count} failed: ${JSON.stringify(errors)}`,
    );
  }
}

/** `-skip-chain`: what a client thinks of a chain is not what is measured, and takes it a third of its time. */
const QUICK = ["-groups", "X25519", "-skip-chain"];
const CONCURRENCY = 32;
/** As the client says it: so many wait that it opens no more. */
const TOO_MANY_OPEN = "more than 4,096 are open";
const SHARES = [50, 90];
const CLIENT_CORE_COUNT = Math.max(1, availableParallelism() - 1);
