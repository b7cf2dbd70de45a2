/**
 * Every limit that a peer can run into outside of the TLS core, by name (tls13-server §14.1, policy §5). Those of the
 * core are in `tls/limits.ts`.
 * @module
 */
export interface EdgeLimits {
  /** From accept to a whole ClientHello. Reached: closed without an alert. */
  readonly helloTimeoutMs: number;
  /** From accept to the end of the handshake. Reached: closed without an alert. */
  readonly handshakeTimeoutMs: number;
  /** What waiting for our own side (a signer, a verdict, an on-demand permission) may add to that. */
  readonly holdTimeoutMs: number;
  /** Established, and nothing moves in either direction. Reached: close_notify and close. */
  readonly idleTimeoutMs: number;
  /** Bytes wait for a peer that takes none. Reached: closed. */
  readonly writeStallTimeoutMs: number;
  /** After our last word the peer's bytes are discarded for this long, … */
  readonly lingerMs: number;
  /** … and up to this many: closing with unread bytes would reset the connection and destroy our alert in flight. */
  readonly lingerBytes: number;
  /** Sealed bytes that wait before we stop reading; more than one flight may add to them, never more than one call. */
  readonly maxOutputBuffered: number;
  /** Established for this long without data of ours: tickets go out by themselves. */
  readonly ticketDelayMs: number;
  /** When the server stops, connections get this long to end. */
  readonly drainTimeoutMs: number;

  /** Connections, all together. Reached: new ones are closed. */
  readonly maxConnections: number;
  /** Connections of one source: an IPv4 address, or an IPv6 /64. Reached: new ones are closed. */
  readonly maxConnectionsPerSource: number;
  /** Handshakes under way, all together. Reached: the oldest that has said nothing makes room, else new ones are closed. */
  readonly maxPendingHandshakes: number;
  /** Handshakes under way of one source. Reached: new ones are closed. */
  readonly maxPendingHandshakesPerSource: number;
  /** Handshakes that failed by one source's fault, per second in the long run. Reached: new ones are closed. */
  readonly failedHandshakesPerSecond: number;
  /** … and at once. */
  readonly failedHandshakesBurst: number;
  /** Sources without a connection that are remembered for their failures. Reached: the oldest is forgotten. */
  readonly maxRememberedSources: number;
  /** Slow signatures (RSA) that wait for the thread that makes them. Reached: a handshake that needs one more fails. */
  readonly maxWaitingSignatures: number;
  /** Hold the limits per source against 127.0.0.0/8 and ::1 too. Off: a proxy on this host speaks for many. */
  readonly limitLoopback: boolean;
}

export const DEFAULT_EDGE_LIMITS: EdgeLimits = {
  helloTimeoutMs: 10_000,
  handshakeTimeoutMs: 15_000,
  holdTimeoutMs: 60_000,
  idleTimeoutMs: 300_000,
  writeStallTimeoutMs: 30_000,
  lingerMs: 5_000,
  lingerBytes: 65_536,
  maxOutputBuffered: 65_536,
  ticketDelayMs: 1_000,
  drainTimeoutMs: 30_000,
  maxConnections: 100_000,
  maxConnectionsPerSource: 2_048,
  maxPendingHandshakes: 1_000,
  maxPendingHandshakesPerSource: 32,
  failedHandshakesPerSecond: 10,
  failedHandshakesBurst: 100,
  maxRememberedSources: 10_000,
  maxWaitingSignatures: 512,
  limitLoopback: false,
};

/** The limits that refuse connections, as counters name them. */
export type RefusingLimit =
  | "maxConnections"
  | "maxConnectionsPerSource"
  | "maxPendingHandshakes"
  | "maxPendingHandshakesPerSource"
  | "failedHandshakesPerSecond";

/** The limits that end connections which were accepted, as counters name them. */
export type EndingLimit =
  | "helloTimeout"
  | "handshakeTimeout"
  | "holdTimeout"
  | "idleTimeout"
  | "writeStallTimeout"
  | "linger"
  | "maxPendingHandshakes"
  | "drainTimeout";
