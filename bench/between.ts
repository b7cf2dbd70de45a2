/**
 * What servers use between their loads: work that they put off until nobody waits, such as a collection, belongs to the
 * connections and is in no figure of theirs; what they use whenever nobody comes (timers) does not belong to them.
 *
 * @module
 */
import { CpuClock } from "./processes.ts";

export class BetweenLoads {
  readonly #clock: CpuClock;
  #begin = { ns: 0, ms: 0 };
  /** ns of CPU time a ms. */
  #atRest = 0;

  constructor(pid: number) {
    this.#clock = new CpuClock(pid);
  }

  /** Takes what it uses at rest, behind what it may do at first. */
  static async of(pids: readonly number[], restMs = REST_MS): Promise<BetweenLoads[]> {
    const all = pids.map((pid) => new BetweenLoads(pid));
    await sleep(restMs);
    for (const one of all) one.#begin = one.#now();
    await sleep(restMs);
    for (const one of all) {
      const { ns, ms } = one.#now();
      one.#atRest = (ns - one.#begin.ns) / (ms - one.#begin.ms);
      one.#begin = one.#now();
    }
    return all;
  }

  /**
   * Since then, by what it used in its loads.
   * @param loadsNs that, and `loadsMs` how long they took
   */
  shares(loadsNs: number, loadsMs: number): { readonly all: number; readonly putOff: number } {
    const { ns, ms } = this.#now();
    const between = ns - this.#begin.ns - loadsNs;
    const atRest = this.#atRest * (ms - this.#begin.ms - loadsMs);
    return { all: between / loadsNs, putOff: (between - atRest) / loadsNs };
  }

  #now(): { readonly ns: number; readonly ms: number } {
    return { ns: this.#clock.read(), ms: performance.now() };
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

const REST_MS = 3000;
