import { expect, test } from "vitest";

import { memoryGrowth, type SoakResult, type SoakRound, violations } from "../../bench/soak.ts";

const round = (attempts: number, ok: number, injected: number): SoakRound => ({
  attempts,
  ok,
  injected,
  failed: attempts - ok - injected,
  kinds: {},
  errors: attempts === ok + injected ? {} : { "full get: EOF": attempts - ok - injected },
  seconds: 1,
});
const good: SoakResult = {
  runtime: "bun",
  wanted: 100_000,
  rounds: Array.from({ length: 5 }, () => round(20_000, 18_000, 2000)),
  residentBytes: [90e6, 100e6, 103e6, 101e6, 104e6],
  leftOpen: [0, 0, 0, 0, 0],
};

test("A soak in which all is accounted for holds", () => {
  expect(violations(good)).toEqual([]);
  expect(memoryGrowth(good)).toBeCloseTo(1.04);
});

test("One connection that nobody accounts for is enough, and is named", () => {
  const rounds = [...good.rounds.slice(1), round(20_000, 17_999, 2000)];
  expect(violations({ ...good, rounds })).toEqual([
    "bun: 100000 attempts are not 89999 successes and 10000 injected faults: 1 × full get: EOF",
  ]);
});

test("A client that made fewer attempts than it should has shown nothing", () => {
  expect(violations({ ...good, rounds: good.rounds.slice(1) })[0]).toContain(
    "80000 attempts of 100000",
  );
});

test("Memory is held to 5 % between the second round and the last", () => {
  const residentBytes = [10e6, 100e6, 100e6, 100e6, 106e6];
  expect(violations({ ...good, residentBytes })[0]).toContain("memory grew by 1.060");
});

test("Memory that was not read does not hold", () => {
  expect(violations({ ...good, residentBytes: [100e6, 100e6] })[0]).toContain("memory grew by NaN");
});

test("Of few connections memory is not judged, but the rest is", () => {
  const few = { ...good, wanted: 1000, residentBytes: [1, 1, 1, 1, 9] };
  expect(memoryGrowth(few)).toBeUndefined();
  expect(violations({ ...few, leftOpen: [0, 0, 3, 0, 0] })).toEqual([
    "bun: 3 sockets were open behind round 3",
  ]);
});
