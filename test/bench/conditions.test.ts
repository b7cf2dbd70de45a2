import { expect, test } from "vitest";

import { figuresOf } from "../../bench/certificates.ts";
import { conditionOn, CONDITIONS, verdictOn } from "../../bench/conditions.ts";
import { parseCases } from "../../bench/parse.ts";
import {
  conditionsTable,
  type Figure,
  forwardFigures,
  handshakeFigures,
  idleFigures,
  microFigures,
  recordFigures,
  soakFigures,
  trieFigures,
} from "../../bench/report.ts";
import { ROWS } from "../../bench/rows.ts";
import type { Estimate } from "../../bench/statistics.ts";
import { run as measureTrie } from "../../bench/trie.bench.ts";

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

test("Nor do they meet what their interval leaves open, or fewer than have an interval", () => {
  const { most } = first!;
  const verdict = (high: number, rounds: number): string =>
    verdictOn(first!, figure(about(most - 0.1, most - 0.2, high, rounds)));
  expect(verdict(most + 0.1, 29)).toBe("too few rounds");
  expect(verdict(most + 0.1, 30)).toBe("met");
  expect(verdict(most, 6)).toBe("met");
  expect(verdict(most, 5)).toBe("too few rounds");
});

test("What is counted is counted once, and what takes a process each is judged by six", () => {
  const judged = (id: string, rounds: number): string => {
    const condition = conditionOn(id)!;
    const { most } = condition;
    return verdictOn(condition, { id, unit: "", estimate: about(most, most, most + 1, rounds) });
  };
  expect(judged("bun: soak: unaccounted", 1)).toBe("met");
  const memory = "certificates: bun: 100000: sotto: memory above an empty server's";
  expect(judged(memory, 5)).toBe("too few rounds");
  expect(judged(memory, 6)).toBe("met");
});

test("The table of conditions has them all, measured or not", () => {
  const lines = conditionsTable([figure(about(0.9, 0.8, 1))]).split("\n").slice(2);
  expect(lines).toHaveLength(CONDITIONS.length);
  expect(lines[0]).toMatch(/0\.90 \(0\.80-1\.00\) \| +≤ 1 \| +must \| +met \|$/);
  expect(lines[1]).toContain("not measured");
});

/** Of few names, in little time. */
const trie = measureTrie(500, { rounds: 2, roundSeconds: undefined });

test("Every condition is about a figure that its bench gives", async () => {
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
        ...[1000, 10_000, 100_000].flatMap((count) =>
          figuresOf({
            runtime,
            count,
            server: "sotto",
            startMs: estimate,
            startCpuMs: estimate,
            memory: estimate,
            memoryLater: estimate,
            emptyLater: estimate,
            aboveEmpty: estimate,
            known: estimate,
            fresh: estimate,
            one: estimate,
            knownRatio: estimate,
            freshRatio: estimate,
          })
        ),
        ...soakFigures([{
          runtime,
          wanted: 200_000,
          rounds: [],
          residentBytes: [1, 1, 1, 1, 1],
          leftOpen: [0],
        }]),
      ];
    }).map(({ id }) => id),
    ...forwardFigures(["connection", "request", "bulk"].map((load) => ({
      load,
      unit: "µs",
      ours: estimate,
      others: ["haproxy", "Bun.serve"].map((label) => ({ label, cost: estimate, ratio: estimate })),
    }))).map(({ id }) => id),
    ...microFigures(
      "bun",
      "parse",
      parseCases().map(({ id, unit }) => ({ id, unit, estimate })),
    ).map(({ id }) => id),
    ...trieFigures("bun", await trie).map(({ id }) => id),
  ]);
  expect(CONDITIONS.map(({ figure }) => figure).filter((id) => !given.has(id))).toEqual([]);
});

test("The trie bench measures what it says beside a Map, with intervals of its rounds", async () => {
  const figures = new Map(trieFigures("bun", await trie).map((figure) => [figure.id, figure]));
  for (const kind of ["found", "found by wildcard", "not found", "half and half"]) {
    for (const name of ["trie", "Map", "Map, strings ready", "trie ÷ Map"]) {
      const { median, low, high, rounds } = figures.get(`bun: trie: ${kind}: ${name}`)!.estimate;
      expect(rounds).toBe(2);
      expect(low).toBeGreaterThan(0);
      expect(low).toBeLessThanOrEqual(median);
      expect(median).toBeLessThanOrEqual(high);
    }
  }
});

test("One condition at most is about a figure", () => {
  const ids = CONDITIONS.map(({ figure }) => figure);
  expect(new Set(ids).size).toBe(ids.length);
  expect(conditionOn(ids[1]!)).toBe(CONDITIONS[1]);
});
