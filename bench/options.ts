/**
 * The command line of the bench.
 * @module
 */
import { parseArgs } from "node:util";

export const BENCHES = [
  "handshake",
  "throughput",
  "record",
  "idle",
  "forward",
  "certificates",
  "soak",
  "core",
  "crypto",
  "parse",
  "seal",
  "trie",
] as const;
export type BenchName = (typeof BENCHES)[number];

/** They need no server and no client. */
export const IN_PROCESS: readonly BenchName[] = ["core", "crypto", "parse", "seal", "trie"];

/** Whatever `--runtime` says: that of the bench, or Bun. */
const ON_ONE_RUNTIME: readonly BenchName[] = [...IN_PROCESS, "forward"];

/** What is said of results that are there already. */
export const REPORTS = ["readme", "conditions"] as const;
export type ReportName = (typeof REPORTS)[number];

/** Servers that are no part of a runtime. */
export const PEERS = ["go", "caddy", "nginx", "haproxy"] as const;
export type PeerName = (typeof PEERS)[number];

export const RUNTIMES = ["bun", "deno", "node"] as const;
export type RuntimeName = (typeof RUNTIMES)[number];

export interface BenchOptions {
  /** Empty: all that are installed. */
  readonly runtimes: readonly RuntimeName[];
  /** Undefined: all that are installed, beside Bun. */
  readonly peers: readonly PeerName[] | undefined;
  readonly rounds: number;
  /** How often the servers are started anew, each time for its part of the rounds. */
  readonly starts: number;
  /** No further round begins after so long; undefined: all are made. */
  readonly roundSeconds: number | undefined;
  /** Per round and cell (handshake), or open at once (idle). */
  readonly connections: number;
  /** Connections that each server sees before it is measured. */
  readonly warmUp: number;
  /** Connections under way at a time. */
  readonly concurrency: number;
  /** Of one load (throughput). */
  readonly seconds: number;
  /** Of one load (record). */
  readonly megabytes: number;
  /** Of a soak, in all. */
  readonly handshakes: number;
  readonly minutes: number;
  /** How many certificates; undefined: 1, 1,000, 10,000 and 100,000. */
  readonly counts: readonly number[] | undefined;
  /** Only rows whose id contains one of these; empty: all. */
  readonly rows: readonly string[];
  /** Go where it is installed. */
  readonly client: "go" | "own" | undefined;
  /** The edge.ts to measure; undefined: this one. */
  readonly program: string | undefined;
  /** An edge.ts to compare with, in place of the runtime's own server. */
  readonly against: string | undefined;
}

export interface CommandLine {
  /** In this order. */
  readonly benches: readonly BenchName[];
  readonly report: ReportName | undefined;
  readonly help: boolean;
  /** No bench was named: all of them, briefly. */
  readonly isBrief: boolean;
  readonly json: string | undefined;
  /** Keep the results among the baselines. */
  readonly save: boolean;
  readonly compare: string | undefined;
  /** Print how the figures stand to what they shall be. */
  readonly conditions: boolean;
  options(bench: BenchName): BenchOptions;
}

export class UsageError extends Error {
  override readonly name = "UsageError";
}

export const USAGE = `npm run bench [-- BENCH [options]]

  Without BENCH: all of them on Bun, each as short as it can be and still say something; a few minutes.

beside the runtimes' own servers, on real sockets:
  handshake   CPU of the server per connection; beside Go, Caddy, nginx and haproxy too
  throughput  handshakes a second; how long one takes at 50 % and 90 % of that
  record      CPU of the server per GB, down and up
  idle        memory of the server per idle connection
  forward     CPU of \`forward\` on Bun, beside haproxy; wants nginx, haproxy, h2load and curl
  certificates  very many: start, memory and CPU per handshake
  soak        all kinds of connections and faults; fails unless each is accounted for and memory stays flat

on the runtime that runs the bench, in one process:
  core        handshakes without sockets
  crypto      each primitive with each provider
  parse       ClientHello, ECH's inner hello
  seal        sealing and opening records
  trie        1,000,000 names, beside a Map

of results that are there:
  readme      the table for README.md from bench/baselines
  conditions  what the figures in bench/baselines shall be, and whether they are

  --runtime NAMES      bun, deno, node, by comma (default: those that are installed)
  --peers NAMES        go, caddy, nginx, haproxy, by comma, or none (default: those that are installed, beside Bun)
  --rounds N           rounds (default: handshake and record 12, throughput 5, idle 6, core 9, others 30)
  --starts N           of the servers, each for its part of the rounds (certificates 6, handshake, record, forward 3)
  --connections N      per cell and round (handshake, certificates, core 300), held open (idle 5000)
  --warm-up N          connections per server beforehand (handshake 32000, forward and certificates 20000,
                       throughput 5000, idle 1500)
  --concurrency N      connections at a time (default 1)
  --seconds N          of each load (throughput 5)
  --megabytes N        of each load (record 128)
  --handshakes N       of a soak on each runtime (default 100000)
  --minutes N          that they are spread over (default 10)
  --counts N,…         of certificates (default 1,1000,10000,100000)
  --rows WORDS         only the rows whose names contain one of these words, by comma
  --client go|own      load client (default: go where it is installed)
  --program FILE       another edge.ts than the one of this folder
  --against FILE       compare with that edge.ts in the same run, not with the runtime's own server
  --json FILE          write the results
  --save               write them into bench/baselines; wants one bench, on one runtime
  --compare FILE       show the change against such a file
  --conditions         say how the figures stand to what they shall be
  --help               this
`;

interface Numbers {
  readonly rounds: number;
  readonly starts: number;
  readonly connections: number;
  readonly warmUp: number;
  readonly seconds: number;
  readonly megabytes: number;
  readonly handshakes: number;
  readonly minutes: number;
}

const COMMON: Numbers = {
  rounds: 9,
  starts: 1,
  connections: 300,
  warmUp: 32_000,
  seconds: 5,
  megabytes: 128,
  handshakes: 100_000,
  minutes: 10,
};

const DEFAULTS: Record<BenchName, Partial<Numbers>> = {
  handshake: { rounds: 12, starts: 3 },
  throughput: { rounds: 5, warmUp: 5000 },
  record: { rounds: 12, starts: 3 },
  idle: { rounds: 6, connections: 5000, warmUp: 1500 },
  forward: { rounds: 30, starts: 3, warmUp: 20_000 },
  certificates: { rounds: 30, starts: 6, warmUp: 20_000 },
  soak: {},
  core: {},
  crypto: { rounds: 30 },
  parse: { rounds: 30 },
  seal: { rounds: 30 },
  trie: { rounds: 30 },
};

/** For a first look. */
const BRIEF: Record<BenchName, Partial<Numbers>> = {
  handshake: { rounds: 6, starts: 1, connections: 60, warmUp: 2000 },
  throughput: { rounds: 2, seconds: 2, warmUp: 1000 },
  record: { rounds: 6, starts: 1, megabytes: 64 },
  idle: { rounds: 1, connections: 1000, warmUp: 500 },
  forward: { rounds: 2, starts: 1, warmUp: 2000 },
  certificates: { rounds: 6, starts: 2, connections: 60, warmUp: 1000 },
  soak: { handshakes: 3000, minutes: 0.5 },
  core: { rounds: 3, connections: 100 },
  crypto: { rounds: 6 },
  parse: { rounds: 6 },
  seal: { rounds: 6 },
  trie: { rounds: 6 },
};

const BRIEF_COUNTS = [1000];

/** For all rounds of one bench, so that a slow machine gets an answer too. */
const BRIEF_ROUND_SECONDS = 60;

/** @throws {UsageError} */
export function parseOptions(args: readonly string[]): CommandLine {
  const { values, positionals } = parse(args);
  const [word, ...more] = positionals;
  const isReport = isOneOf(REPORTS, word);
  if (more.length > 0 || (word !== undefined && !isReport && !isOneOf(BENCHES, word))) {
    throw new UsageError(
      `want one bench or none, accepted: ${[...BENCHES, ...REPORTS].join(", ")}; given: ${
        positionals.join(" ")
      }`,
    );
  }
  const runtimes = list(values.runtime).map((name) => oneOf("runtime", RUNTIMES, name));
  if (values.save === true && (word === undefined || isReport)) {
    throw new UsageError("--save wants one bench");
  }
  if (values.save === true && runtimes.length !== 1 && !isOneOf(ON_ONE_RUNTIME, word)) {
    throw new UsageError(`--save wants one --runtime, accepted: ${RUNTIMES.join(", ")}`);
  }
  const given = {
    rounds: count("rounds", values.rounds),
    starts: count("starts", values.starts),
    connections: count("connections", values.connections),
    warmUp: count("warm-up", values["warm-up"]),
    seconds: count("seconds", values.seconds),
    megabytes: count("megabytes", values.megabytes),
    handshakes: count("handshakes", values.handshakes),
    minutes: count("minutes", values.minutes),
  };
  const isBrief = word === undefined;
  const common = {
    runtimes: isBrief && runtimes.length === 0 ? ["bun" as const] : runtimes,
    peers: values.peers === undefined
      ? undefined
      : values.peers === "none"
      ? []
      : list(values.peers).map((name) => oneOf("peers", PEERS, name)),
    concurrency: count("concurrency", values.concurrency) ?? 1,
    roundSeconds: isBrief ? BRIEF_ROUND_SECONDS : undefined,
    counts: values.counts === undefined
      ? isBrief ? BRIEF_COUNTS : undefined
      : list(values.counts).map((text) => count("counts", text)!),
    rows: list(values.rows),
    client: values.client === undefined
      ? undefined
      : oneOf("client", ["go", "own"] as const, values.client),
    program: values.program,
    against: values.against,
  };
  return {
    benches: isReport ? [] : isBrief ? BENCHES : [word],
    report: isReport ? word : undefined,
    help: values.help === true,
    isBrief,
    json: values.json,
    save: values.save === true,
    compare: values.compare,
    conditions: values.conditions === true,
    options(bench) {
      const numbers = { ...COMMON, ...DEFAULTS[bench], ...(isBrief ? BRIEF[bench] : {}) };
      const chosen = Object.entries(given).filter(([, value]) => value !== undefined);
      return { ...common, ...numbers, ...Object.fromEntries(chosen) };
    },
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      strict: true,
      options: {
        runtime: { type: "string" },
        peers: { type: "string" },
        rounds: { type: "string" },
        starts: { type: "string" },
        connections: { type: "string" },
        "warm-up": { type: "string" },
        concurrency: { type: "string" },
        seconds: { type: "string" },
        megabytes: { type: "string" },
        handshakes: { type: "string" },
        minutes: { type: "string" },
        counts: { type: "string" },
        rows: { type: "string" },
        client: { type: "string" },
        program: { type: "string" },
        against: { type: "string" },
        json: { type: "string" },
        save: { type: "boolean" },
        compare: { type: "string" },
        conditions: { type: "boolean" },
        help: { type: "boolean", short: "h" },
      },
    });
  } catch (cause) {
    throw new UsageError((cause as Error).message, { cause });
  }
}

function list(text: string | undefined): string[] {
  return (text ?? "").split(",").map((part) => part.trim()).filter((part) => part !== "");
}

function count(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^[1-9]\d{0,6}$/.test(text)) {
    throw new UsageError(
      `--${option} ${JSON.stringify(text)} is no count, accepted: 1 to 9999999`,
    );
  }
  return Number(text);
}

function oneOf<T extends string>(option: string, accepted: readonly T[], text: string): T {
  if (isOneOf(accepted, text)) return text;
  throw new UsageError(
    `--${option} ${JSON.stringify(text)} is unknown, accepted: ${accepted.join(", ")}`,
  );
}

function isOneOf<T extends string>(accepted: readonly T[], text: string | undefined): text is T {
  return (accepted as readonly (string | undefined)[]).includes(text);
}
