import fc from "fast-check";
import { expect, it } from "vitest";
import { Deadlines, type Timed } from "../../src/edge/deadlines.ts";
import { ManualClock } from "./edge-kit.ts";

it("expires what is due, once for each sweep, and nothing else", () => {
  const clock = new ManualClock();
  const deadlines = new Deadlines(clock);
  const expired: number[] = [];
  const start = clock.monotonicMs();
  for (let i = 0; i < 10; i++) {
    deadlines.add({
      deadlineMs: start + i * 1000,
      slot: 0,
      expire() {
        expired.push(i);
        deadlines.remove(this);
      },
    });
  }
  deadlines.start(() => {});
  clock.advance(5_250);
  expect(expired.toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5]);
  expect(deadlines.size).toBe(4);
  deadlines.stop();
  clock.advance(10_000);
  expect(deadlines.size).toBe(4);
});

it("keeps its table whole, whatever is added and removed in whatever order", () => {
  fc.assert(fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat(50))), (steps) => {
    const deadlines = new Deadlines(new ManualClock());
    const there: Timed[] = [];
    for (const [adds, at] of steps) {
      if (adds || there.length === 0) {
        const item = { deadlineMs: Infinity, slot: -1, expire() {} };
        deadlines.add(item);
        there.push(item);
      } else {
        deadlines.remove(there.splice(at % there.length, 1)[0]!);
      }
      const seen = new Set<Timed>();
      deadlines.forEach((item) => seen.add(item));
      expect(seen).toEqual(new Set(there));
    }
  }));
});
