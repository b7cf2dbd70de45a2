/**
 * CPU time of the server per connection: sotto beside the runtime's own TLS server, in the same run.
 *
 * Every round measures every cell (server × row) once, in an order shuffled anew, and ratios are taken within a round:
 * what the machine does meanwhile hits both sides.
 *
 * @module
 */
import { type Clients, type LoadResult } from "./client.ts";
import type { BenchOptions, RuntimeName } from "./options.ts";
import { CpuClock } from "./processes.ts";
import { type Row, ROWS, type Target, TARGETS } from "./rows.ts";
import { ours, PAGE, reference, type Server, type Setup, startServer } from "./servers.ts";
import { type Estimate, estimate, estimateRatio, shuffled } from "./statistics.ts";

export interface HandshakeResult {
  readonly runtime: RuntimeName;
  readonly row: string;
  /** µs of server CPU per connection. */
  readonly ours: Estimate;
  /** Undefined: it cannot do that. */
  readonly native: Estimate | undefined;
  /** ours ÷ native */
  readonly toNative: Estimate | undefined;
  /** ours ÷ ours of the plain row */
  readonly toPlain: Estimate | undefined;
  /** native ÷ native of the plain row */
  readonly nativeToPlain: Estimate | undefined;
  readonly target: (Target & { readonly isMet: boolean }) | undefined;
}

/** @param say progress, a line at a time */
export async function measureHandshakes(
  runtime: RuntimeName,
  options: BenchOptions,
  setup: Setup,
  clients: Clients,
  say: (line: string) => void,
): Promise<HandshakeResult[]> {
  const rows = chooseRows(options, clients);
  const servers: Server[] = [];
  try {
    for (const subject of [ours(runtime, options), reference(runtime, options)]) {
      servers.push(await startServer(subject, setup));
    }
    const cells = servers.flatMap((server) =>
      rows.filter((row) => canDo(server, row)).map((row) => new Cell(server, row, clients))
    );
    await check(cells, clients);
    say(`${runtime}: all agree; warming up`);
    await warmUp(servers, cells, options);
    for (let round = 1; round <= options.rounds; round++) {
      for (const cell of shuffled(cells)) await cell.measure(options);
      say(`${runtime}: round ${round} of ${options.rounds}`);
    }
    return results(runtime, rows, cells, servers);
  } finally {
    for (const server of servers) await server.stop();
  }
}

/** A row that is asked for brings the row that it is compared with. */
function chooseRows(options: BenchOptions, clients: Clients): Row[] {
  const client = clients.go === undefined ? "own" : options.client;
  const all = client === "own" ? ROWS.map(byOwnClient).filter((row) => row !== undefined) : ROWS;
  const wanted = all.filter((row) =>
    options.rows.length === 0 || options.rows.some((word) => row.id.includes(word))
  );
  const plain = new Set(wanted.map((row) => row.against));
  return all.filter((row) => wanted.includes(row) || plain.has(row.id));
}

/** Sotto's client has no X25519MLKEM768. */
function byOwnClient(row: Row): Row | undefined {
  if (row.client === "own") return row;
  if (row.group !== "X25519") return undefined;
  return { ...row, client: "own" };
}

function canDo(server: Server, row: Row): boolean {
  return server.ech !== undefined || (!row.ech && row.expect !== "grease");
}

class Cell {
  readonly server: Server;
  readonly row: Row;
  /** µs per connection, one per round. */
  readonly micros: number[] = [];
  readonly #clients: Clients;
  readonly #clock: CpuClock;

  constructor(server: Server, row: Row, clients: Clients) {
    this.server = server;
    this.row = row;
    this.#clients = clients;
    this.#clock = new CpuClock(server.pid);
  }

  async measure(options: BenchOptions): Promise<void> {
    const before = await this.#clock.readAtRest();
    await this.load(options.connections, options.concurrency);
    const used = await this.#clock.readAtRest() - before;
    this.micros.push(used / 1000 / options.connections);
  }

  /** @throws {Error} unless every connection went as the row says */
  async load(connections: number, concurrency: number): Promise<LoadResult> {
    const { row, server } = this;
    const result = await this.#clients.load(row.client, server, [
      "-n",
      String(connections),
      "-concurrency",
      String(row.expect === "resumed" ? 1 : concurrency), // the ticket comes from the one before
      ...row.flags,
      ...(row.ech ? ["-ech", server.ech!] : []),
    ]);
    const as = row.expect === undefined ? result.ok : result[row.expect];
    if (result.ok !== connections || as !== connections) {
      throw new Error(
        `${server.subject.id}, ${row.id}: not all of ${connections} went well: ${
          JSON.stringify(result)
        }`,
      );
    }
    return result;
  }
}

/** That every server does the same, before anything is timed. @throws {Error} one does not */
async function check(cells: readonly Cell[], clients: Clients): Promise<void> {
  for (const { server, row } of cells) {
    if (row.client !== "go" || !row.flags.includes("-get")) continue;
    const [answer] = await clients.get(server, [
      ...row.flags.filter((flag) => !["-get", "-resume", "-renew"].includes(flag)),
      ...(row.ech ? ["-ech", server.ech!] : []),
    ]);
    const is = {
      version: answer?.version,
      cipherSuite: answer?.cipherSuite,
      group: answer?.group,
      echAccepted: answer?.echAccepted,
      body: answer?.body,
    };
    const shall = {
      version: "TLS 1.3",
      cipherSuite: "TLS_AES_128_GCM_SHA256",
      group: row.group,
      echAccepted: row.ech,
      body: PAGE,
    };
    if (JSON.stringify(is) !== JSON.stringify(shall)) {
      throw new Error(`${server.subject.id}, ${row.id}: ${JSON.stringify(answer)}`);
    }
  }
  for (const cell of cells) {
    const { body } = await cell.load(3, 1);
    if (cell.row.flags.includes("-get") && body !== undefined && body !== PAGE) {
      throw new Error(`${cell.server.subject.id}, ${cell.row.id}: ${JSON.stringify(body)}`);
    }
  }
}

/** Compilers look at what is run often. */
async function warmUp(
  servers: readonly Server[],
  cells: readonly Cell[],
  options: BenchOptions,
): Promise<void> {
  for (const server of servers) {
    const own = cells.filter((cell) => cell.server === server);
    const each = Math.ceil(options.warmUp / own.length);
    for (const cell of own) await cell.load(each, options.concurrency);
  }
}

function results(
  runtime: RuntimeName,
  rows: readonly Row[],
  cells: readonly Cell[],
  [our, their]: readonly Server[],
): HandshakeResult[] {
  const microsOf = (server: Server | undefined, row: string | undefined): number[] | undefined =>
    cells.find((cell) => cell.server === server && cell.row.id === row)?.micros;
  return rows.map((row) => {
    const own = microsOf(our, row.id)!;
    const other = microsOf(their, row.id);
    const plain = microsOf(our, row.against);
    const otherPlain = microsOf(their, row.against);
    const toNative = other && estimateRatio(own, other);
    const toPlain = plain && estimateRatio(own, plain);
    const target = TARGETS.find((target) =>
      target.runtime === runtime && target.row === row.id &&
      (target.of === "plain" || their!.subject.kind !== "ours")
    );
    const ratio = target?.of === "native" ? toNative : toPlain;
    return {
      runtime,
      row: row.id,
      ours: estimate(own),
      native: other && estimate(other),
      toNative,
      toPlain,
      nativeToPlain: other && otherPlain && estimateRatio(other, otherPlain),
      target: target && ratio && { ...target, isMet: ratio.low <= target.ratio },
    };
  });
}
