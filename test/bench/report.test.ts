import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, expect, test } from "vitest";

import {
  comparison,
  type Figure,
  handshakeFigures,
  readReport,
  type Report,
  table,
  writeReport,
} from "../../bench/report.ts";
import { ROWS, TARGETS } from "../../bench/rows.ts";
import type { Estimate } from "../../bench/statistics.ts";

const folder = mkdtempSync(join(tmpdir(), "sotto-report-"));
afterAll(() => rmSync(folder, { recursive: true }));

const about = (median: number, spread: number = 0): Estimate => ({
  median,
  low: median - spread,
  high: median + spread,
  rounds: 12,
});

const figure = (id: string, estimate: Estimate): Figure => ({ id, unit: "µs", estimate });

const report: Report = {
  bench: "handshake",
  environment: {
    machine: "a machine",
    loadBefore: 0,
    pinned: true,
    versions: { bun: "1.4.5" },
    commit: "0123456789ab",
    date: "2026-01-01T00:00:00.000Z",
  },
  settings: { rounds: 12 },
  figures: [figure("a", about(100)), figure("b", about(100, 20)), figure("gone", about(1))],
};

test("What is written is what is read", () => {
  const path = join(folder, "report.json");
  writeReport(path, report);
  expect(readReport(path, "handshake")).toEqual(report);
});

test("Results of another bench, or none, are refused", () => {
  const path = join(folder, "other.json");
  writeReport(path, { ...report, bench: "idle" });
  expect(() => readReport(path, "handshake")).toThrow("holds no results of handshake");
  writeFileSync(path, "{}");
  expect(() => readReport(path, "handshake")).toThrow("holds no results of handshake");
});

test("A comparison shows changes, marks noise, and leaves out what has no counterpart", () => {
  const text = comparison(
    [figure("a", about(110)), figure("b", about(110, 5)), figure("new", about(1))],
    report,
  );
  expect(text).toMatch(/^\| against 0123456789ab \|/);
  expect(text).toMatch(/^\| a .*100 \| +110 µs \| +\+10\.0 % \|$/m);
  expect(text).toMatch(/^\| b .*~ \+10\.0 % \|$/m);
  expect(text).not.toMatch(/new|gone/);
});

test("A target stands with the ratio that it is about", () => {
  const [target] = TARGETS.filter((target) => target.row === "full get");
  const figures = handshakeFigures([{
    runtime: "bun",
    row: "full get",
    ours: about(230),
    native: about(220),
    toNative: about(1.05),
    toPlain: undefined,
    nativeToPlain: undefined,
    target: { ...target!, isMet: true },
  }]);
  expect(figures.map(({ id, target }) => [id, target?.isMet])).toEqual([
    ["bun: full get: sotto", undefined],
    ["bun: full get: native", undefined],
    ["bun: full get: sotto ÷ native", true],
  ]);
});

test("Every row that is compared, and every target, names a row that exists", () => {
  const ids = ROWS.map(({ id }) => id);
  expect(new Set(ids).size).toBe(ids.length);
  for (const row of ROWS) {
    const plain = ROWS.find(({ id }) => id === row.against);
    if (row.against !== undefined) expect(plain?.client).toBe(row.client);
  }
  for (const target of TARGETS) {
    const row = ROWS.find(({ id }) => id === target.row);
    expect(row).toBeDefined();
    if (target.of === "plain") expect(row!.against).toBeDefined();
  }
});

test("Tables stand in columns", () => {
  expect(table(["", "a"], [["row", "1"], ["longer", "12345"]])).toBe(
    [
      "|        |     a |",
      "| ------ | ----: |",
      "| row    |     1 |",
      "| longer | 12345 |",
    ].join("\n"),
  );
});
