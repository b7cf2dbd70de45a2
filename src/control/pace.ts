/**
 * Long work in short turns: connections must not wait for it (design §2: nothing holds the serving thread longer than
 * 5 ms).
 * @module
 */
import { leave } from "../runtime/collector.ts";

/** Tells when a turn is over. Whoever works looks often: each of its steps takes some tenths of a millisecond. */
export class Pace {
  #since = performance.now();

  get isOver(): boolean {
    return performance.now() - this.#since > TURN_MS;
  }

  /** Lets the loop have its turn, and the collector one of its own: together they would be one long one. */
  async rest(): Promise<void> {
    await loopTurn();
    if (leave(TURN_GARBAGE)) await loopTurn();
    this.#since = performance.now();
  }
}

function loopTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Work that yields after each step. */
export async function inTurns<T>(work: Generator<void, T>): Promise<T> {
  const pace = new Pace();
  for (;;) {
    const { done, value } = work.next();
    if (done) return value;
    if (pace.isOver) await pace.rest();
  }
}

/** At most so many at a time, in turns, in their order. What one throws ends it, once the others under way are done. */
export async function eachOf<T>(
  items: Iterable<T>,
  atOnce: number,
  work: (item: T) => Promise<void> | undefined,
): Promise<void> {
  const pace = new Pace();
  const running = new Set<Promise<void>>();
  let trouble: { readonly error: unknown } | undefined;
  for (const item of items) {
    const one = work(item)?.catch((error: unknown) => {
      trouble ??= { error };
    });
    if (one !== undefined) {
      const ended: Promise<void> = one.then(() => void running.delete(ended));
      running.add(ended);
      if (running.size >= atOnce) await Promise.race(running);
    }
    if (pace.isOver) await pace.rest();
    if (trouble !== undefined) break;
  }
  await Promise.all(running);
  if (trouble !== undefined) throw trouble.error;
}

const TURN_MS = 1;
/** What a turn leaves behind where it makes and drops objects all the time. */
const TURN_GARBAGE = 1024 * 1024;
