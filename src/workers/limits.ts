/** What bounds a supervisor's patience with its workers. */
export interface WorkerLimits {
  /** From starting a process to its first word, and its own patience with ours. Reached: it counts as failed. */
  readonly helloTimeoutMs: number;
  /** From starting a process to serving. Reached: it counts as failed. */
  readonly startTimeoutMs: number;
  /** For taking another state. Reached: it is replaced. */
  readonly adoptTimeoutMs: number;
  /** Who dies before that has died young: the next one waits, twice as long each time, … */
  readonly youngMs: number;
  /** … from this … */
  readonly firstBackOffMs: number;
  /** … up to this. */
  readonly maxBackOffMs: number;
  /** For ending, beyond its `drainTimeoutMs`. Reached: killed. */
  readonly endMarginMs: number;
  /** How often it is looked whether who serves has said something since: it does every 2 s. */
  readonly beatMs: number;
  /** In beats, without a word. Reached: its loop is stuck, it is told to end and replaced … */
  readonly hangTimeoutMs: number;
  /** … and killed after this much more without one. */
  readonly hangMarginMs: number;
}

export const DEFAULT_WORKER_LIMITS: WorkerLimits = {
  helloTimeoutMs: 20_000,
  startTimeoutMs: 60_000,
  adoptTimeoutMs: 60_000,
  youngMs: 10_000,
  firstBackOffMs: 500,
  maxBackOffMs: 30_000,
  endMarginMs: 3_000,
  beatMs: 3_000,
  hangTimeoutMs: 15_000,
  hangMarginMs: 3_000,
};
