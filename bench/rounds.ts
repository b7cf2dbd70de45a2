/**
 * Rounds, as many as are wanted or as there is time for.
 * @module
 */
import type { BenchOptions } from "./options.ts";

/** Enough that a median says something. */
const LEAST_ROUNDS = 2;

/**
 * Runs `round` up to `options.rounds` times; where `options.roundSeconds` are over before, no further one begins.
 * @param say progress, a line at a time
 */
export async function inRounds(
  { rounds, roundSeconds }: Pick<BenchOptions, "rounds" | "roundSeconds">,
  say: (line: string) => void,
  round: () => Promise<void>,
): Promise<void> {
  const begin = performance.now();
  for (let done = 1; done <= rounds; done++) {
    await round();
    say(`round ${done} of ${rounds}`);
    const isOver = (performance.now() - begin) / 1000 >= (roundSeconds ?? Infinity);
    if (isOver && done >= LEAST_ROUNDS) return;
  }
}
