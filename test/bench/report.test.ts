import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, expect, test } from "vitest";

import {
  comparison,
  type Figure,
  handshakeFigures,
  handshakeTable,
  readReport,
  type Report,
  table,
  writeReport,
} from "../../bench/report.ts";
import type { HandshakeResult } from "../../bench/handshake.ts";
import { readmeTable } from "../../bench/readme.ts";
import { ROWS } from "../../bench/rows.ts";
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

test("A comparison shows changes with how far off they may be, marks noise, and leaves out what has no counterpart", () => {
  const text = comparison(
    [figure("a", about(110)), figure("b", about(110, 5)), figure("new", about(1))],
    report,
  );
  expect(text).toMatch(/^\| against 0123456789ab \|/);
  expect(text).toMatch(/^\| a .*100 \| +110 µs \| +\+10\.0 % \| +\+10\.0 to \+10\.0 % \|$/m);
  // 105 by 120, and 115 by 80.
  expect(text).toMatch(/^\| b .*~ \+10\.0 % \| +-12\.5 to \+43\.8 % \|$/m);
  expect(text).not.toMatch(/new|gone/);
});

test("Every row that is compared names a row that exists, of the same client", () => {
  const ids = ROWS.map(({ id }) => id);
  expect(new Set(ids).size).toBe(ids.length);
  for (const row of ROWS) {
    if (row.against === undefined) continue;
    expect(ROWS.find(({ id }) => id === row.against)?.client).toBe(row.client);
  }
});

const handshakes: HandshakeResult[] = [{
  runtime: "bun",
  row: "ECH accepted none",
  cells: [
    { label: "sotto", micros: about(300), toPlain: about(1.25) },
    { label: "Go", micros: about(600), toPlain: about(1.5) },
  ],
  ratios: [
    { of: "sotto", to: "Go", toPlain: false, ratio: about(0.5, 0.1) },
    { of: "sotto", to: "Go", toPlain: true, ratio: about(0.75) },
  ],
}];

test("Figures of handshake say whose they are, and by whose", () => {
  const figures = handshakeFigures(handshakes);
  expect(figures.map(({ id, estimate }) => [id, estimate.median])).toEqual([
    ["bun: ECH accepted none: sotto", 300],
    ["bun: ECH accepted none: sotto ÷ plain", 1.25],
    ["bun: ECH accepted none: Go", 600],
    ["bun: ECH accepted none: Go ÷ plain", 1.5],
    ["bun: ECH accepted none: sotto ÷ Go", 0.5],
    ["bun: ECH accepted none: sotto ÷ plain Go", 0.75],
  ]);
});

test("A condition stands beside the figure that it is about", () => {
  expect(handshakeTable(handshakes)).toMatch(
    /^\| bun: ECH accepted none: sotto ÷ Go +\| 0\.50 \(0\.40-0\.60\) \| +≤ 0\.65 \| +met \|$/m,
  );
});

test("README's table takes the newest figure of each, and leaves out what nobody measured", () => {
  const at = (date: string, figures: readonly Figure[]): Report => ({
    ...report,
    environment: { ...report.environment, date },
    figures,
  });
  const text = readmeTable([
    at("2026-01-01", [
      figure("bun: full none: sotto", about(300)),
      figure("bun: full none: Go", about(400)),
    ]),
    at("2026-01-02", [
      figure("bun: full none: sotto", about(200)),
      {
        id: "bun: ECH accepted none: sotto ÷ plain Caddy",
        unit: "ratio",
        estimate: about(0.7, 0.05),
      },
    ]),
  ]);
  expect(text).toMatch(/^\| Handshake, µs \| +200 \| +\| +400 \|/m);
  expect(text).not.toContain("resumed");
  expect(text).toContain("0.70 (0.65-0.75) × one on Caddy");
  expect(text).toContain("2026-01-02, sotto 0123456789ab, bun 1.4.5; a machine.");
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
