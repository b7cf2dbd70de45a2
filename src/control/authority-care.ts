/**
 * When the local CA is looked after: its intermediates and roots are renewed, and what has expired is swept away.
 * @module
 */
import type { LocalCa } from "./certificates/local-ca.ts";
import { ClockWatch } from "./clock-watch.ts";

export interface AuthorityCareParts {
  /** The clock: ms since 1970. */
  readonly now: () => number;
  /** A clock that nobody sets, ms. Default: the runtime's. */
  readonly monotonicMs?: (() => number) | undefined;
  /** What the operator should hear, a sentence. */
  readonly onWarning?: ((what: string) => void) | undefined;
}

export class AuthorityCare {
  readonly #parts: AuthorityCareParts;
  readonly #clock: ClockWatch;
  /** Between these two times the local CA need not be looked after. */
  #lookedMs: number;
  #nextLookMs = 0;
  #nextSweepMs: number;

  constructor(parts: AuthorityCareParts) {
    this.#parts = parts;
    const { now, monotonicMs = () => performance.now() } = parts;
    this.#clock = new ClockWatch(now, monotonicMs);
    this.#lookedMs = now();
    this.#nextSweepMs = now() + SWEEP_EVERY_MS;
  }

  /** It need not be looked after before this. @param nextDueMs when the next site is due */
  plan(localCa: LocalCa, nextDueMs: number): void {
    const { nextLookMs } = localCa.schedule([]);
    this.#nextLookMs = nextDueMs > this.#parts.now() ? Math.min(nextLookMs, nextDueMs) : nextLookMs;
  }

  /** Where it is due. True: chains are others from now on. */
  async renew(localCa: LocalCa, nextDueMs: number): Promise<boolean> {
    const nowMs = this.#parts.now();
    const { authoritiesDue } = localCa.schedule([]);
    // Before the last look: the clock was set back.
    const isDue = nowMs >= this.#nextLookMs || nowMs < this.#lookedMs;
    if (!isDue && !authoritiesDue) return false;
    this.#lookedMs = nowMs;
    this.plan(localCa, nextDueMs);
    const { mayErase, jumpMs } = this.#clock.look();
    if (jumpMs !== 0) this.#parts.onWarning?.(aboutJump(jumpMs));
    const isRenewed = await localCa.renew();
    if (mayErase && nowMs >= this.#nextSweepMs) {
      this.#nextSweepMs = nowMs + SWEEP_EVERY_MS;
      await localCa.sweep(mayErase);
    }
    return isRenewed;
  }
}

function aboutJump(jumpMs: number): string {
  const minutes = Math.round(Math.abs(jumpMs) / 60_000);
  return `The clock was set ${
    jumpMs > 0 ? "forward" : "back"
  } by ${minutes} minutes: nothing that has expired is ` +
    "erased until it has run for an hour without that";
}

/** acme §14.12. */
const SWEEP_EVERY_MS = 86_400_000;
