/**
 * The command line of the bench.
 * @module
 */
import { parseArgs } from "node:util";

export const BENCHES = [
  "handshake",
  "idle",
  "forward",
  "core",
  "crypto",
  "parse",
  "record",
  "trie",
] as const;
export type BenchName = (typeof BENCHES)[number];

export const RUNTIMES = ["bun", "deno", "node"] as const;
export type RuntimeName = (typeof RUNTIMES)[number];

export interface BenchOptions {
  readonly bench: BenchName;
  /** Empty: all that are installed. */
  readonly runtimes: readonly RuntimeName[];
  readonly rounds: number;
  /** Per round and cell (handshake), or open at once (idle). */
  readonly connections: number;
  /** Connections that each server sees before it is measured. */
  readonly warmUp: number;
  /** Connections under way at a time. */
  readonly concurrency: number;
  /** Only rows whose id contains one of these; empty: all. */
  readonly rows: readonly string[];
  /** Go where it is installed. */
  readonly client: "go" | "own" | undefined;
  /** The edge.ts to measure; undefined: this one. */
  readonly program: string | undefined;
  /** An edge.ts to compare with, in place of the runtime's own server. */
  readonly against: string | undefined;
  readonly json: string | undefined;
  readonly compare: string | undefined;
}

export class UsageError extends Error {
  override readonly name = "UsageError";
}

export const USAGE = `npm run bench -- BENCH [options]

  handshake   CPU of the server per connection, beside the runtime's own TLS server
  idle        memory of the server per idle connection, beside the same
  forward     CPU of \`forward\` on Bun, beside haproxy; wants nginx, haproxy and h2load

and on the runtime that runs the bench:
  core        handshakes without sockets
  crypto      each primitive with each provider
  parse       ClientHello, ECH's inner hello
  record      sealing and opening records
  trie        1,000,000 names, beside a Map

  --runtime NAMES      bun, deno, node, by comma (default: those that are installed)
  --rounds N           rounds (default: handshake 12, idle 3, forward 30, trie 7, others 9)
  --connections N      per cell and round (handshake 300, core 300), held open (idle 5000)
  --warm-up N          connections per server beforehand (handshake 10000, idle 1500)
  --concurrency N      connections at a time (default 1)
  --rows WORDS         only the rows whose names contain one of these words, by comma
  --client go|own      load client of handshake (default: go where it is installed)
  --program FILE       another edge.ts than the one of this folder
  --against FILE       compare with that edge.ts in the same run, not with the runtime's own server
  --json FILE          write the results
  --compare FILE       show the change against such a file
`;

const DEFAULT_ROUNDS: Record<BenchName, number> = {
  handshake: 12,
  idle: 3,
  forward: 30,
  core: 9,
  crypto: 1,
  parse: 9,
  record: 9,
  trie: 7,
};

/** @throws {UsageError} */
export function parseOptions(args: readonly string[]): BenchOptions {
  const { values, positionals } = parse(args);
  const [bench, ...more] = positionals;
  if (!isOneOf(BENCHES, bench) || more.length > 0) {
    throw new UsageError(
      `want one bench, accepted: ${BENCHES.join(", ")}; given: ${positionals.join(" ") || "none"}`,
    );
  }
  return {
    bench,
    runtimes: list(values.runtime).map((name) => oneOf("runtime", RUNTIMES, name)),
    rounds: count("rounds", values.rounds, DEFAULT_ROUNDS[bench]),
    connections: count("connections", values.connections, bench === "idle" ? 5000 : 300),
    warmUp: count("warm-up", values["warm-up"], bench === "idle" ? 1500 : 10_000),
    concurrency: count("concurrency", values.concurrency, 1),
    rows: list(values.rows),
    client: values.client === undefined
      ? undefined
      : oneOf("client", ["go", "own"] as const, values.client),
    program: values.program,
    against: values.against,
    json: values.json,
    compare: values.compare,
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
        rounds: { type: "string" },
        connections: { type: "string" },
        "warm-up": { type: "string" },
        concurrency: { type: "string" },
        rows: { type: "string" },
        client: { type: "string" },
        program: { type: "string" },
        against: { type: "string" },
        json: { type: "string" },
        compare: { type: "string" },
      },
    });
  } catch (cause) {
    throw new UsageError((cause as Error).message, { cause });
  }
}

function list(text: string | undefined): string[] {
  return (text ?? "").split(",").map((part) => part.trim()).filter((part) => part !== "");
}

function count(option: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  if (!/^[1-9]\d{0,5}$/.test(text)) {
    throw new UsageError(
      `--${option} ${JSON.stringify(text)} is no count, accepted: 1 to 999999`,
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
