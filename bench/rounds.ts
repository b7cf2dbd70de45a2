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

/**
 * The servers several times, each time for its part of the rounds: two processes of one program differ for as long as they
 * live.
 *
 * @param start what one start measures: the same cells in the same order, each with the values of its rounds
 * @returns the cells of the first, with the values of all
 */
export async function inStarts<T>(
  { rounds, starts }: Pick<BenchOptions, "rounds" | "starts">,
  say: (line: string) => void,
  start: (rounds: number, say: (line: string) => void, isFirst: boolean) => Promise<T[]>,
  valuesOf: (cell: T) => number[],
): Promise<T[]> {
  const all: T[][] = [];
  for (let which = 1; which <= starts; which++) {
    const where = starts === 1 ? "" : `start ${which} of ${starts}, `;
    const saying = (line: string): void => say(`${where}${line}`);
    all.push(await start(Math.ceil(rounds / starts), saying, which === 1));
  }
  const [first, ...later] = all as [T[], ...T[][]];
  for (const [i, cell] of first.entries()) {
    valuesOf(cell).push(...later.flatMap((cells) => valuesOf(cells[i]!)));
  }
  return first;
}

/** As people read it: "40 s", "3 min". */
export function duration(seconds: number): string {
  return seconds < 100 ? `${seconds.toFixed(0)} s` : `${(seconds / 60).toFixed(0)} min`;
}
