import { expect, test } from "vitest";

import { throughputFigures, throughputTable } from "../../bench/report.ts";
import { type Latency, limitOf, type ThroughputResult } from "../../bench/throughput.ts";

const busy = (share: number) => ({ median: share, low: share, high: share, rounds: 1 });

test("It is said whose limit was reached", () => {
  expect(limitOf({ serverBusy: busy(0.97), clientBusy: busy(0.98) })).toBe("server");
  expect(limitOf({ serverBusy: busy(0.6), clientBusy: busy(0.99) })).toBe("client");
  expect(limitOf({ serverBusy: busy(0.3), clientBusy: busy(0.4) })).toBe("neither");
});

test("A server that fell behind is said to have, and the others' figures stand", () => {
  const times = { p50: busy(300), p99: busy(900), late: busy(50) };
  const result = (latency: readonly Latency[]): ThroughputResult => ({
    runtime: "bun",
    label: "nginx",
    reached: busy(2000),
    byCpu: busy(2500),
    serverBusy: busy(0.8),
    clientBusy: busy(0.95),
    latency,
    ratio: undefined,
  });
  const results = [result([
    { percent: 50, fellBehind: 2, times },
    { percent: 90, fellBehind: 5, times: undefined },
  ])];
  expect(throughputTable(results)).toMatch(
    /\| +300, 900 \(50\); fell behind 2× \| +fell behind 5× \|/,
  );
  expect(throughputFigures(results).map(({ id }) => id)).toEqual([
    "bun: throughput: nginx: reached",
    "bun: throughput: nginx: by CPU",
    "bun: throughput: nginx: p50 at 50 %",
    "bun: throughput: nginx: p99 at 50 %",
  ]);
});
