/**
 * Measures what sotto costs. bench/README.md says what, on what, and how to quieten the machine.
 *
 *     npm run bench
 *     npm run bench -- handshake --json results.json
 *
 * @module
 */
import { relative } from "node:path";
import process from "node:process";

import { baselineFile, readBaselines } from "./baselines.ts";
import { buildGoClient, Clients } from "./client.ts";
import { type Environment, readEnvironment } from "./environment.ts";
import { type CommandLine, IN_PROCESS, parseOptions, USAGE, UsageError } from "./options.ts";
import { whyNotPinned } from "./processes.ts";
import { readmeTable } from "./readme.ts";
import { comparison, conditionsTable, type Figure, readReport, writeReport } from "./report.ts";
import { duration } from "./rounds.ts";
import { HERE, METHOD, SUBJECTS, World } from "./subjects.ts";

async function main(line: CommandLine): Promise<void> {
  if (line.help) {
    console.log(USAGE);
    return;
  }
  if (line.report !== undefined) {
    const reports = readBaselines();
    const figures = reports.flatMap((report) => report.figures);
    console.log(line.report === "readme" ? readmeTable(reports) : conditionsTable(figures));
    return;
  }
  const bench = line.isBrief ? "all" : line.benches[0]!;
  const before = line.compare === undefined ? undefined : readReport(line.compare, bench);
  const environment = readEnvironment();
  printEnvironment(environment);
  const { figures, notes, violated } = await measure(line);
  if (before !== undefined) console.log(`\n${comparison(figures, before)}`);
  if (line.conditions || line.isBrief) console.log(`\n${conditionsTable(figures)}`);
  for (const path of filesOf(line, environment)) {
    const { rounds, starts, connections, warmUp, concurrency, client } = line.options(
      line.benches[0]!,
    );
    const settings = line.isBrief
      ? { brief: "yes" }
      : { rounds, starts, connections, warmUp, concurrency, client };
    writeReport(path, { bench, environment, settings, figures, notes });
    console.log(`\nwritten: ${relative(process.cwd(), path)}`);
  }
  if (violated.length > 0) {
    process.stderr.write(`\nThis does not hold:\n${violated.join("\n")}\n`);
    process.exitCode = 1;
  }
}

function filesOf(line: CommandLine, environment: Environment): string[] {
  const files = line.json === undefined ? [] : [line.json];
  if (!line.save) return files;
  const bench = line.benches[0]!;
  const { runtimes: [asked], counts } = line.options(bench);
  const runtime = IN_PROCESS.includes(bench) ? HERE : asked ?? "bun";
  return [...files, baselineFile({ runtime, bench, counts }, environment)];
}

interface Measured {
  readonly figures: readonly Figure[];
  readonly notes: readonly string[];
  readonly violated: readonly string[];
}

/** Prints its tables as they are done. */
async function measure(line: CommandLine): Promise<Measured> {
  const wantsClient = line.benches.some((bench) => !IN_PROCESS.includes(bench));
  const { client } = line.options(line.benches[0]!);
  const go = wantsClient && client !== "own" ? buildGoClient() : undefined;
  if (wantsClient && go === undefined && client === "go") {
    throw new UsageError("--client go: Go is not installed");
  }
  const figures: Figure[] = [];
  const violated: string[] = [];
  const world = new World(new Clients(go));
  if (wantsClient && go === undefined) {
    world.note("The load is from sotto's own client, without X25519MLKEM768 and open loops.");
  }
  if (line.isBrief) {
    world.note(
      "Briefly: compilers are still busy with sotto's functions, so that it costs more here than it does later.",
    );
  }
  try {
    for (const [i, bench] of line.benches.entries()) {
      const which = line.isBrief ? `${bench}, ${i + 1} of ${line.benches.length}` : bench;
      world.say = (text) => progress(`${which}: ${text}`);
      world.say("starting");
      const begin = performance.now();
      const outcome = await SUBJECTS[bench](world, line.options(bench));
      const took = duration((performance.now() - begin) / 1000);
      endProgress();
      console.log(
        line.isBrief ? `## ${bench} (${took})\n\n${outcome.text}\n` : `${outcome.text}\n\n${took}`,
      );
      figures.push(...outcome.figures);
      violated.push(...outcome.violated ?? []);
    }
  } finally {
    await world.close();
  }
  if (world.notes.length > 0) console.log(`\n${world.notes.join("\n")}`);
  return { figures, notes: world.notes, violated };
}

function printEnvironment({ machine, versions, loadBefore, commit }: Environment): void {
  console.log(machine);
  console.log(Object.entries(versions).map(([name, version]) => `${name} ${version}`).join(", "));
  console.log(`sotto ${commit ?? "of no commit"}; load before: ${loadBefore}`);
  const notPinned = whyNotPinned();
  if (notPinned !== undefined) console.log(notPinned);
  if (loadBefore > 0.5) console.log("The machine is busy: trust ratios only, and not by much.");
  console.log(`\n${METHOD}\n`);
}

/** Where results are piped on, progress stays out of them. */
function progress(line: string): void {
  process.stderr.write(process.stderr.isTTY ? `\r\x1b[K${line}` : `${line}\n`);
}

function endProgress(): void {
  if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");
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
