/**
 * A million names: the SNI trie beside a JavaScript Map, on this runtime.
 *
 *     bun bench/trie.bench.ts [NAMES]
 *     node --expose-gc bench/trie.bench.ts
 *     deno run -A --v8-flags=--expose-gc bench/trie.bench.ts
 *
 * The names are those of many customers, 10 to 30 bytes, a tenth of them wildcards. They are asked for in no order and
 * in mixed case, from one packed buffer, as an SNI lies in the hello it came in: what is measured is the lookup with its
 * cache misses and not how the bench keeps its questions. The Map has to make a string of the bytes first ("Map");
 * "Map, strings ready" is what it would cost were there such a string already, which nobody has.
 *
 * Build: CPU ms, once as a start has it (nothing is compiled yet) and then several times, trie and Map in turn. Memory:
 * bytes a name, what the collector holds after a collection where the runtime lets one be asked for. Lookups: ns; each round
 * asks all questions of every kind of everybody, in an order shuffled anew, so the caches have forgotten the last round. They
 * are asked 500 at a time, and the median of those is the round's value: what makes a few of them late, be it another program
 * or the collector, is not the lookup's. Ratios are taken within a round.
 *
 * @module
 */
import { foldNames, NameIndex } from "../src/snapshot/name-index.ts";
import { NameList } from "../src/snapshot/name-list.ts";
import { SniTrie } from "../src/snapshot/sni-trie.ts";
import type { BenchOptions } from "./options.ts";
import { table as tableOf } from "./report.ts";
import { inRounds } from "./rounds.ts";
import { type Estimate, estimate, estimateRatio, exactly, shuffled } from "./statistics.ts";

/** One line of the table. */
export interface Row {
  readonly what: string;
  readonly unit: "ms" | "µs" | "B a name" | "ns";
  readonly trie: Estimate;
  /** undefined: there is nothing to compare. */
  readonly map?: Estimate;
  /** … with the strings ready. */
  readonly ready?: Estimate;
  /** The trie by `map`. */
  readonly ratio?: Estimate;
}

/**
 * @param names how many
 * @param say progress, a line at a time
 */
export async function run(
  names = 1_000_000,
  options: Pick<BenchOptions, "rounds" | "roundSeconds"> = { rounds: 30, roundSeconds: undefined },
  say: (line: string) => void = () => {},
): Promise<Row[]> {
  say(`making ${names} names`);
  const all = makeNames(names);
  const before = heapBytes();
  const map = mapOf(all);
  const mapBytes = heapBytes() - before;
  const first = { trie: cpuTime(() => trieOf(all)), map: cpuTime(() => mapOf(all)) };
  const builds = await inTurn(
    {
      trie: () => cpuTimeAlone(() => trieOf(all)),
      map: () => cpuTimeAlone(() => mapOf(all)),
    },
    { ...options, rounds: Math.min(options.rounds, MOST_BUILDS) },
    (line) => say(`build, ${line}`),
  );
  const trie = trieOf(all);
  return [
    {
      what: "build, the first time",
      unit: "ms",
      trie: exactly(first.trie),
      map: exactly(first.map),
    },
    { what: "build", unit: "ms", ...compared(builds.trie!, builds.map) },
    {
      what: "memory",
      unit: "B a name",
      trie: exactly(trie.toBytes().length / names),
      map: exactly((mapBytes + stringBytes(all)) / names),
    },
    ...await lookups(all, trie, map, options, say),
    ...await changes(all, trie),
  ];
}

const MOST_BUILDS = 7;

async function lookups(
  all: readonly string[],
  trie: SniTrie,
  map: ReadonlyMap<string, number>,
  options: Pick<BenchOptions, "rounds" | "roundSeconds">,
  say: (line: string) => void,
): Promise<Row[]> {
  const changed = new NameIndex(trie).withChanges(
    Array.from({ length: 2048 }, (_, i) => ({ name: `new${i}.example`, index: i })),
  );
  const count = Math.min(MOST_QUESTIONS, all.length);
  const kinds = Object.entries(questionsAbout(all, map, count));
  const cells: Record<string, () => number> = {
    "cold read": coldRead(trie.toBytes().length, count),
    "read back": () => cpuTime(() => SniTrie.fromBytes(trie.toBytes())),
  };
  for (const [kind, questions] of kinds) {
    check(questions, trie, changed, map);
    cells[`${kind}: trie`] = () => nanos(count, (from, to) => askTrie(trie, questions, from, to));
    cells[`${kind}: index`] = () =>
      nanos(count, (from, to) => askTrie(changed, questions, from, to));
    cells[`${kind}: map`] = () => nanos(count, (from, to) => askMap(map, questions, from, to));
    cells[`${kind}: ready`] = () =>
      nanos(count, (from, to) => askMapByStrings(map, questions, from, to));
  }
  const samples = await inTurn(cells, options, (line) => say(`lookups, ${line}`));
  const of = (cell: string): Estimate => estimate(samples[cell]!);
  return [
    { what: "read back and checked", unit: "ms", trie: of("read back") },
    { what: "one read of as much memory, for scale", unit: "ns", trie: of("cold read") },
    ...kinds.flatMap(([kind]): Row[] => [
      {
        what: kind,
        unit: "ns",
        ...compared(samples[`${kind}: trie`]!, samples[`${kind}: map`]!),
        ready: of(`${kind}: ready`),
      },
      {
        what: `${kind}, 2,048 changes over it`,
        unit: "ns",
        trie: of(`${kind}: index`),
      },
    ]),
  ];
}

/** What each says, once a round, behind rounds that only warm up. */
async function inTurn(
  cells: Readonly<Record<string, () => number>>,
  options: Pick<BenchOptions, "rounds" | "roundSeconds">,
  say: (line: string) => void,
): Promise<Record<string, number[]>> {
  const samples: Record<string, number[]> = {};
  const round = async (isMeasured: boolean): Promise<void> => {
    for (const [name, cell] of shuffled(Object.entries(cells))) {
      const value = cell();
      if (isMeasured) (samples[name] ??= []).push(value);
      await pause();
    }
  };
  for (let i = 0; i < WARM_UPS; i++) await round(false);
  await inRounds(options, say, () => round(true));
  return samples;
}

const WARM_UPS = 2;

function compared(trie: number[], map: number[] | undefined): Pick<Row, "trie" | "map" | "ratio"> {
  if (map === undefined) return { trie: estimate(trie) };
  return { trie: estimate(trie), map: estimate(map), ratio: estimateRatio(trie, map) };
}

/** Adding one name to 100,000, and folding. */
async function changes(all: readonly string[], large: SniTrie): Promise<Row[]> {
  const base = trieOf(all.slice(0, 100_000));
  let index = new NameIndex(base);
  const times: number[] = [];
  heapBytes();
  for (let i = 0; i < Math.min(MOST_CHANGES, all.length); i++) {
    const change = [{ name: `added${i}.example.org`, index: i }];
    const begin = performance.now();
    index = index.withChanges(change);
    times.push(1000 * (performance.now() - begin));
    if (i % 100 === 0) await pause();
  }
  const sorted = times.toSorted((a, b) => a - b);
  const row = (what: string, unit: Row["unit"], trie: Estimate): Row => ({ what, unit, trie });
  const none = new NameIndex(large).overlay;
  return [
    row(ONE_MORE, "µs", estimate(times)),
    row(
      `${ONE_MORE}, all but one in a hundred within`,
      "µs",
      exactly(sorted[Math.floor(sorted.length * 0.99)]!, sorted.length),
    ),
    row(`${ONE_MORE}, the slowest`, "µs", exactly(sorted.at(-1)!, sorted.length)),
    row(
      "fold 4,000 changes into 100,000",
      "ms",
      exactly(cpuTimeAlone(() => foldNames(base, index.overlay))),
    ),
    row("fold none into all", "ms", exactly(cpuTimeAlone(() => foldNames(large, none)))),
  ];
}

const ONE_MORE = "one name more over 100,000";

/** What the machine takes for a read that depends on the one before, all over `length` bytes: no lookup can be faster. */
function coldRead(length: number, count: number): () => number {
  const random = generator(3);
  const next = Uint32Array.from({ length: length >> 2 }, (_, i) => i);
  for (let i = next.length - 1; i > 0; i--) { // one cycle through all (Sattolo)
    const j = random() % i;
    [next[i], next[j]] = [next[j]!, next[i]!];
  }
  let at = 0;
  return () =>
    nanos(count, (from, to) => {
      for (let i = from; i < to; i++) at = next[at]!;
      return at;
    });
}

interface Questions {
  readonly bytes: Uint8Array;
  readonly ends: Uint32Array;
  readonly strings: readonly string[];
  /** What all lookups together find. */
  readonly sum: number;
}

/** Enough of them that their records do not stay in the caches from round to round; no more than there are names. */
const MOST_QUESTIONS = 100_000;
const MOST_CHANGES = 4000;
const BATCH = 500;

/** ns per question. */
function nanos(questions: number, ask: (from: number, to: number) => unknown): number {
  const batches: number[] = [];
  for (let from = 0; from + BATCH <= questions; from += BATCH) {
    const begin = performance.now();
    ask(from, from + BATCH);
    batches.push((performance.now() - begin) / BATCH * 1e6);
  }
  return estimate(batches).median;
}

function questionsAbout(
  all: readonly string[],
  map: ReadonlyMap<string, number>,
  count: number,
): Record<string, Questions> {
  const random = generator(7);
  const exact = all.filter((name) => !name.startsWith("*"));
  const wild = all.filter((name) => name.startsWith("*"));
  const pick = (from: readonly string[]): string => from[random() % from.length]!;
  const ask = (make: (i: number) => string): Questions =>
    pack(Array.from({ length: count }, (_, i) => make(i)), map, random);
  return {
    "found": ask(() => pick(exact)),
    "found by wildcard": ask(() => `${LABELS[random() % LABELS.length]!}${pick(wild).slice(1)}`),
    "not found": ask((i) => `no-${(random() % 1e6).toString(36)}${i}.${pick(exact)}`),
    "half and half": ask((i) => i % 2 === 0 ? pick(exact) : `x-${pick(exact)}`),
  };
}

function pack(
  strings: readonly string[],
  map: ReadonlyMap<string, number>,
  random: () => number,
): Questions {
  let sum = 0;
  const bytes: number[] = [];
  const ends = new Uint32Array(strings.length);
  for (const [i, text] of strings.entries()) {
    sum += lookUp(map, text) ?? 1;
    const inMixedCase = random() % 4 === 0;
    for (let j = 0; j < text.length; j++) {
      const code = text.charCodeAt(j);
      const isUpper = inMixedCase && code >= 0x61 && code <= 0x7a && random() % 2 === 0;
      bytes.push(isUpper ? code - 0x20 : code);
    }
    ends[i] = bytes.length;
  }
  return { bytes: Uint8Array.from(bytes), ends, strings, sum };
}

function askTrie(
  trie: SniTrie | NameIndex,
  { bytes, ends }: Questions,
  from = 0,
  to = ends.length,
): number {
  let sum = 0;
  let start = from === 0 ? 0 : ends[from - 1]!;
  for (let i = from; i < to; i++) {
    const end = ends[i]!;
    sum += trie.find(bytes, start, end) ?? 1;
    start = end;
  }
  return sum;
}

function askMap(
  map: ReadonlyMap<string, number>,
  { bytes, ends }: Questions,
  from = 0,
  to = ends.length,
): number {
  let sum = 0;
  let start = from === 0 ? 0 : ends[from - 1]!;
  for (let i = from; i < to; i++) {
    const end = ends[i]!;
    let text = "";
    for (let at = start; at < end; at++) {
      const byte = bytes[at]!;
      text += String.fromCharCode(byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte);
    }
    sum += lookUp(map, text) ?? 1;
    start = end;
  }
  return sum;
}

function askMapByStrings(
  map: ReadonlyMap<string, number>,
  { strings }: Questions,
  from = 0,
  to = strings.length,
): number {
  let sum = 0;
  for (let i = from; i < to; i++) sum += lookUp(map, strings[i]!) ?? 1;
  return sum;
}

function lookUp(map: ReadonlyMap<string, number>, text: string): number | undefined {
  const exact = map.get(text);
  if (exact !== undefined) return exact;
  const dot = text.indexOf(".");
  return dot > 0 ? map.get("*" + text.slice(dot)) : undefined;
}

function check(
  questions: Questions,
  trie: SniTrie,
  changed: NameIndex,
  map: ReadonlyMap<string, number>,
): void {
  const sums = [
    askTrie(trie, questions),
    askTrie(changed, questions),
    askMap(map, questions),
    askMapByStrings(map, questions),
  ];
  if (sums.some((sum) => sum !== questions.sum)) {
    throw new Error(`They do not agree: ${sums.join(", ")}`);
  }
}

function trieOf(all: readonly string[]): SniTrie {
  const names = new NameList();
  for (let i = 0; i < all.length; i++) names.add(all[i]!, i);
  return SniTrie.build(names);
}

function mapOf(all: readonly string[]): Map<string, number> {
  const map = new Map<string, number>();
  for (let i = 0; i < all.length; i++) map.set(all[i]!, i);
  return map;
}

/** Different names of 10 to 30 bytes: customers' own domains, and tenants of a few platforms, in no order. */
function makeNames(count: number): string[] {
  const random = generator(1);
  const names = new Set<string>();
  while (names.size < count) {
    const word = SYLLABLES[random() % 32]! + SYLLABLES[random() % 32]! + SYLLABLES[random() % 32]! +
      (random() % 3 === 0 ? SYLLABLES[random() % 32]! : (random() % 4096).toString(36));
    const kind = random() % 10;
    const host = kind < 3
      ? `${word}.${PLATFORMS[random() % PLATFORMS.length]!}`
      : `${word}.${SUFFIXES[random() % SUFFIXES.length]!}`;
    const name = kind === 9 ? `*.${host}` : kind > 6 ? `www.${host}` : host;
    if (name.length >= 10 && name.length <= 30) names.add(copyOf(name));
  }
  return [...names];
}

/** A flat string of its own, as one that came from a file: not the rope that `+` makes. */
function copyOf(text: string): string {
  return JSON.parse(JSON.stringify(text)) as string;
}

/** What the strings would weigh as bytes alone: a lower bound. */
function stringBytes(all: readonly string[]): number {
  return all.reduce((sum, name) => sum + 16 + name.length, 0);
}

/** xorshift32: the same names on every runtime. */
function generator(seed: number): () => number {
  let state = seed * 0x9e3779b1 | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

/** Of all threads of this process, so the collector's as well. */
function cpuTime(work: () => unknown): number {
  const from = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(from);
  return (user + system) / 1000;
}

/** … without what was left to collect by others. */
function cpuTimeAlone(work: () => unknown): number {
  heapBytes();
  return cpuTime(work);
}

/** What the collector holds now, as far as the runtime tells; a collection first where it lets us. */
function heapBytes(): number {
  const { gc, Bun } = globalThis as { gc?: () => void; Bun?: { gc(force: boolean): void } };
  Bun?.gc(true);
  gc?.();
  return process.memoryUsage().heapUsed;
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve)); // a server beside it would want to live
}

export function table(rows: readonly Row[]): string {
  const show = (value: Estimate | undefined, digits = 2): string => {
    if (value === undefined) return "";
    const { median, low, high } = value;
    const of = (each: number): string => each.toFixed(each < 100 ? digits : 0);
    return low === high ? of(median) : `${of(median)} (${of(low)}-${of(high)})`;
  };
  return tableOf(
    ["", "unit", "trie", "Map", "Map, strings ready", "trie ÷ Map"],
    rows.map(({ what, unit, trie, map, ready, ratio }) => [
      what,
      unit,
      show(trie),
      show(map),
      show(ready),
      show(ratio),
    ]),
  );
}

const LABELS = ["www", "shop", "api", "mail", "dev", "static", "m", "a-rather-long-label"];
const PLATFORMS = ["myshop.example", "pages.example", "apps.example.net", "web.example"];
const SUFFIXES = ["com", "com", "com", "net", "org", "de", "co.uk", "io", "fr", "com.br"];
const SYLLABLES = ("ba be bo ca co da de do fa fi ga go ha in ka ko la le lo ma " +
  "mi mo na ne no pa ra ri sa ta ti ve").split(" ");

if (import.meta.main) {
  const count = Number(process.argv[2] ?? 1_000_000);
  console.log(`${process.argv0}, ${count} names`);
  console.log(table(await run(count, undefined, (line) => console.error(line))));
}
