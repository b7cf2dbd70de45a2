/**
 * Very many certificates: how soon a start serves any of them, what they take of memory, and what a handshake costs
 * when names come in no order; beside the runtime's own TLS server with the same certificates.
 *
 * The certificates are leaves of sotto's local CA in storage, one for each of so many sites: what an ACME client would
 * have put there as well. A first start makes them (it is measured, too, where it happens) and they are kept for the next
 * run, as long as they are valid for: some hours. On a file system in memory, if there is one: making them is hundreds of
 * thousands of syncs.
 *
 * Servers are started several times, in an order shuffled anew. A start is measured from the process's beginning to the
 * first handshake with a name that was drawn, whose certificate is checked. Memory (Pss): then, and behind the first 10,000
 * names; its collector decides what it is at that moment, so it is the starts that are the samples, and what certificates
 * take is, within each start, the difference to a server with one certificate after as many handshakes. Every second of
 * these starts is warmed up further, and then has its part of the rounds of handshakes: µs of the server's CPU; "known": of
 * 100 names that were asked for before, "new": of names that were not.
 *
 * @module
 */
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { freePort } from "../test/support/free-port.ts";
import type { LoadOrder } from "./certificate-load.ts";
import type { BenchOptions, RuntimeName } from "./options.ts";
import {
  CLIENT_CORE,
  CpuClock,
  nextLine,
  type Program,
  SERVER_CORE,
  start,
  stop,
} from "./processes.ts";
import { type Figure, interval } from "./report.ts";
import { inRounds } from "./rounds.ts";
import { runtimeBinary } from "./servers.ts";
import { type Estimate, estimate, estimateRatio, shuffled } from "./statistics.ts";

export interface CertificatesResult {
  readonly runtime: RuntimeName;
  readonly count: number;
  readonly server: "sotto" | "native";
  readonly startMs: Estimate;
  readonly startCpuMs: Estimate;
  /** MB. */
  readonly memory: Estimate;
  readonly memoryLater: Estimate;
  /** MB, of sotto with one certificate after as many handshakes. */
  readonly emptyLater: Estimate;
  /** MB, of the two, start by start. */
  readonly aboveEmpty: Estimate;
  /** µs. */
  readonly known: Estimate;
  readonly fresh: Estimate | undefined;
  /** Of sotto with one certificate, in the same rounds. */
  readonly one: Estimate;
  readonly knownRatio: Estimate;
  readonly freshRatio: Estimate | undefined;
}

type CertificatesOptions = Pick<
  BenchOptions,
  "rounds" | "roundSeconds" | "starts" | "connections" | "warmUp"
>;

export async function measureCertificates(
  runtime: RuntimeName,
  options: CertificatesOptions & Pick<BenchOptions, "counts">,
  say: (line: string) => void,
): Promise<{ readonly results: CertificatesResult[]; readonly figures: Figure[] }> {
  const results: CertificatesResult[] = [];
  const figures: Figure[] = [];
  const load = await Load.start(runtime);
  try {
    const one = await makeStore(1, runtime, say);
    for (const count of options.counts ?? COUNTS) {
      const store = count === 1 ? one : await makeStore(count, runtime, say);
      if (store.firstStart !== undefined) {
        figures.push(
          figure(
            `certificates: ${runtime}: ${count}: first start`,
            "s",
            estimate([store.firstStart]),
          ),
        );
      }
      results.push(...await measureCount(runtime, store, one, options, load, say));
    }
  } finally {
    await load.stop();
  }
  return { results, figures: [...figures, ...results.flatMap(figuresOf)] };
}

/** What one count of certificates is measured with. */
async function measureCount(
  runtime: RuntimeName,
  store: Store,
  one: Store,
  options: CertificatesOptions,
  load: Load,
  say: (line: string) => void,
): Promise<CertificatesResult[]> {
  const { count } = store;
  const kinds: Kind[] = runtime === "deno" ? ["sotto"] : ["sotto", "native"];
  const measured = new Map<Kind | "one", Measured>(
    [...kinds, "one" as const].map((kind) => [kind, new Measured()]),
  );
  const withRounds = Math.ceil(options.starts / 2);
  for (let start = 1; start <= options.starts; start++) {
    const where = `${runtime}, ${count} certificates, start ${start} of ${options.starts}`;
    const rounds = start % 2 === 0 ? 0 : Math.ceil(options.rounds / withRounds);
    await measureStart(
      { runtime, store, one, kinds, measured, load },
      { ...options, rounds },
      (line) => say(`${where}: ${line}`),
    );
  }
  const base = measured.get("one")!;
  return kinds.map((kind) => measured.get(kind)!.result(runtime, count, kind, base));
}

interface StartParts {
  readonly runtime: RuntimeName;
  readonly store: Store;
  readonly one: Store;
  readonly kinds: readonly Kind[];
  readonly measured: ReadonlyMap<Kind | "one", Measured>;
  readonly load: Load;
}

/** @param options `rounds`: 0: of memory alone */
async function measureStart(
  { runtime, store, one, kinds, measured, load }: StartParts,
  options: CertificatesOptions,
  say: (line: string) => void,
): Promise<void> {
  const { count } = store;
  const servers = new Map<Kind | "one", Server>();
  try {
    for (const kind of shuffled([...kinds, "one" as const])) {
      const [of, from] = kind === "one" ? ["sotto" as const, one] : [kind, store];
      const into = measured.get(kind)!;
      servers.set(kind, await startMeasured(of, runtime, from, load, into));
      say(`${kind}: up after ${into.startMs.at(-1)!.toFixed(0)} ms`);
    }
    const draw = new Names(store);
    const known = draw.take(Math.min(KNOWN, count));
    const each = Math.min(options.connections, 300);
    // What is left of 1,000 certificates is fewer than that.
    const eachFresh = options.rounds === 0
      ? 0
      : Math.min(each, Math.floor(count * FRESH_SHARE / options.rounds));
    const many = draw.take(Math.min(MANY_NAMES, draw.left - eachFresh * options.rounds));
    say(`${many.length + known.length} names`);
    const namesOf = (kind: Kind | "one"): readonly string[] => kind === "one" ? [nameOf(0)] : known;
    for (const [kind, server] of shuffled([...servers])) {
      const names = [...known, ...many];
      const asked = kind === "one" ? repeated(namesOf(kind), names.length) : names;
      await load.run(server, asked, { atOnce: WARM_UP_AT_ONCE });
    }
    await new Promise((resolve) => setTimeout(resolve, REST_LATER_MS));
    for (const [kind, server] of servers) measured.get(kind)!.memoryLater.push(pss(server.pid));
    if (options.rounds === 0) return;
    // Whatever compiles when it is used often is compiled before it is measured.
    for (const [kind, server] of servers) {
      say(`warming up ${kind}`);
      const names = repeated(namesOf(kind), Math.max(0, options.warmUp - many.length));
      await load.run(server, names, { atOnce: WARM_UP_AT_ONCE });
    }
    await inRounds(options, say, async () => {
      const fresh = eachFresh < LEAST_FRESH ? undefined : draw.take(eachFresh);
      for (const kind of shuffled([...servers.keys()])) {
        const server = servers.get(kind)!;
        const { known, fresh: news } = measured.get(kind)!;
        known.push(await load.costOf(server, repeated(shuffled(namesOf(kind)), each)));
        if (fresh !== undefined && kind !== "one") news.push(await load.costOf(server, fresh));
      }
    });
  } finally {
    for (const server of servers.values()) await server.stop();
  }
}

/** Names that are asked for again and again. */
const KNOWN = 100;
const MANY_NAMES = 9900;
/** Of all names, for those that nobody has asked for: all rounds of a start together. */
const FRESH_SHARE = 0.4;
const LEAST_FRESH = 20;
const WARM_UP_AT_ONCE = 8;

type Kind = "sotto" | "native";

/** What was measured of one server, round by round. */
class Measured {
  readonly startMs: number[] = [];
  readonly startCpuMs: number[] = [];
  readonly memory: number[] = [];
  readonly memoryLater: number[] = [];
  readonly known: number[] = [];
  readonly fresh: number[] = [];

  result(runtime: RuntimeName, count: number, server: Kind, one: Measured): CertificatesResult {
    const freshBase = one.known.slice(0, this.fresh.length);
    const above = this.memoryLater.map((later, i) => later - one.memoryLater[i]!);
    return {
      runtime,
      count,
      server,
      startMs: estimate(this.startMs),
      startCpuMs: estimate(this.startCpuMs),
      memory: estimate(this.memory),
      memoryLater: estimate(this.memoryLater),
      emptyLater: estimate(one.memoryLater),
      aboveEmpty: estimate(above),
      known: estimate(this.known),
      fresh: this.fresh.length === 0 ? undefined : estimate(this.fresh),
      one: estimate(one.known),
      knownRatio: estimateRatio(this.known, one.known),
      freshRatio: this.fresh.length === 0 ? undefined : estimateRatio(this.fresh, freshBase),
    };
  }
}

interface Server {
  readonly pid: number;
  readonly port: number;
  readonly root: string;
  stop(): Promise<void>;
}

async function startMeasured(
  kind: Kind,
  runtime: RuntimeName,
  store: Store,
  load: Load,
  into: Measured,
): Promise<Server> {
  const beganMs = performance.now();
  const server = await startServer(kind, runtime, store);
  const name = nameOf(Math.floor(Math.random() * store.count));
  await load.run(server, [name], { untilMs: 120_000 });
  into.startMs.push(performance.now() - beganMs);
  const clock = new CpuClock(server.pid);
  into.startCpuMs.push(clock.read() / 1e6);
  await new Promise((resolve) => setTimeout(resolve, REST_MS));
  into.memory.push(pss(server.pid));
  return server;
}

async function startServer(kind: Kind, runtime: RuntimeName, store: Store): Promise<Server> {
  const root = join(store.data, "pki/authorities/local/root.crt");
  const stopped = (program: Program) => ({
    pid: program.child.pid!,
    root,
    stop: () => stop(program),
  });
  if (kind === "sotto") {
    const { port, command } = await sottoCommand(runtime, store);
    return { ...stopped(start(SERVER_CORE, command, ROOT_FOLDER)), port };
  }
  const script = join(import.meta.dirname, "peers/many-certificates.ts");
  const program = start(SERVER_CORE, [...RUN[runtime], script, store.data], ROOT_FOLDER);
  const line = await nextLine(program, /^ready/, 600_000);
  return { ...stopped(program), port: Number(line.split(" ")[1]) };
}

async function sottoCommand(
  runtime: RuntimeName,
  store: Store,
): Promise<{ readonly port: number; readonly command: string[] }> {
  const port = await freePort();
  const http = await freePort();
  const options = `run --config ${store.config} --data ${store.data} --listen 127.0.0.1 ` +
    `--https-port ${port} --http-port ${http} --ready-file ${store.ready} --log json`;
  return { port, command: [...RUN[runtime], join(ROOT_FOLDER, "edge.ts"), ...options.split(" ")] };
}

interface Store {
  readonly count: number;
  readonly data: string;
  readonly config: string;
  readonly ready: string;
  /** s that the start took which made the certificates; undefined: they were there. */
  readonly firstStart: number | undefined;
}

/** Sites and their certificates, made by a first start where there are none that are good for some hours. */
async function makeStore(
  count: number,
  runtime: RuntimeName,
  say: (line: string) => void,
): Promise<Store> {
  const parent = join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "sotto-bench-certificates");
  const folder = join(parent, String(count));
  const store = {
    count,
    data: join(folder, "data"),
    config: join(folder, "sotto.toml"),
    ready: join(folder, "ready.json"),
  };
  const mark = join(folder, "made");
  if (existsSync(mark) && Date.now() - statSync(mark).mtimeMs < GOOD_FOR_MS) {
    // Another version's snapshot is built anew: that is no start as they are.
    await startOnce({ ...store, firstStart: undefined }, runtime, say);
    return { ...store, firstStart: undefined };
  }
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(store.data, { recursive: true, mode: 0o700 });
  const sites = Array.from(
    { length: count },
    (_, i) => `[[site]]\nnames = ["${nameOf(i)}"]\nrespond = "ok"\n`,
  );
  writeFileSync(store.config, sites.join(""));
  const firstStart = await startOnce({ ...store, firstStart: undefined }, runtime, say);
  writeFileSync(mark, "");
  return { ...store, firstStart };
}

/** s until it serves. Resolves when it has ended again, with all written. */
async function startOnce(
  store: Store,
  runtime: RuntimeName,
  say: (line: string) => void,
): Promise<number> {
  rmSync(store.ready, { force: true });
  const { command } = await sottoCommand(runtime, store);
  const beganMs = performance.now();
  const program = start(SERVER_CORE, command, ROOT_FOLDER);
  let text = "";
  program.child.stderr!.on("data", (more: string) => {
    text = (text + more).slice(-500);
    const last = text.match(/building [\d,]+ sites: [\d,]+/g)?.at(-1);
    if (last !== undefined) say(`first start: ${last}`);
  });
  while (!existsSync(store.ready)) {
    if (program.child.exitCode !== null) throw new Error(`It ended: ${program.errors()}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const seconds = (performance.now() - beganMs) / 1000;
  const ended = new Promise((resolve) => program.child.once("exit", resolve));
  program.child.kill("SIGTERM");
  await ended;
  return seconds;
}

/** The process that makes handshakes. */
class Load {
  readonly #program: Program;

  private constructor(program: Program) {
    this.#program = program;
  }

  static async start(runtime: RuntimeName): Promise<Load> {
    const script = join(import.meta.dirname, "certificate-load.ts");
    // The fastest that is installed: it must not be what is waited for.
    const program = start(
      CLIENT_CORE,
      [...RUN[runtime === "deno" ? "deno" : "bun"], script],
      ROOT_FOLDER,
    );
    await nextLine(program, /^ready/, 30_000);
    return new Load(program);
  }

  /** @throws {Error} a handshake failed, or was answered with another name's certificate */
  async run(
    { port, root }: Server,
    names: readonly string[],
    how: Pick<LoadOrder, "untilMs" | "atOnce"> = {},
  ): Promise<void> {
    if (names.length === 0) return;
    const order: LoadOrder = { port, root, names, ...how };
    const answer = nextLine(this.#program, /^(done|failed)/, 600_000);
    this.#program.child.stdin!.write(JSON.stringify(order) + "\n");
    const line = await answer;
    if (line !== "done") throw new Error(`A handshake ${line}`);
  }

  /** µs of the server's CPU for each. */
  async costOf(server: Server, names: readonly string[]): Promise<number> {
    const clock = new CpuClock(server.pid);
    const before = await clock.readAtRest();
    await this.run(server, names);
    return (await clock.readAtRest() - before) / names.length / 1000;
  }

  stop(): Promise<void> {
    return stop(this.#program);
  }
}

/** Names in an order that nobody chose, each once. */
class Names {
  readonly #order: readonly number[];
  taken = 0;

  constructor({ count }: Store) {
    this.#order = shuffled(Array.from({ length: count }, (_, i) => i));
  }

  get left(): number {
    return this.#order.length - this.taken;
  }

  take(count: number): string[] {
    const taken = this.#order.slice(this.taken, this.taken + Math.max(0, count));
    this.taken += taken.length;
    return taken.map(nameOf);
  }
}

function repeated(names: readonly string[], count: number): string[] {
  return Array.from({ length: count }, (_, i) => names[i % names.length]!);
}

/** Reserved, and the local CA's whatever else there will be (RFC 6761). */
function nameOf(number: number): string {
  return `n${number}.many.localhost`;
}

/** MB. */
function pss(pid: number): number {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, "latin1");
  return Number(/^Pss:\s+(\d+) kB/m.exec(text)![1]) * 1024 / 1e6;
}

export function certificatesTable(results: readonly CertificatesResult[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  const number = (value: Estimate | undefined, digits = 0): string =>
    value === undefined ? "" : value.median.toFixed(digits);
  const shown = (value: Estimate | undefined, digits: number): string =>
    value === undefined ? "" : interval(value, digits);
  return [
    line([
      "certificates",
      "server",
      "start ms",
      "CPU ms",
      "MB",
      "MB later",
      "− empty",
      "known µs",
      "new µs",
      "known ÷ one",
      "new ÷ one",
    ]),
    line(["---:", "---", ...Array.from({ length: 9 }, () => "---:")]),
    ...results.map((result) =>
      line([
        String(result.count),
        result.server === "sotto" ? `sotto, ${result.runtime}` : result.runtime,
        number(result.startMs),
        number(result.startCpuMs),
        number(result.memory),
        number(result.memoryLater),
        shown(result.aboveEmpty, 0),
        number(result.known),
        number(result.fresh),
        shown(result.knownRatio, 3),
        shown(result.freshRatio, 3),
      ])
    ),
  ].join("\n");
}

/** Of each result. */
export function figuresOf(result: CertificatesResult): Figure[] {
  const id = `certificates: ${result.runtime}: ${result.count}: ${result.server}`;
  return [
    figure(`${id}: start`, "ms", result.startMs),
    figure(`${id}: CPU at start`, "ms", result.startCpuMs),
    figure(`${id}: memory`, "MB", result.memory),
    figure(`${id}: memory after 10,000 names`, "MB", result.memoryLater),
    figure(`${id}: memory of an empty server after as many handshakes`, "MB", result.emptyLater),
    figure(
      `${id}: memory above an empty server's`,
      "MB",
      result.aboveEmpty,
    ),
    figure(`${id}: handshake, known name`, "µs", result.known),
    figure(`${id}: handshake, known name ÷ one certificate`, "ratio", result.knownRatio),
    ...(result.fresh === undefined || result.freshRatio === undefined ? [] : [
      figure(`${id}: handshake, new name`, "µs", result.fresh),
      figure(`${id}: handshake, new name ÷ one certificate`, "ratio", result.freshRatio),
    ]),
  ];
}

function figure(id: string, unit: string, value: Estimate): Figure {
  return { id, unit, estimate: value };
}

const ROOT_FOLDER = join(import.meta.dirname, "..");
const RUN: Record<RuntimeName, readonly string[]> = {
  bun: [runtimeBinary("bun")],
  deno: [runtimeBinary("deno"), "run", "-A"],
  node: [runtimeBinary("node")],
};
const COUNTS = [1, 1000, 10_000, 100_000];
/** Leaves of the local CA live 12 hours, and are renewed after 9.6. */
const GOOD_FOR_MS = 8 * 3600_000;
/** After a start: collectors give back what they do not need. */
const REST_MS = 1500;
const REST_LATER_MS = 12_000;
