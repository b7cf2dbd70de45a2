/**
 * How long the serving thread keeps what comes in waiting: a histogram that is always kept (design §2: nothing holds it
 * longer than 5 ms).
 *
 * A timer that should fire at a known moment fires as much later as the thread was busy, or the machine was. It is
 * sampled, so of many short turns some are seen; what happens again and again shows.
 *
 * @module
 */
import type { Tally } from "./counters.ts";

export interface LoopLagParts {
  /** Upper bound in ms → samples: those of BOUNDS_MS, and "more". */
  readonly tally: Tally;
  readonly everyMs?: number;
  /** ms that nobody sets. */
  readonly now?: () => number;
  /** Sees each sample in ms. For tests. */
  readonly onSample?: (lagMs: number) => void;
}

export class LoopLag {
  readonly #parts: LoopLagParts;
  readonly #everyMs: number;
  readonly #now: () => number;
  #timer: ReturnType<typeof setInterval> | undefined;
  #lastMs = 0;

  constructor(parts: LoopLagParts) {
    this.#parts = parts;
    this.#everyMs = parts.everyMs ?? EVERY_MS;
    this.#now = parts.now ?? (() => performance.now());
  }

  /** Does not keep the process alive. */
  start(): void {
    if (this.#timer !== undefined) return;
    this.#lastMs = this.#now();
    this.#timer = setInterval(() => this.#sample(), this.#everyMs);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #sample(): void {
    const nowMs = this.#now();
    const lagMs = Math.max(0, nowMs - this.#lastMs - this.#everyMs);
    this.#lastMs = nowMs;
    const { tally, onSample } = this.#parts;
    const label = labelOf(lagMs);
    tally[label] = (tally[label] ?? 0) + 1;
    onSample?.(lagMs);
  }
}

function labelOf(lagMs: number): string {
  for (const bound of BOUNDS_MS) if (lagMs <= bound) return String(bound);
  return "more";
}

export const BOUNDS_MS = [1, 2, 3, 4, 5, 7, 10, 20, 50, 100, 1000] as const;
/** Fifty times a second cost a thousandth of a core. */
const EVERY_MS = 20;
