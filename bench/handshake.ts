/**
 * CPU time of the server per connection: sotto beside the runtime's own TLS server and others, in the same run.
 *
 * Every round measures every cell (server × row) once, in an order shuffled anew, and ratios are taken within a round:
 * what the machine does meanwhile hits both sides.
 *
 * @module
 */
import { BetweenLoads } from "./between.ts";
import type { Clients, GetResult, LoadResult } from "./client.ts";
import { type BenchOptions, type PeerName, PEERS, type RuntimeName } from "./options.ts";
import { peerSubjects } from "./peers/peers.ts";
import { CpuClock } from "./processes.ts";
import { type Row, ROWS } from "./rows.ts";
import { inRounds } from "./rounds.ts";
import { type Sent, sentNote, whatIsSent } from "./sent.ts";
import { ours, reference, startServer } from "./servers.ts";
import { NAME, PAGE, RSA_NAME, type Server, type Setup, type Subject } from "./setup.ts";
import { type Estimate, estimate, estimateRatio, shuffled } from "./statistics.ts";

export interface HandshakeResult {
  readonly runtime: RuntimeName;
  readonly row: string;
  /** Sotto first. Who cannot do it is not among them. */
  readonly cells: readonly CellResult[];
  readonly ratios: readonly RatioResult[];
}

export interface CellResult {
  readonly label: string;
  /** µs of server CPU per connection. */
  readonly micros: Estimate;
  /** By the same server's plain row. */
  readonly toPlain: Estimate | undefined;
}

/** `of` by `to` in this row, or by the plain row of `to`. */
export interface RatioResult {
  readonly of: string;
  readonly to: string;
  readonly toPlain: boolean;
  readonly ratio: Estimate;
}

/**
 * @param peers who beside the runtime's own server
 * @param say progress, a line at a time
 * @param note what a reader of the results must know
 */
export async function measureHandshakes(
  runtime: RuntimeName,
  options: BenchOptions,
  peers: readonly PeerName[],
  setup: Setup,
  clients: Clients,
  say: (line: string) => void,
  note: (line: string) => void,
): Promise<HandshakeResult[]> {
  const rows = chooseRows(options, clients);
  const { starts } = options;
  const rounds = Math.ceil(options.rounds / starts);
  const measured: Cell[][] = [];
  for (let start = 1; start <= starts; start++) {
    const which = starts === 1 ? runtime : `${runtime}, start ${start} of ${starts}`;
    measured.push(
      await measureStart(
        subjects(runtime, options, peers),
        { rows, options: { ...options, rounds }, setup, clients },
        (line) => say(`${which}: ${line}`),
        (line) => start === 1 && note(line),
      ),
    );
  }
  return results(runtime, rows, joined(measured));
}

interface StartParts {
  readonly rows: readonly Row[];
  readonly options: BenchOptions;
  readonly setup: Setup;
  readonly clients: Clients;
}

/** One of several: processes of one program differ by some hundredths for as long as they live. */
async function measureStart(
  subjects: readonly Subject[],
  { rows, options, setup, clients }: StartParts,
  say: (line: string) => void,
  note: (line: string) => void,
): Promise<Cell[]> {
  const servers: Server[] = [];
  try {
    for (const subject of subjects) servers.push(await startServer(subject, setup));
    const sent: [string, Sent][] = [];
    for (const server of servers) sent.push([server.subject.label, await whatIsSent(server)]);
    note(sentNote(sent));
    const cells = await agreeing(
      servers.flatMap((server) =>
        rows.filter((row) => takesPart(server, row)).map((row) => new Cell(server, row, clients))
      ),
      note,
    );
    say("all agree; warming up");
    await warmUp(servers, cells, options);
    const clocks = await BetweenLoads.of(servers.map(({ pid }) => pid));
    await inRounds(options, say, async () => {
      for (const cell of shuffled(cells)) await cell.measure(options);
    });
    note(betweenNote(servers, clocks, cells));
    return cells;
  } finally {
    for (const server of servers) await server.stop();
  }
}

function betweenNote(
  servers: readonly Server[],
  clocks: readonly BetweenLoads[],
  cells: readonly Cell[],
): string {
  const parts = servers.map((server, i) => {
    const own = cells.filter((cell) => cell.server === server);
    const sum = (of: (cell: Cell) => number): number =>
      own.reduce((sum, cell) => sum + of(cell), 0);
    const { all, putOff } = clocks[i]!.shares(sum(({ usedNs }) => usedNs), sum(({ ms }) => ms));
    const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;
    return `${server.subject.label} ${percent(all)} (${percent(putOff)})`;
  });
  return "CPU time between a server's loads, in no figure, by that within them; in brackets what it does not " +
    `use at rest as well, so what it may have put off: ${parts.join(", ")}.`;
}

/** One cell for each that every start has, with the rounds of all of them. */
function joined([first = [], ...later]: readonly Cell[][]): Cell[] {
  return first.flatMap((cell) => {
    const same = later.map((cells) =>
      cells.find(({ row, server: { subject } }) =>
        row === cell.row && subject.id === cell.server.subject.id
      )
    );
    if (same.includes(undefined)) return [];
    cell.micros.push(...same.flatMap((other) => other!.micros));
    return [cell];
  });
}

function subjects(
  runtime: RuntimeName,
  options: BenchOptions,
  peers: readonly PeerName[],
): Subject[] {
  const own = ours(runtime, options);
  return [
    own,
    { ...own, id: `${own.id}-32`, label: "sotto, 32 keys", echKeys: 32 },
    ...(runtime === "deno"
      ? [{ ...own, id: `${own.id}-narrow`, label: "sotto, narrow", narrow: true }]
      : []),
    reference(runtime, options),
    ...peerSubjects(peers, runtime),
  ];
}

/** A row that is asked for brings the row that it is compared with. */
function chooseRows(options: BenchOptions, clients: Clients): Row[] {
  const client = clients.go === undefined ? "own" : options.client;
  const all = client === "own" ? ROWS.map(byOwnClient).filter((row) => row !== undefined) : ROWS;
  const wanted = all.filter((row) =>
    options.rows.length === 0 || options.rows.some((word) => row.id.includes(word))
  );
  if (wanted.length === 0) throw new Error(`--rows ${options.rows.join(",")} fits none`);
  const plain = new Set(wanted.map((row) => row.against));
  return all.filter((row) => wanted.includes(row) || plain.has(row.id));
}

/** Sotto's client has no X25519MLKEM768. */
function byOwnClient(row: Row): Row | undefined {
  if (row.client === "own") return row;
  if (row.group !== "X25519") return undefined;
  return { ...row, client: "own" };
}

function takesPart({ ech, subject }: Server, row: Row): boolean {
  const hasMany = subject.echKeys !== undefined && subject.echKeys > 1;
  return (ech !== undefined || !row.ech) && (!hasMany || row.manyKeys);
}

class Cell {
  readonly server: Server;
  readonly row: Row;
  /** µs per connection, one per round. */
  readonly micros: number[] = [];
  /** Of the server's CPU, and of time, in all rounds. */
  usedNs = 0;
  ms = 0;
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
    const begin = performance.now();
    await this.load(options.connections, options.concurrency);
    const used = await this.#clock.readAtRest() - before;
    this.usedNs += used;
    this.ms += performance.now() - begin;
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
      ...this.#where(),
    ]);
    const as = row.expect === undefined ? result.ok : result[row.expect];
    if (
      result.ok !== connections || as !== connections ||
      (row.expect === "rejected" && row.client === "go" && result.withRetry !== connections)
    ) {
      throw new Error(
        `${server.subject.label}, ${row.id}: not all of ${connections} went well: ${
          JSON.stringify({ ok: result.ok, as, errors: result.errors })
        }`,
      );
    }
    return result;
  }

  /** That it does what the row says, and the same as everybody else. @throws {Error} it does not */
  async check(): Promise<void> {
    const { row, server } = this;
    if (row.client === "go" && row.flags.includes("-get")) {
      const flags = row.flags.filter((flag) => !["-get", "-resume", "-renew"].includes(flag));
      const [answer] = await this.#clients.get(server, [...flags, ...this.#where()]);
      const is = factsOf(answer);
      const shall = factsOf({
        version: "TLS 1.3",
        cipherSuite: "TLS_AES_128_GCM_SHA256",
        group: row.group,
        echAccepted: row.ech,
        body: PAGE,
      });
      if (is !== shall) {
        throw new Error(`${server.subject.label}, ${row.id}: ${answer?.error ?? is}`);
      }
    }
    const { body } = await this.load(3, 1);
    if (row.flags.includes("-get") && body !== undefined && body !== PAGE) {
      throw new Error(`${server.subject.label}, ${row.id}: ${JSON.stringify(body)}`);
    }
  }

  #where(): string[] {
    const { row, server } = this;
    return [
      ...(row.leaf === "rsa" ? ["-addr", server.rsaAddr, "-name", RSA_NAME] : ["-name", NAME]),
      ...(row.ech ? ["-ech", server.ech!] : []),
    ];
  }
}

function factsOf(answer: Partial<GetResult> | undefined): string {
  const { version, cipherSuite, group, echAccepted, body } = answer ?? {};
  return JSON.stringify({ version, cipherSuite, group, echAccepted, body });
}

/**
 * Before anything is timed every server must show that it does the same. Whoever else cannot do a row is left out of it,
 * with a sentence; sotto may not.
 *
 * @throws {Error} sotto does not do what a row says
 */
async function agreeing(cells: readonly Cell[], note: (line: string) => void): Promise<Cell[]> {
  const good: Cell[] = [];
  for (const cell of cells) {
    try {
      await cell.check();
      good.push(cell);
    } catch (error) {
      if (cell.server.subject.kind === "ours") throw error;
      note(`Left out: ${oneLine((error as Error).message)}`);
    }
  }
  return good;
}

function oneLine(text: string): string {
  return text.replace(/^.*interop: /s, "").replaceAll(/\s+/g, " ").slice(0, 200);
}

/** Compilers look at what is run often; programs that were compiled beforehand only fill their caches. */
async function warmUp(
  servers: readonly Server[],
  cells: readonly Cell[],
  options: BenchOptions,
): Promise<void> {
  for (const server of servers) {
    const own = cells.filter((cell) => cell.server === server);
    const isCompiled = (PEERS as readonly string[]).includes(server.subject.kind);
    const connections = isCompiled ? Math.min(options.warmUp, COMPILED_WARM_UP) : options.warmUp;
    const each = Math.ceil(connections / own.length);
    for (const cell of own) await cell.load(each, options.concurrency);
  }
}

const COMPILED_WARM_UP = 1000;

function results(
  runtime: RuntimeName,
  rows: readonly Row[],
  cells: readonly Cell[],
): HandshakeResult[] {
  return rows.map((row) => {
    const inRow = cells.filter((cell) => cell.row === row);
    const plainOf = (cell: Cell): Cell | undefined =>
      cells.find(({ server, row: { id } }) => server === cell.server && id === row.against);
    const ratio = (of: Cell, to: Cell | undefined, toPlain: boolean): RatioResult[] =>
      to === undefined ? [] : [{
        of: labelOf(of),
        to: labelOf(to),
        toPlain,
        ratio: estimateRatio(of.micros, to.micros),
      }];
    const [own, ...others] = inRow as [Cell, ...Cell[]];
    const narrow = inRow.find(({ server }) => server.subject.narrow === true);
    const native = inRow.find(({ server }) => server.subject.kind === "serve");
    return {
      runtime,
      row: row.id,
      cells: inRow.map((cell) => {
        const plain = plainOf(cell);
        return {
          label: labelOf(cell),
          micros: estimate(cell.micros),
          toPlain: plain && estimateRatio(cell.micros, plain.micros),
        };
      }),
      ratios: [
        ...others.flatMap((other) =>
          // Of two of ours: what the second changes.
          labelOf(other).startsWith("sotto,") ? ratio(other, own, false) : ratio(own, other, false)
        ),
        ...(narrow === undefined ? [] : ratio(narrow, native, false)),
        // What encryption here costs beside none elsewhere, which needs no server with ECH.
        ...(row.expect !== "echAccepted" ? [] : cells
          .filter(({ server, row: { id } }) =>
            id === row.against && server.subject.kind !== "ours" && server.subject.id !== "go-4"
          )
          .flatMap((other) => ratio(own, other, true))),
      ],
    };
  });
}

function labelOf({ server }: Cell): string {
  return server.subject.label;
}
