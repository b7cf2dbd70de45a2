/**
 * All deadlines of all connections by one timer: a look at each connection a few times a second is cheaper than a
 * timer per connection that nearly always gets moved before it fires.
 * @module
 */
export interface Clock {
  /** Goes forward only; its zero means nothing. */
  monotonicMs(): number;
  /** Since 1970, for what is compared with certificates and tickets. */
  wallMs(): number;
  /** Calls `tick` about every `ms`; the result stops that. */
  every(ms: number, tick: () => void): () => void;
}

export const SYSTEM_CLOCK: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  every(ms, tick) {
    const timer = setInterval(tick, ms);
    return () => clearInterval(timer);
  },
};

export interface Timed {
  /** `Infinity`: none. */
  deadlineMs: number;
  /** The table's own. */
  slot: number;
  /** The deadline has passed. Sets another, or leaves the table. */
  expire(nowMs: number): void;
}

export const SWEEP_MS = 250;

export class Deadlines {
  /** As of the last sweep or accept: near enough for deadlines, and free to read. */
  nowMs: number;
  readonly #clock: Clock;
  readonly #items: Timed[] = [];
  #stop: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.nowMs = clock.monotonicMs();
  }

  get size(): number {
    return this.#items.length;
  }

  /** Reads the clock. */
  refresh(): number {
    return this.nowMs = this.#clock.monotonicMs();
  }

  add(item: Timed): void {
    item.slot = this.#items.length;
    this.#items.push(item);
  }

  remove(item: Timed): void {
    const last = this.#items.pop();
    if (last === undefined || last === item) return;
    this.#items[item.slot] = last;
    last.slot = item.slot;
  }

  /** For each, in any order; `visit` may remove the one it is given. */
  forEach(visit: (item: Timed) => void): void {
    for (let slot = this.#items.length - 1; slot >= 0; slot--) {
      const item = this.#items[slot];
      if (item !== undefined) visit(item);
    }
  }

  /** Expires what is due. From the end: one that leaves is replaced by one that was looked at. */
  sweep(): void {
    const nowMs = this.refresh();
    for (let slot = this.#items.length - 1; slot >= 0; slot--) {
      const item = this.#items[slot];
      if (item !== undefined && item.deadlineMs <= nowMs) item.expire(nowMs);
    }
  }

  /** Sweeps from now on, and then calls `also`. */
  start(also: () => void): void {
    this.#stop ??= this.#clock.every(SWEEP_MS, () => {
      this.sweep();
      also();
    });
  }

  stop(): void {
    this.#stop?.();
    this.#stop = undefined;
  }
}
