/**
 * Bulk over one connection and real sockets, down and up: CPU seconds of the server per GB, sotto's `respond` beside the
 * runtime's own servers. With one suite for all; and where sotto prefers another one on this runtime, with what each
 * server prefers.
 *
 * Every round measures every cell (server × direction) once, in an order shuffled anew; ratios are taken within a round.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { join } from "node:path";

import { type ClientName, type Clients, SUITE } from "./client.ts";
import type { BenchOptions, RuntimeName } from "./options.ts";
import { CpuClock } from "./processes.ts";
import { inRounds, inStarts } from "./rounds.ts";
import { BUN_SERVE, ours, reference, startServer } from "./servers.ts";
import { NAME, type Server, type Setup, type Subject } from "./setup.ts";
import { type Estimate, estimate, estimateRatio, shuffled } from "./statistics.ts";

export const DIRECTIONS = ["download", "upload"] as const;
export type Direction = (typeof DIRECTIONS)[number];

/** How bytes move, and whether the client leaves the suite to the server. */
interface Way {
  readonly direction: Direction;
  readonly ownSuite: boolean;
}

const WAYS: readonly Way[] = DIRECTIONS.map((direction) => ({ direction, ownSuite: false }));
const OWN_WAYS: readonly Way[] = WAYS.map((way) => ({ ...way, ownSuite: true }));

export interface RecordResult {
  readonly runtime: RuntimeName;
  readonly direction: Direction | `${Direction}, own suite`;
  /** Sotto first. CPU s/GB, and sotto's by theirs. */
  readonly servers: readonly {
    readonly label: string;
    readonly cost: Estimate;
    readonly ratio: Estimate | undefined;
  }[];
}

/** What one run of `bulk` says. */
interface BulkResult {
  readonly moved: number;
  /** Bytes that came down, of all bodies. */
  readonly back: number;
  readonly version: string;
  readonly cipherSuite: string;
  readonly sha256: string;
}

/** @param say progress, a line at a time */
export async function measureRecords(
  runtime: RuntimeName,
  options: BenchOptions,
  setup: Setup,
  clients: Clients,
  say: (line: string) => void,
): Promise<RecordResult[]> {
  const cells = await inStarts(
    options,
    (line) => say(`${runtime}: ${line}`),
    (rounds, say) => measureStart(runtime, { ...options, rounds }, setup, clients, say),
    ({ costs }) => costs,
  );
  return [...new Set(cells.map(({ way }) => way))].map((way) => {
    const inRow = cells.filter((cell) => cell.way === way);
    const [own] = inRow as [Cell];
    return {
      runtime,
      direction: way.ownSuite ? `${way.direction}, own suite` : way.direction,
      servers: inRow.map((cell) => ({
        label: cell.server.subject.label,
        cost: estimate(cell.costs),
        ratio: cell === own ? undefined : estimateRatio(own.costs, cell.costs),
      })),
    };
  });
}

async function measureStart(
  runtime: RuntimeName,
  options: BenchOptions,
  setup: Setup,
  clients: Clients,
  say: (line: string) => void,
): Promise<Cell[]> {
  const client: ClientName = clients.go === undefined ? "own" : options.client ?? "go";
  const servers: Server[] = [];
  try {
    for (const subject of subjects(runtime, options, setup)) {
      servers.push(await startServer(subject, setup));
    }
    const prefers = await new Cell(servers[0]!, OWN_WAYS[0]!, client, clients).suite();
    const ways = prefers === SUITE ? WAYS : [...WAYS, ...OWN_WAYS];
    const cells = servers.flatMap((server) =>
      ways.map((way) => new Cell(server, way, client, clients))
    );
    for (const cell of cells) await cell.check();
    if (prefers !== SUITE) say(`sotto prefers ${prefers}`);
    say("all agree; warming up");
    for (let i = 0; i < WARM_UPS; i++) {
      for (const cell of cells) await cell.move(options.megabytes * 1e6);
    }
    await inRounds(options, say, async () => {
      for (const cell of shuffled(cells)) await cell.measure(options.megabytes * 1e6);
    });
    return cells;
  } finally {
    for (const server of servers) await server.stop();
  }
}

function subjects(runtime: RuntimeName, options: BenchOptions, setup: Setup): Subject[] {
  const sites = `
[[site]]
names = ["${BULK_NAME}"]
certificate = ${JSON.stringify(setup.cert)}
key = ${JSON.stringify(setup.key)}
respond = "${BODY}"
`;
  const other = reference(runtime, options);
  if (options.against !== undefined) {
    return [ours(runtime, options, { sites }), { ...other, extra: { sites } }];
  }
  return [
    ours(runtime, options, { sites }),
    bulk(other),
    ...(runtime === "bun" ? [bulk(BUN_SERVE)] : []),
  ];
}

/** The same server, as it moves bodies of 8 MiB. */
export function bulk(subject: Subject): Subject {
  const program = join(import.meta.dirname, "peers", `${subject.runtime}-bulk.ts`);
  return { ...subject, program, page: String(BODY_BYTES) };
}

class Cell {
  readonly server: Server;
  readonly way: Way;
  /** CPU s/GB, one per round. */
  readonly costs: number[] = [];
  readonly #client: ClientName;
  readonly #clients: Clients;
  readonly #clock: CpuClock;

  constructor(server: Server, way: Way, client: ClientName, clients: Clients) {
    this.server = server;
    this.way = way;
    this.#client = client;
    this.#clients = clients;
    this.#clock = new CpuClock(server.pid);
  }

  async measure(bytes: number): Promise<void> {
    const before = await this.#clock.readAtRest();
    const { moved } = await this.move(bytes);
    this.costs.push((await this.#clock.readAtRest() - before) / moved); // ns per byte are s per GB
  }

  /** @throws {Error} an answer is not whole */
  async move(bytes: number, ...flags: string[]): Promise<BulkResult> {
    const { direction, ownSuite } = this.way;
    const result = await this.#clients.run<BulkResult>(this.#client, "bulk", this.server, [
      "-name",
      direction === "download" ? BULK_NAME : NAME, // `respond` would answer each POST with its body
      "-skip-chain",
      "-bytes",
      String(bytes),
      ...(direction === "upload" ? ["-up", "-post", String(POST_BYTES)] : []),
      ...(ownSuite ? ["-suite", ""] : []),
      ...flags,
    ]);
    const { moved, back } = result;
    const most = direction === "download" ? moved : moved / 1000;
    if (moved < bytes || back > most) {
      throw new Error(
        `${direction}: ${moved} of ${bytes} bytes were moved, ${back} came back`,
      );
    }
    return result;
  }

  async suite(): Promise<string> {
    return (await this.move(1)).cipherSuite;
  }

  /** @throws {Error} it is not the same as for everybody else */
  async check(): Promise<void> {
    const { direction, ownSuite } = this.way;
    const { version, cipherSuite, sha256 } = await this.move(1, "-hash");
    const isSame = direction === "upload" || sha256 === BODY_HASH;
    if (version !== "TLS 1.3" || !(ownSuite || cipherSuite === SUITE) || !isSame) {
      throw new Error(
        `${this.server.subject.label}, ${direction}: ${version}, ${cipherSuite}, the body is ${
          isSame ? "the same" : "another"
        }`,
      );
    }
  }
}

/** By then the last of the runtime's compilers has seen what is hot. */
const WARM_UPS = 4;
const BULK_NAME = "bulk.bench.localhost";
const BODY_BYTES = 8 * 1024 * 1024;
const BODY = "x".repeat(BODY_BYTES);
const BODY_HASH = createHash("sha256").update(BODY).digest("hex");
/** `respond` passes over bodies of up to 1 MiB. */
const POST_BYTES = 1_000_000;
