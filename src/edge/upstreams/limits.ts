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
   * they may be to blame, and no client decides who is out. Connections that are refused, or broken off before, always
   * count.
   */
  readonly trustedForMs: number;
  /** A check that has not connected by then has failed. */
  readonly checkTimeoutMs: number;
}

export const DEFAULT_UPSTREAM_LIMITS: UpstreamLimits = {
  connectTimeoutMs: 5_000,
  maxConnectAttempts: 3,
  firstOutMs: 1_000,
  maxOutMs: 60_000,
  trustedForMs: 1_000,
  checkTimeoutMs: 2_000,
};
