/**
 * Results for people (tables) and for the next run (figures in JSON).
 * @module
 */
import { readFileSync, writeFileSync } from "node:fs";

import { conditionOn, CONDITIONS, verdictOn } from "./conditions.ts";
import type { Row as CryptoRow } from "./crypto.bench.ts";
import type { Environment } from "./environment.ts";
import type { ForwardResult } from "./forward.ts";
import type { HandshakeResult } from "./handshake.ts";
import type { IdleResult } from "./idle.ts";
import type { MicroResult } from "./micro.ts";
import type { BenchName, RuntimeName } from "./options.ts";
import type { RecordResult } from "./record.ts";
import { memoryGrowth, type SoakCount, type SoakResult, total } from "./soak.ts";
import { type Estimate, exactly } from "./statistics.ts";
import type { Latency, ThroughputResult } from "./throughput.ts";
import type { Row as TrieRow } from "./trie.bench.ts";

/** One measured value, by a name that stays the same from run to run and is that of no other bench's. */
export interface Figure {
  readonly id: string;
  /** As the table has it: "µs", "ratio", "kB", "CPU s/GB" … */
  readonly unit: string;
  readonly estimate: Estimate;
}

/** What `--json` writes and `--compare` reads. */
export interface Report {
  /** "all": of several. */
  readonly bench: BenchName | "all";
  readonly environment: Environment;
  readonly settings: Readonly<Record<string, string | number | undefined>>;
  readonly figures: readonly Figure[];
  /** What a reader must know: who was left out, who was limited by the client. */
  readonly notes?: readonly string[];
}

export function writeReport(path: string, report: Report): void {
  writeFileSync(path, JSON.stringify(report, null, 2) + "\n");
}

/** @throws {Error} it cannot be read or is none, or of another bench */
export function readReport(path: string, bench?: Report["bench"]): Report {
  const report = JSON.parse(readFileSync(path, "utf8")) as Partial<Report>;
  const isOfAnother = bench !== undefined && bench !== "all" && report.bench !== "all" &&
    report.bench !== bench;
  if (!Array.isArray(report.figures) || isOfAnother) {
    throw new Error(`${path} holds no results of ${bench ?? "a bench"}`);
  }
  return report as Report;
}

export function handshakeFigures(results: readonly HandshakeResult[]): Figure[] {
  return results.flatMap(({ runtime, row, cells, ratios }) => [
    ...cells.flatMap(({ label, micros, toPlain }): Figure[] => [
      { id: `${runtime}: ${row}: ${label}`, unit: "µs", estimate: micros },
      ...(toPlain === undefined
        ? []
        : [{ id: `${runtime}: ${row}: ${label} ÷ plain`, unit: "ratio", estimate: toPlain }]),
    ]),
    ...ratios.map(({ of, to, toPlain, ratio }): Figure => ({
      id: `${runtime}: ${row}: ${of} ÷ ${toPlain ? `plain ${to}` : to}`,
      unit: "ratio",
      estimate: ratio,
    })),
  ]);
}

export function idleFigures(results: readonly IdleResult[]): Figure[] {
  return results.flatMap(({ runtime, ours, native }): Figure[] => [
    { id: `${runtime}: idle: sotto`, unit: "kB", estimate: ours },
    { id: `${runtime}: idle: native`, unit: "kB", estimate: native },
  ]);
}

export function recordFigures(results: readonly RecordResult[]): Figure[] {
  return results.flatMap(({ runtime, direction, servers }) =>
    servers.flatMap(({ label, cost, ratio }): Figure[] => [
      { id: `${runtime}: ${direction}: ${label}`, unit: "CPU s/GB", estimate: cost },
      ...(ratio === undefined ? [] : [{
        id: `${runtime}: ${direction}: sotto ÷ ${label}`,
        unit: "ratio",
        estimate: ratio,
      }]),
    ])
  );
}

export function throughputFigures(results: readonly ThroughputResult[]): Figure[] {
  return results.flatMap(({ runtime, label, reached, byCpu, latency, ratio }): Figure[] => {
    const id = `${runtime}: throughput: ${label}`;
    return [
      { id: `${id}: reached`, unit: "/s", estimate: reached },
      { id: `${id}: by CPU`, unit: "/s", estimate: byCpu },
      ...latency.flatMap(({ percent, times }) =>
        times === undefined ? [] : [
          { id: `${id}: p50 at ${percent} %`, unit: "µs", estimate: times.p50 },
          { id: `${id}: p99 at ${percent} %`, unit: "µs", estimate: times.p99 },
        ]
      ),
      ...(ratio === undefined ? [] : [{
        id: `${runtime}: throughput: sotto ÷ ${label}: by CPU`,
        unit: "ratio",
        estimate: ratio,
      }]),
    ];
  });
}

export function soakFigures(results: readonly SoakResult[]): Figure[] {
  return results.flatMap((result): Figure[] => {
    const { attempts, ok, injected } = total(result.rounds);
    const growth = memoryGrowth(result);
    const figure = (what: string, unit: string, value: number): Figure => ({
      id: `${result.runtime}: soak: ${what}`,
      unit,
      estimate: exactly(value, result.rounds.length),
    });
    return [
      figure("attempts", "connections", attempts),
      figure("unaccounted", "connections", attempts - ok - injected),
      figure("left open", "sockets", Math.max(...result.leftOpen)),
      ...(growth === undefined ? [] : [figure("memory", "ratio", growth)]),
    ];
  });
}

/** Of what runs in one process: `runtime` is the one that it ran on. */
export function microFigures(
  runtime: RuntimeName,
  bench: BenchName,
  results: readonly MicroResult[],
): Figure[] {
  return results.map(({ id, unit, estimate }) => ({
    id: `${runtime}: ${bench}: ${id}`,
    unit,
    estimate,
  }));
}

export function cryptoFigures(runtime: RuntimeName, rows: readonly CryptoRow[]): Figure[] {
  return rows.flatMap(({ primitive, micros }) =>
    Object.entries(micros).map(([provider, estimate]): Figure => ({
      id: `${runtime}: crypto: ${primitive}: ${provider}`,
      unit: "µs",
      estimate,
    }))
  );
}

export function trieFigures(runtime: RuntimeName, rows: readonly TrieRow[]): Figure[] {
  return rows.flatMap(({ what, unit, trie, map, ready, ratio }) => {
    const figure = (name: string, unit: string, estimate: Estimate | undefined): Figure[] =>
      estimate === undefined ? [] : [{ id: `${runtime}: trie: ${what}: ${name}`, unit, estimate }];
    return [
      ...figure("trie", unit, trie),
      ...figure("Map", unit, map),
      ...figure("Map, strings ready", unit, ready),
      ...figure("trie ÷ Map", "ratio", ratio),
    ];
  });
}

export function forwardFigures(results: readonly ForwardResult[]): Figure[] {
  return results.flatMap(({ load, unit, ours, others }): Figure[] => [
    { id: `forward: ${load}: sotto`, unit, estimate: ours },
    ...others.flatMap(({ label, cost, ratio }) => [
      { id: `forward: ${load}: ${label}`, unit, estimate: cost },
      { id: `forward: ${load}: sotto ÷ ${label}`, unit: "ratio", estimate: ratio },
    ]),
  ]);
}

/** Two tables: what each costs, in brackets by its own plain row; and sotto by the others. */
export function handshakeTable(results: readonly HandshakeResult[]): string {
  const labels = [...new Set(results.flatMap(({ cells }) => cells.map(({ label }) => label)))];
  const costs = table(
    ["µs per connection (÷ plain)", ...labels],
    results.map(({ row, cells }) => [
      row,
      ...labels.map((label) => {
        const cell = cells.find((cell) => cell.label === label);
        if (cell === undefined) return "-";
        const { micros, toPlain } = cell;
        return `${micros.median.toFixed(0)}${toPlain ? ` (${toPlain.median.toFixed(2)})` : ""}`;
      }),
    ]),
  );
  const figures = handshakeFigures(results).filter(isWorthALine);
  return `${costs}\n\n${figureTable("ratio", figures)}`;
}

/** All are in `--json`; a table is to be read. */
function isWorthALine({ id, unit }: Figure): boolean {
  if (unit !== "ratio") return false;
  if (conditionOn(id) !== undefined) return true;
  if (id.includes("own client") || id.includes("Go, 4 keys")) return false;
  if (id.endsWith("÷ plain")) return id.includes(": sotto ÷");
  return !id.includes("÷ plain ") || id.includes("ECH accepted none");
}

/** With the conditions that are about them. */
export function figureTable(head: string, figures: readonly Figure[]): string {
  return table(
    [head, "median (95 %)", "shall be", ""],
    figures.map((figure) => {
      const condition = conditionOn(figure.id);
      return [
        figure.id,
        interval(figure.estimate, 2),
        condition === undefined ? "" : `≤ ${condition.most}`,
        condition === undefined ? "" : verdictOn(condition, figure),
      ];
    }),
  );
}

export function idleTable(results: readonly IdleResult[]): string {
  return table(
    ["kB per idle connection", "sotto", "native"],
    results.map(({ runtime, connections, ours, native }) => [
      `${runtime}, ${connections}`,
      interval(ours, 2),
      interval(native, 2),
    ]),
  );
}

export function recordTable(results: readonly RecordResult[]): string {
  return table(
    ["CPU s/GB", "", "median (95 %)", "sotto ÷ it"],
    results.flatMap(({ runtime, direction, servers }) =>
      servers.map(({ label, cost, ratio: by }) => [
        `${runtime}, ${direction}`,
        label,
        interval(cost, 2),
        ratio(by),
      ])
    ),
  );
}

export function throughputTable(results: readonly ThroughputResult[]): string {
  const percent = ({ median }: Estimate): string => `${(median * 100).toFixed(0)} %`;
  return table(
    [
      "handshakes a second",
      "reached",
      "server, client busy",
      "by 1 s of CPU",
      ...["50 %", "90 %"].map((at) => `at ${at}: p50, p99 (client late) µs`),
    ],
    results.map(({ runtime, label, reached, byCpu, serverBusy, clientBusy, latency }) => [
      `${runtime}: ${label}`,
      reached.median.toFixed(0),
      `${percent(serverBusy)}, ${percent(clientBusy)}`,
      byCpu.median.toFixed(0),
      ...[0, 1].map((i) => latencyCell(latency[i])),
    ]),
  );
}

function latencyCell(latency: Latency | undefined): string {
  if (latency === undefined) return "-";
  const { times, fellBehind } = latency;
  const parts = [
    ...(times ? [`${times.p50.median}, ${times.p99.median} (${times.late.median})`] : []),
    ...(fellBehind > 0 ? [`fell behind ${fellBehind}×`] : []),
  ];
  return parts.join("; ");
}

export function soakTable(results: readonly SoakResult[]): string {
  return table(
    ["soak", "attempts", "ok", "injected", "failed", "RSS behind each round, MB"],
    results.flatMap(({ runtime, rounds, residentBytes }) => {
      const row = (what: string, { attempts, ok, injected, failed }: SoakCount, more: string) => [
        what,
        ...[attempts, ok, injected, failed].map(String),
        more,
      ];
      const megabytes = residentBytes.map((bytes) => (bytes / 1e6).toFixed(1)).join(" ");
      return [
        row(runtime, total(rounds), megabytes),
        ...Object.keys(rounds[0]?.kinds ?? {}).map((kind) =>
          row(`  ${kind}`, total(rounds.map(({ kinds }) => kinds[kind]!)), "")
        ),
      ];
    }),
  );
}

export function conditionsTable(figures: readonly Figure[]): string {
  const byId = new Map(figures.map((figure) => [figure.id, figure]));
  return table(
    ["", "measured (95 %)", "shall be", "", ""],
    CONDITIONS.map((condition) => {
      const figure = byId.get(condition.figure);
      return [
        condition.text,
        figure === undefined ? "-" : interval(figure.estimate, 2),
        `≤ ${condition.most}`,
        condition.kind,
        verdictOn(condition, figure),
      ];
    }),
  );
}

export function microTable(results: readonly MicroResult[]): string {
  return table(
    ["", "median", "95 %"],
    results.map(({ id, unit, estimate }) => [
      id,
      `${significant(estimate.median)} ${unit}`,
      `${significant(estimate.low)}-${significant(estimate.high)}`,
    ]),
  );
}

/**
 * What has changed against an earlier report, with how far it may be off either way: the ends of both intervals against
 * each other. Changes that may be none are marked `~`.
 */
export function comparison(now: readonly Figure[], before: Report): string {
  const earlier = new Map(before.figures.map((figure) => [figure.id, figure]));
  const rows = now.flatMap((figure) => {
    const old = earlier.get(figure.id);
    if (old === undefined || old.unit !== figure.unit) return [];
    const change = (value: number, by: number): number => (value / by - 1) * 100;
    const low = change(figure.estimate.low, old.estimate.high);
    const high = change(figure.estimate.high, old.estimate.low);
    const isNoise = !(low > 0 || high < 0);
    return [[
      figure.id,
      `${significant(old.estimate.median)}`,
      `${significant(figure.estimate.median)} ${figure.unit}`,
      `${isNoise ? "~ " : ""}${signed(change(figure.estimate.median, old.estimate.median))} %`,
      `${signed(low)} to ${signed(high)} %`,
    ]];
  });
  return table([
    `against ${before.environment.commit ?? before.environment.date}`,
    "then",
    "now",
    "change",
    "95 %",
  ], rows);
}

export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((cell, column) =>
    Math.max(3, cell.length, ...rows.map((row) => row[column]!.length))
  );
  const line = (cells: readonly string[]): string =>
    `| ${
      cells.map((cell, column) =>
        column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!)
      ).join(" | ")
    } |`;
  const rule = widths.map((width, column) =>
    column === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`
  );
  return [line(head), line(rule), ...rows.map(line)].join("\n");
}

function ratio(estimate: Estimate | undefined): string {
  return estimate === undefined ? "-" : interval(estimate, 2);
}

export function interval({ median, low, high }: Estimate, digits: number): string {
  return `${median.toFixed(digits)} (${low.toFixed(digits)}-${high.toFixed(digits)})`;
}

function significant(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

function signed(value: number): string {
  return `${value >= 0 ? "+" : ""}${value.toFixed(1)}`;
}
