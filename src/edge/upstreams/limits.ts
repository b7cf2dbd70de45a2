/**
 * How long upstreams are waited for, and when they are passed over, by name.
 * @module
 */
export interface UpstreamLimits {
  /** From asking for a connection to having it. Reached: it counts as failed, and the next upstream is tried. */
  readonly connectTimeoutMs: number;
  /** Upstreams tried for one connection of a client. Reached: that one is cut. */
  readonly maxConnectAttempts: number;
  /** An upstream that fails is passed over for this long, then twice as long with each failure in a row, … */
  readonly firstOutMs: number;
  /** … up to this. The first connection that works ends it. */
  readonly maxOutMs: number;
  /**
   * One that has answered somebody within this time is not blamed for breaking off a connection behind a client's bytes:
   * they may be to blame. Nor is, at any time, the last one of a site that is in: no client puts out a site. Connections
   * that are refused, or ended at once before any byte of the client's, always count.
   */
  readonly trustedForMs: number;
  /**
   * From being connected. Ended within, with nothing said by either side: it counts as failed, and the next upstream is
   * tried. Later: it was idle, and the client is told how it ended.
   */
  readonly freshForMs: number;
  /** A check that has not connected by then has failed. */
  readonly checkTimeoutMs: number;
}

export const DEFAULT_UPSTREAM_LIMITS: UpstreamLimits = {
  connectTimeoutMs: 5_000,
  maxConnectAttempts: 3,
  firstOutMs: 1_000,
  maxOutMs: 60_000,
  trustedForMs: 1_000,
  freshForMs: 1_000,
  checkTimeoutMs: 2_000,
};
