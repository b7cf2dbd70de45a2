/**
 * Timing of one function in this process, for the pure pieces.
 * @module
 */
import process from "node:process";

import type { BenchOptions } from "./options.ts";
import { inRounds } from "./rounds.ts";
import { type Estimate, estimate, shuffled } from "./statistics.ts";

export interface Case {
  readonly id: string;
  readonly unit: "µs" | "CPU s/GB";
  /** Bytes that one run moves; for CPU s/GB. */
  readonly bytes?: number;
  run(): unknown;
}

export interface MicroResult {
  readonly id: string;
  readonly unit: Case["unit"];
  readonly estimate: Estimate;
}

/**
 * CPU time of the whole process, helpers and collector included, in rounds of shuffled order.
 * @param say progress, a line at a time
 */
export async function measureCases(
  cases: readonly Case[],
  options: Pick<BenchOptions, "rounds" | "roundSeconds">,
  say: (line: string) => void,
): Promise<MicroResult[]> {
  say("warming up");
  const runs = new Map(cases.map((one) => [one, runsPerRound(one)]));
  const samples = new Map<Case, number[]>(cases.map((one) => [one, []]));
  await inRounds(options, say, () => {
    for (const one of shuffled(cases)) {
      const count = runs.get(one)!;
      const before = process.cpuUsage();
      for (let i = 0; i < count; i++) one.run();
      const { user, system } = process.cpuUsage(before);
      const micros = (user + system) / count;
      samples.get(one)!.push(one.bytes === undefined ? micros : micros * 1000 / one.bytes);
    }
  });
  return cases.map((one) => ({
    id: one.id,
    unit: one.unit,
    estimate: estimate(samples.get(one)!),
  }));
}

/** Warms up, and finds how many runs take a round. */
function runsPerRound(one: Case): number {
  const start = performance.now();
  let count = 0;
  while (performance.now() - start < WARM_UP_MS) {
    one.run();
    count++;
  }
  return Math.max(1, Math.ceil(count * ROUND_MS / WARM_UP_MS));
}

const WARM_UP_MS = 300;
const ROUND_MS = 150;
