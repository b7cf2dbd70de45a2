/**
 * Measures what sotto costs. bench/README.md says what, on what, and how to quieten the machine.
 *
 *     npm run bench -- handshake --json results.json
 *
 * @module
 */
import process from "node:process";

import { buildGoClient, Clients } from "./client.ts";
import { measureCore } from "./core.ts";
import * as crypto from "./crypto.bench.ts";
import { type Environment, readEnvironment } from "./environment.ts";
import { type HandshakeResult, measureHandshakes } from "./handshake.ts";
import { type ForwardResult, forwardTable, measureForward } from "./forward.ts";
import { type IdleResult, measureIdle } from "./idle.ts";
import { measureCases } from "./micro.ts";
import { type BenchOptions, parseOptions, USAGE, UsageError } from "./options.ts";
import { parseCases } from "./parse.ts";
import { whyNotPinned } from "./processes.ts";
import { recordCases } from "./record.ts";
import {
  comparison,
  cryptoFigures,
  type Figure,
  forwardFigures,
  handshakeFigures,
  handshakeTable,
  idleFigures,
  idleTable,
  microFigures,
  microTable,
  readReport,
  trieFigures,
  writeReport,
} from "./report.ts";
import * as trie from "./trie.bench.ts";
import { installedRuntimes, makeSetup, reference, removeSetup } from "./servers.ts";

async function main(options: BenchOptions): Promise<void> {
  const before = options.compare === undefined
    ? undefined
    : readReport(options.compare, options.bench);
  const environment = readEnvironment();
  printEnvironment(environment);
  const figures = await measure(options);
  if (before !== undefined) console.log(`\n${comparison(figures, before)}`);
  if (options.json !== undefined) {
    const { rounds, connections, warmUp, concurrency, client } = options;
    const settings = { rounds, connections, warmUp, concurrency, client };
    writeReport(options.json, { bench: options.bench, environment, settings, figures });
  }
}

/** Prints its tables as they are done. */
async function measure(options: BenchOptions): Promise<Figure[]> {
  switch (options.bench) {
    case "handshake":
    case "idle":
      return await withServers(options);
    case "parse":
    case "record": {
      const cases = options.bench === "parse" ? parseCases() : recordCases();
      const results = measureCases(cases, options.rounds);
      console.log(microTable(results));
      return microFigures(results);
    }
    case "forward":
      return await measureForwarding(options);
    case "trie": {
      const rows = await trie.run(1_000_000, options.rounds);
      console.log(trie.table(rows));
      return trieFigures(rows);
    }
    case "core": {
      const results = await measureCore(options.rounds, options.connections);
      console.log(microTable(results));
      return microFigures(results);
    }
    case "crypto": {
      const rows = await crypto.run();
      console.log(crypto.table(rows));
      return cryptoFigures(rows);
    }
  }
}

async function withServers(options: BenchOptions): Promise<Figure[]> {
  const go = options.client === "own" ? undefined : buildGoClient();
  if (go === undefined) {
    if (options.client === "go") throw new UsageError("--client go: Go is not installed");
    console.log("Load from sotto's own client; X25519MLKEM768 is left out.");
  }
  const setup = await makeSetup();
  const runtimes = options.runtimes.length > 0 ? options.runtimes : installedRuntimes();
  const clients = new Clients(go);
  const handshakes: HandshakeResult[] = [];
  const idle: IdleResult[] = [];
  try {
    for (const runtime of runtimes) {
      if (options.bench === "handshake") {
        const results = await measureHandshakes(runtime, options, setup, clients, progress);
        handshakes.push(...results);
        console.log(
          `\n${runtime}\n\n${handshakeTable(results, reference(runtime, options).label)}`,
        );
      } else {
        idle.push(await measureIdle(runtime, options, setup, clients, progress));
      }
    }
  } finally {
    await removeSetup(setup);
  }
  if (options.bench === "handshake") return handshakeFigures(handshakes);
  console.log(`\n${idleTable(idle)}`);
  return idleFigures(idle);
}

async function measureForwarding({ rounds }: BenchOptions): Promise<Figure[]> {
  const setup = await makeSetup();
  try {
    const results: ForwardResult[] = await measureForward(rounds, setup, progress);
    console.log(forwardTable(results));
    return forwardFigures(results);
  } finally {
    await removeSetup(setup);
  }
}

function printEnvironment({ machine, versions, loadBefore, commit }: Environment): void {
  console.log(machine);
  console.log(Object.entries(versions).map(([name, version]) => `${name} ${version}`).join(", "));
  console.log(`sotto ${commit ?? "of no commit"}; load before: ${loadBefore}`);
  const notPinned = whyNotPinned();
  if (notPinned !== undefined) console.log(notPinned);
  if (loadBefore > 0.5) console.log("The machine is busy: trust ratios only, and not by much.");
  console.log("");
}

/** Where results are piped on, progress stays out of them. */
function progress(line: string): void {
  process.stderr.write(process.stderr.isTTY ? `\r\x1b[K${line}` : `${line}\n`);
}

try {
  await main(parseOptions(process.argv.slice(2)));
} catch (error) {
  process.stderr.write(
    error instanceof UsageError
      ? `bench: ${error.message}\n\n${USAGE}`
      : `bench: ${(error as Error).stack}\n`,
  );
  process.exitCode = 1;
}
