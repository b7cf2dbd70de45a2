import { expect, test } from "vitest";

import { figuresOf } from "../../bench/certificates.ts";
import { conditionOn, CONDITIONS, verdictOn } from "../../bench/conditions.ts";
import { handshakeFigures, idleFigures, recordFigures, soakFigures } from "../../bench/report.ts";
import { conditionsTable, type Figure } from "../../bench/report.ts";
import { ROWS } from "../../bench/rows.ts";
import type { Estimate } from "../../bench/statistics.ts";

const about = (median: number, low = median, high = median, rounds = 30): Estimate => ({
  median,
  low,
  high,
  rounds,
});
const [first] = CONDITIONS;
const figure = (estimate: Estimate): Figure => ({ id: first!.figure, unit: "ratio", estimate });

test("A condition is met if the interval's lower end is not above it", () => {
  const { most } = first!;
  expect(verdictOn(first!, figure(about(most)))).toBe("met");
  expect(verdictOn(first!, figure(about(most + 0.1, most + 0.01)))).toBe("missed");
  expect(verdictOn(first!, undefined)).toBe("not measured");
});

test("A condition that the interval alone meets is not passed off as met", () => {
  const { most } = first!;
  expect(verdictOn(first!, figure(about(most + 0.1, most - 0.1)))).toBe("met by the interval");
});

test("An interval of few rounds does not meet what its median misses", () => {
  const { most } = first!;
  expect(verdictOn(first!, figure(about(most + 0.1, most - 0.1, most + 1, 29)))).toBe(
    "too few rounds",
  );
  expect(verdictOn(first!, figure(about(most + 0.1, most + 0.01, most + 1, 29)))).toBe("missed");
});

test("The table of conditions has them all, measured or not", () => {
  const lines = conditionsTable([figure(about(0.9, 0.8, 1))]).split("\n").slice(2);
  expect(lines).toHaveLength(CONDITIONS.length);
  expect(lines[0]).toMatch(/0\.90 \(0\.80-1\.00\) \| +≤ 1 \| +must \| +met \|$/);
  expect(lines[1]).toContain("not measured");
});

test("Every condition is about a figure that its bench gives", () => {
  const estimate = about(1);
  const given = new Set([
    ...["bun", "deno", "node"].flatMap((name) => {
      const runtime = name as "bun";
      const labels = ["Bun.listen", "Deno.serve", "node:https", "Go", "Caddy"];
      return [
        ...handshakeFigures(ROWS.map((row) => ({
          runtime,
          row: row.id,
          cells: [{
            label: "sotto",
            micros: estimate,
            toPlain: row.against === undefined ? undefined : estimate,
          }],
          ratios: [
            ...labels.map((to) => ({ of: "sotto", to, toPlain: false, ratio: estimate })),
            ...["Go", "Caddy", "nginx"].map((to) => ({
              of: "sotto",
              to,
              toPlain: true,
              ratio: estimate,
            })),
            { of: "sotto, 32 keys", to: "sotto", toPlain: false, ratio: estimate },
            { of: "sotto, narrow", to: "Deno.serve", toPlain: false, ratio: estimate },
          ],
        }))),
        ...idleFigures([{ runtime, connections: 1, ours: estimate, native: estimate }]),
        ...recordFigures((["download", "upload"] as const).map((direction) => ({
          runtime,
          direction,
          servers: ["Bun.listen", "Bun.serve"].map((label) => ({
            label,
            cost: estimate,
            ratio: estimate,
          })),
        }))),
        ...figuresOf({
          runtime,
          count: 100_000,
          server: "sotto",
          startMs: estimate,
          startCpuMs: estimate,
          memory: estimate,
          memoryLater: estimate,
          emptyLater: estimate,
          known: estimate,
          fresh: estimate,
          one: estimate,
          knownRatio: estimate,
          freshRatio: estimate,
        }),
        ...soakFigures([{
          runtime,
          wanted: 200_000,
          rounds: [],
          residentBytes: [1, 1, 1, 1, 1],
          leftOpen: [0],
        }]),
      ];
    }).map(({ id }) => id),
    ...OF_ONE_PROCESS,
  ]);
  expect(CONDITIONS.map(({ figure }) => figure).filter((id) => !given.has(id))).toEqual([]);
});

/** Those take their time. */
const OF_ONE_PROCESS = [
  "ClientHello with X25519MLKEM768: parse and check",
  "ECH: rebuild the inner hello",
  "found; Map, from bytes: trie",
  "forward: request: sotto ÷ haproxy",
];

test("One condition at most is about a figure", () => {
  const ids = CONDITIONS.map(({ figure }) => figure);
  expect(new Set(ids).size).toBe(ids.length);
  expect(conditionOn(ids[1]!)).toBe(CONDITIONS[1]);
});
