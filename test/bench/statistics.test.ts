import fc from "fast-check";
import { expect, test } from "vitest";

import { estimate, estimateRatio, shuffled } from "../../bench/statistics.ts";

test("The median of an odd and of an even number of values", () => {
  expect(estimate([3, 1, 2]).median).toBe(2);
  expect(estimate([4, 1, 3, 2]).median).toBe(2.5);
});

test("The interval is that of binomial order statistics", () => {
  // Ranks (from 1) of the well-known table for the median: n = 6: 1 and 6; 10: 2 and 9; 12: 3 and 10; 30: 10 and 21.
  for (const [n, low, high] of [[6, 1, 6], [9, 2, 8], [10, 2, 9], [12, 3, 10], [30, 10, 21]]) {
    const ranks = Array.from({ length: n! }, (_, i) => i + 1);
    expect(estimate(ranks)).toEqual({ median: (n! + 1) / 2, low, high, rounds: n });
  }
});

test("Of thousands of values the interval is about the median, and is none of length 0", () => {
  const { median, low, high } = estimate(Array.from({ length: 4001 }, (_, i) => i));
  expect(median).toBe(2000);
  expect(low).toBeGreaterThan(1930); // 2000 - 1.96 × √4001 / 2 = 1938
  expect(low).toBeLessThan(1945);
  expect(high).toBe(4000 - low);
});

test("Too few values for 95 % give their range", () => {
  expect(estimate([5])).toEqual({ median: 5, low: 5, high: 5, rounds: 1 });
  expect(estimate([5, 1, 2])).toMatchObject({ low: 1, high: 5 });
});

test("One busy round moves neither the median nor the interval far", () => {
  const calm = [100, 101, 102, 103, 104, 105, 106, 107, 108, 109];
  expect(estimate([...calm.slice(0, 9), 100_000])).toMatchObject({ median: 104.5, high: 108 });
});

test("The interval holds the median and lies within the values", () => {
  const values = fc.array(fc.double({ min: 0, max: 1e9, noNaN: true }), { minLength: 1 });
  fc.assert(fc.property(values, (sample) => {
    const { median, low, high } = estimate(sample);
    expect(low).toBeLessThanOrEqual(median);
    expect(median).toBeLessThanOrEqual(high);
    expect(sample).toContain(low);
    expect(sample).toContain(high);
  }));
});

test("Nothing is estimated from nothing, nor from what is no number", () => {
  expect(() => estimate([])).toThrow(RangeError);
  expect(() => estimate([1, NaN])).toThrow(RangeError);
  expect(() => estimateRatio([1], [0])).toThrow(RangeError);
});

test("A ratio is taken within each round, so that drift cancels out", () => {
  const drift = [1, 2, 4, 8, 16, 32, 64];
  expect(estimateRatio(drift.map((x) => 1.1 * x), drift)).toMatchObject({ rounds: 7 });
  expect(estimateRatio(drift.map((x) => 1.1 * x), drift).low).toBeCloseTo(1.1);
  expect(estimateRatio(drift.map((x) => 1.1 * x), drift).high).toBeCloseTo(1.1);
});

test("Ratios want pairs", () => {
  expect(() => estimateRatio([1, 2], [1])).toThrow(RangeError);
});

test("Shuffling keeps every item, and every order can come", () => {
  const items = [1, 2, 3];
  const orders = new Set<string>();
  for (let a = 0; a < 3; a++) {
    for (let b = 0; b < 2; b++) {
      const draws = [(a + 0.5) / 3, (b + 0.5) / 2];
      const order = shuffled(items, () => draws.shift()!);
      expect(order.toSorted((a, b) => a - b)).toEqual(items);
      orders.add(order.join());
    }
  }
  expect(orders.size).toBe(6);
  expect(items).toEqual([1, 2, 3]);
});
