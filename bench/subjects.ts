/**
 * What each bench runs, and what it says in the end.
 * @module
 */
import { certificatesTable, measureCertificates } from "./certificates.ts";
import type { Clients } from "./client.ts";
import { measureCore } from "./core.ts";
import * as crypto from "./crypto.bench.ts";
import { forwardTable, measureForward, whyNoForward } from "./forward.ts";
import { measureHandshakes } from "./handshake.ts";
import { type IdleResult, measureIdle } from "./idle.ts";
import { measureCases } from "./micro.ts";
import {
  type BenchName,
  type BenchOptions,
  type PeerName,
  PEERS,
  type RuntimeName,
} from "./options.ts";
import { parseCases } from "./parse.ts";
import { whyWithout } from "./peers/peers.ts";
import { measureRecords, type RecordResult } from "./record.ts";
import {
  cryptoFigures,
  type Figure,
  forwardFigures,
  handshakeFigures,
  handshakeTable,
  idleFigures,
  idleTable,
  microFigures,
  microTable,
  recordFigures,
  recordTable,
  soakFigures,
  soakTable,
  throughputFigures,
  throughputTable,
  trieFigures,
} from "./report.ts";
import { sealCases } from "./seal.ts";
import { installedRuntimes } from "./servers.ts";
import { makeSetup, removeSetup, type Setup } from "./setup.ts";
import { measureSoak, memoryGrowth, type SoakResult, violations } from "./soak.ts";
import { limitOf, measureThroughput, type ThroughputResult } from "./throughput.ts";
import * as trie from "./trie.bench.ts";

export interface Outcome {
  readonly figures: readonly Figure[];
  /** Tables. */
  readonly text: string;
  /** What does not hold, a sentence each: the run has failed. */
  readonly violated?: readonly string[];
}

/** What the benches of one run share. */
export class World {
  readonly clients: Clients;
  /** Progress, a line at a time. */
  say: (line: string) => void = () => {};
  /** What a reader of the results must know. */
  readonly notes: string[] = [];
  #setup: Promise<Setup> | undefined;

  constructor(clients: Clients) {
    this.clients = clients;
  }

  get setup(): Promise<Setup> {
    return this.#setup ??= makeSetup();
  }

  readonly note = (line: string): void => {
    if (!this.notes.includes(line)) this.notes.push(line);
  };

  /** They stand beside Bun, or beside whatever runtime is the only one that is asked for. */
  peers(runtime: RuntimeName, { peers, runtimes, against }: BenchOptions): PeerName[] {
    if (runtime !== "bun" && runtimes[0] !== runtime) return [];
    if (against !== undefined && peers === undefined) return [];
    return (peers ?? PEERS).filter((peer) => {
      const why = whyWithout(peer);
      if (why !== undefined) this.note(why);
      return why === undefined;
    });
  }

  async close(): Promise<void> {
    if (this.#setup !== undefined) await removeSetup(await this.#setup);
  }
}

type Run = (world: World, options: BenchOptions) => Promise<Outcome>;

export const SUBJECTS: Record<BenchName, Run> = {
  async handshake(world, options) {
    const outcome = { figures: [] as Figure[], text: "" };
    for (const runtime of runtimesOf(options)) {
      const results = await measureHandshakes(
        runtime,
        options,
        world.peers(runtime, options),
        await world.setup,
        world.clients,
        world.say,
        world.note,
      );
      outcome.figures.push(...handshakeFigures(results));
      outcome.text += `${runtime}\n\n${handshakeTable(results)}\n\n`;
    }
    return { ...outcome, text: outcome.text.trimEnd() };
  },

  async throughput(world, options) {
    const results: ThroughputResult[] = [];
    for (const runtime of runtimesOf(options)) {
      const peers = world.peers(runtime, options);
      const setup = await world.setup;
      results.push(
        ...await measureThroughput(runtime, options, peers, setup, world.clients, world.say),
      );
    }
    const by = (limit: "client" | "neither"): string =>
      results.filter((result) => limitOf(result) === limit)
        .map(({ runtime, label }) => `${runtime}: ${label}`).join(", ");
    const [client, neither] = [by("client"), by("neither")];
    if (client !== "") {
      world.note(
        `Throughput of ${client}: the load client was at its limit before the server was. What ` +
          'was reached, and the latencies, are the client\'s; of the server see "by 1 s of CPU".',
      );
    }
    if (neither !== "") {
      world.note(
        `Throughput of ${neither}: neither server nor client was at its limit; others had the ` +
          'cores. Only "by 1 s of CPU" says something.',
      );
    }
    return { figures: throughputFigures(results), text: throughputTable(results) };
  },

  async record(world, options) {
    const results: RecordResult[] = [];
    for (const runtime of runtimesOf(options)) {
      const setup = await world.setup;
      results.push(...await measureRecords(runtime, options, setup, world.clients, world.say));
    }
    return { figures: recordFigures(results), text: recordTable(results) };
  },

  async idle(world, options) {
    const results: IdleResult[] = [];
    for (const runtime of runtimesOf(options)) {
      const setup = await world.setup;
      results.push(await measureIdle(runtime, options, setup, world.clients, world.say));
    }
    return { figures: idleFigures(results), text: idleTable(results) };
  },

  async forward(world, options) {
    const why = whyNoForward();
    if (why !== undefined) {
      world.note(why);
      return { figures: [], text: why };
    }
    const results = await measureForward(options, await world.setup, world.say, world.note);
    return { figures: forwardFigures(results), text: forwardTable(results) };
  },

  async certificates(world, options) {
    const outcome = { figures: [] as Figure[], text: "" };
    for (const runtime of runtimesOf(options)) {
      const { results, figures } = await measureCertificates(runtime, options, world.say);
      outcome.figures.push(...figures);
      outcome.text += `${certificatesTable(results)}\n\n`;
    }
    return { ...outcome, text: outcome.text.trimEnd() };
  },

  async soak(world, options) {
    const results: SoakResult[] = [];
    for (const runtime of runtimesOf(options)) {
      const setup = await world.setup;
      results.push(await measureSoak(runtime, options, setup, world.clients, world.say));
    }
    if (results.some((result) => memoryGrowth(result) === undefined)) {
      world.note("Soak: so few connections say nothing of memory; it is not judged.");
    }
    return {
      figures: soakFigures(results),
      text: soakTable(results),
      violated: results.flatMap(violations),
    };
  },

  async core({ say }, options) {
    const results = await measureCore(options, say);
    return { figures: microFigures(HERE, "core", results), text: microTable(results) };
  },

  async crypto({ say }, options) {
    const rows = await crypto.run(options, say);
    return { figures: cryptoFigures(HERE, rows), text: crypto.table(rows) };
  },

  async parse({ say }, options) {
    const results = await measureCases(parseCases(), options, say);
    return { figures: microFigures(HERE, "parse", results), text: microTable(results) };
  },

  async seal({ say }, options) {
    const results = await measureCases(sealCases(), options, say);
    return { figures: microFigures(HERE, "seal", results), text: microTable(results) };
  },

  async trie({ say }, options) {
    const rows = await trie.run(1_000_000, options, say);
    return { figures: trieFigures(HERE, rows), text: trie.table(rows) };
  },
};

/** Where the bench runs, and what runs in its process. */
export const HERE: RuntimeName = "Bun" in globalThis
  ? "bun"
  : "Deno" in globalThis
  ? "deno"
  : "node";

/** In one paragraph, for who reads nothing else. */
export const METHOD = `\
Server on the first core, load client on the others; each cost is CPU time of the server's processes and all of their
threads as the kernel counts it, divided by the connections (or bytes). Before timing, both sides are checked to agree on
version, suite, group, ECH, resumption and page, and every connection of every load must end so. Servers that are compared
run at the same time; each round measures every server and row once in an order shuffled anew, and ratios are taken within
a round. Shown are medians with 95 % intervals by order statistics. Only ratios of one run travel; microseconds do not.`;

function runtimesOf({ runtimes }: BenchOptions): readonly RuntimeName[] {
  return runtimes.length > 0 ? runtimes : installedRuntimes();
}
