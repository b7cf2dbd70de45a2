/**
 * Results for people (tables) and for the next run (figures in JSON).
 * @module
 */
import { readFileSync, writeFileSync } from "node:fs";

import type { Row as CryptoRow } from "./crypto.bench.ts";
import type { Environment } from "./environment.ts";
import type { ForwardResult } from "./forward.ts";
import type { HandshakeResult } from "./handshake.ts";
import type { IdleResult } from "./idle.ts";
import type { MicroResult } from "./micro.ts";
import type { BenchName } from "./options.ts";
import type { Estimate } from "./statistics.ts";
import type { Row as TrieRow } from "./trie.bench.ts";

/** One measured value, by a name that stays the same from run to run. */
export interface Figure {
  readonly id: string;
  /** As the table has it: "µs", "ratio", "kB", "CPU s/GB" … */
  readonly unit: string;
  readonly estimate: Estimate;
  /** Where the issue asks for one. */
  readonly target?: { readonly most: number; readonly isMet: boolean };
}

/** What `--json` writes and `--compare` reads. */
export interface Report {
  readonly bench: BenchName;
  readonly environment: Environment;
  readonly settings: Readonly<Record<string, string | number | undefined>>;
  readonly figures: readonly Figure[];
}

export function writeReport(path: string, report: Report): void {
  writeFileSync(path, JSON.stringify(report, null, 2) + "\n");
}

/** @throws {Error} it cannot be read or is none, or of another bench */
export function readReport(path: string, bench: BenchName): Report {
  const report = JSON.parse(readFileSync(path, "utf8")) as Partial<Report>;
  if (!Array.isArray(report.figures) || report.bench !== bench) {
    throw new Error(`${path} holds no results of ${bench}`);
  }
  return report as Report;
}

export function handshakeFigures(results: readonly HandshakeResult[]): Figure[] {
  return results.flatMap((result) => {
    const id = `${result.runtime}: ${result.row}`;
    const { target } = result;
    const figure = (
      what: string,
      unit: Figure["unit"],
      estimate: Estimate | undefined,
      of?: "native" | "plain",
    ): Figure[] =>
      estimate === undefined ? [] : [{
        id: `${id}: ${what}`,
        unit,
        estimate,
        ...(target && target.of === of
          ? { target: { most: target.ratio, isMet: target.isMet } }
          : {}),
      }];
    return [
      ...figure("sotto", "µs", result.ours),
      ...figure("native", "µs", result.native),
      ...figure("sotto ÷ native", "ratio", result.toNative, "native"),
      ...figure("sotto ÷ plain", "ratio", result.toPlain, "plain"),
      ...figure("native ÷ plain", "ratio", result.nativeToPlain),
    ];
  });
}

export function idleFigures(results: readonly IdleResult[]): Figure[] {
  return results.flatMap(({ runtime, ours, native, target }): Figure[] => [
    {
      id: `${runtime}: idle: sotto`,
      unit: "kB",
      estimate: ours,
      ...(target && { target: { most: target.kilobytes, isMet: target.isMet } }),
    },
    { id: `${runtime}: idle: native`, unit: "kB", estimate: native },
  ]);
}

export function microFigures(results: readonly MicroResult[]): Figure[] {
  return results.map(({ id, unit, estimate }) => ({ id, unit, estimate }));
}

/** It times the best of several rounds: no interval. */
export function cryptoFigures(rows: readonly CryptoRow[]): Figure[] {
  return rows.flatMap(({ primitive, micros }) =>
    Object.entries(micros).map(([provider, value]): Figure => ({
      id: `${primitive}: ${provider}`,
      unit: "µs",
      estimate: { median: value, low: value, high: value, rounds: 1 },
    }))
  );
}

export function trieFigures(rows: readonly TrieRow[]): Figure[] {
  return rows.flatMap(({ what, unit, trie, map }) =>
    Object.entries({ trie, Map: map }).flatMap(([name, value]): Figure[] =>
      value === undefined ? [] : [{
        id: `${what}: ${name}`,
        unit,
        estimate: { median: value, low: value, high: value, rounds: 1 },
      }]
    )
  );
}

export function forwardFigures(results: readonly ForwardResult[]): Figure[] {
  return results.flatMap(({ load, unit, ours, haproxy }): Figure[] => [
    { id: `${load}: sotto`, unit, estimate: ours },
    { id: `${load}: haproxy`, unit, estimate: haproxy },
  ]);
}

export function handshakeTable(results: readonly HandshakeResult[], native: string): string {
  return table(
    [
      "µs per connection",
      "sotto",
      native,
      `sotto ÷ ${native}`,
      "sotto ÷ plain",
      `${native} ÷ plain`,
      "",
    ],
    results.map((result) => [
      result.row,
      result.ours.median.toFixed(0),
      result.native?.median.toFixed(0) ?? "-",
      ratio(result.toNative),
      ratio(result.toPlain),
      ratio(result.nativeToPlain),
      result.target === undefined
        ? ""
        : `÷ ${result.target.of} ≤ ${result.target.ratio}: ${verdict(result.target.isMet)}`,
    ]),
  );
}

export function idleTable(results: readonly IdleResult[]): string {
  return table(
    ["kB per idle connection", "sotto", "native", ""],
    results.map(({ runtime, connections, ours, native, target }) => [
      `${runtime}, ${connections}`,
      interval(ours, 2),
      interval(native, 2),
      target === undefined ? "" : `≤ ${target.kilobytes}: ${verdict(target.isMet)}`,
    ]),
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

/** What has changed against an earlier report. Changes within both intervals are noise, and marked `~`. */
export function comparison(now: readonly Figure[], before: Report): string {
  const earlier = new Map(before.figures.map((figure) => [figure.id, figure]));
  const rows = now.flatMap((figure) => {
    const old = earlier.get(figure.id);
    if (old === undefined || old.unit !== figure.unit) return [];
    const change = (figure.estimate.median / old.estimate.median - 1) * 100;
    const isNoise = figure.estimate.low <= old.estimate.high &&
      old.estimate.low <= figure.estimate.high;
    return [[
      figure.id,
      `${significant(old.estimate.median)}`,
      `${significant(figure.estimate.median)} ${figure.unit}`,
      `${isNoise ? "~ " : ""}${change >= 0 ? "+" : ""}${change.toFixed(1)} %`,
    ]];
  });
  return table([
    `against ${before.environment.commit ?? before.environment.date}`,
    "then",
    "now",
    "change",
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

function interval({ median, low, high }: Estimate, digits: number): string {
  return `${median.toFixed(digits)} (${low.toFixed(digits)}-${high.toFixed(digits)})`;
}

function significant(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

function verdict(isMet: boolean): string {
  return isMet ? "ok" : "missed";
}
