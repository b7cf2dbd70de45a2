/**
 * Whether the wall clock can be relied on where something is to be erased for good (acme §14.15b).
 * @module
 */

export interface ClockLook {
  /** Two readings at least an hour apart agreed. */
  readonly mayErase: boolean;
  /** By how much the wall clock was set since the reading before; 0: it was not. Worth an alert. */
  readonly jumpMs: number;
}

/**
 * Compares the wall clock with one that nobody sets. A server that comes up with a wrong clock, or whose clock is being
 * put right, erases nothing until an hour has passed without a jump.
 */
export class ClockWatch {
  readonly #wallMs: () => number;
  readonly #monotonicMs: () => number;
  #since: { readonly wallMs: number; readonly monotonicMs: number };

  constructor(wallMs: () => number, monotonicMs: () => number) {
    this.#wallMs = wallMs;
    this.#monotonicMs = monotonicMs;
    this.#since = this.#read();
  }

  /** To be called often: each 10 minutes, with the rest of what is looked after. */
  look(): ClockLook {
    const reading = this.#read();
    const passedMs = reading.monotonicMs - this.#since.monotonicMs;
    const jumpMs = reading.wallMs - this.#since.wallMs - passedMs;
    if (Math.abs(jumpMs) > TOLERANCE_MS) {
      this.#since = reading;
      return { mayErase: false, jumpMs };
    }
    return { mayErase: passedMs >= STEADY_MS, jumpMs: 0 };
  }

  #read() {
    return { wallMs: this.#wallMs(), monotonicMs: this.#monotonicMs() };
  }
}

const TOLERANCE_MS = 300_000;
const STEADY_MS = 3600_000;
