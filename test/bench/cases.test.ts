import { expect, test } from "vitest";

import { measureCore } from "../../bench/core.ts";
import { measureCases } from "../../bench/micro.ts";
import { parseCases } from "../../bench/parse.ts";
import { CpuClock, residentBytes } from "../../bench/processes.ts";
import { sealCases } from "../../bench/seal.ts";

test("What parse and seal measure works", () => {
  for (const one of [...parseCases(), ...sealCases()]) one.run();
});

test("Cases are measured in their unit", async () => {
  const results = await measureCases(
    [
      { id: "per run", unit: "µs", run: () => busy(0.2) },
      { id: "per byte", unit: "CPU s/GB", bytes: 1000, run: () => busy(0.2) },
    ],
    { rounds: 3, roundSeconds: undefined },
    () => {},
  );
  expect(results.map(({ id, unit }) => [id, unit])).toEqual([
    ["per run", "µs"],
    ["per byte", "CPU s/GB"],
  ]);
  // CPU time, so no more than the time that passes, but for other threads; 0.2 ms per 1000 bytes are 200 s per GB.
  for (const { estimate } of results) expect(estimate.median).toBeGreaterThan(20);
});

test.runIf(process.platform === "linux")("The CPU clock counts what a process uses", async () => {
  const clock = new CpuClock(process.pid);
  const before = clock.read();
  const start = process.cpuUsage();
  let micros = 0;
  do { // as long as it takes on a machine that has other things to do
    busy(5);
    const { user, system } = process.cpuUsage(start);
    micros = user + system;
  } while (micros < 50_000);
  const used = clock.read() - before;
  expect(used).toBeGreaterThan(25e6);
  expect(residentBytes(process.pid)).toBeGreaterThan(1e6);
});

function busy(millis: number): void {
  const end = performance.now() + millis;
  while (performance.now() < end);
}

test("Core measures every scenario, and that it goes as it says", async () => {
  const results = await measureCore(
    { rounds: 1, roundSeconds: undefined, connections: 2 },
    () => {},
  );
  expect(results.map(({ id }) => id)).toContain("ECH accepted: handshake");
  for (const { estimate } of results) expect(estimate.median).toBeGreaterThan(0);
});
