/**
 * Rounds, as many as are wanted or as there is time for.
 * @module
 */
import type { BenchOptions } from "./options.ts";

/** Enough that a median says something. */
const LEAST_ROUNDS = 2;

/**
 * Runs `round` up to `options.rounds` times; where `options.roundSeconds` are over before, no further one begins. Between two
 * of them whoever wants to stop the bench is heard.
 *
 * @param say progress, a line at a time, with what is left of the time by the rounds so far
 */
export async function inRounds(
  { rounds, roundSeconds }: Pick<BenchOptions, "rounds" | "roundSeconds">,
  say: (line: string) => void,
  round: () => Promise<void> | void,
): Promise<void> {
  const begin = performance.now();
  for (let done = 1; done <= rounds; done++) {
    await round();
    const seconds = (performance.now() - begin) / 1000;
    const left = Math.min(seconds / done * (rounds - done), (roundSeconds ?? Infinity) - seconds);
    say(`round ${done} of ${rounds}${left >= 1 ? `, ${duration(left)} left` : ""}`);
    await new Promise((resolve) => setTimeout(resolve));
    const isOver = seconds >= (roundSeconds ?? Infinity);
    if (isOver && done >= LEAST_ROUNDS) return;
  }
}

/** As people read it: "40 s", "3 min". */
export function duration(seconds: number): string {
  return seconds < 100 ? `${seconds.toFixed(0)} s` : `${(seconds / 60).toFixed(0)} min`;
}
