/**
 * What is measured of a handshake, and what it shall cost.
 * @module
 */
import type { ClientName } from "./client.ts";
import type { RuntimeName } from "./options.ts";

export interface Row {
  readonly id: string;
  readonly client: ClientName;
  /** Flags of `load`, beside address, name, roots, count and ECH. */
  readonly flags: readonly string[];
  /** Which ECHConfigList the client has: the server's own. Only servers with ECH take part. */
  readonly ech: boolean;
  /** A row of the same server and client that this one is compared with; undefined: with the native server alone. */
  readonly against: string | undefined;
  /** What must be true of a load's connections: all of them. */
  readonly expect: "resumed" | "echAccepted" | "rejected" | "grease" | "retried" | undefined;
  /** Of the connection that is looked at before anything is timed. */
  readonly group: "X25519" | "X25519MLKEM768";
}

const X25519 = ["-groups", "X25519"];
const plain = {
  client: "go",
  ech: false,
  against: undefined,
  expect: undefined,
  group: "X25519",
} as const;

/**
 * `none`: a handshake, then close. `get`: and one request with `Connection: close`. The last rows are by sotto's own
 * client, which costs a server another figure than Go's does: they have a plain row of their own to be compared with.
 */
export const ROWS: readonly Row[] = [
  { ...plain, id: "full none", flags: X25519 },
  { ...plain, id: "full get", flags: [...X25519, "-get"] },
  {
    ...plain,
    id: "ECH accepted none",
    flags: X25519,
    ech: true,
    against: "full none",
    expect: "echAccepted",
  },
  {
    ...plain,
    id: "ECH accepted get",
    flags: [...X25519, "-get"],
    ech: true,
    against: "full get",
    expect: "echAccepted",
  },
  {
    ...plain,
    id: "unknown config_id none",
    flags: [...X25519, "-unknown-id"],
    ech: true,
    against: "full none",
    expect: "rejected",
  },
  {
    ...plain,
    id: "resumed get",
    flags: [...X25519, "-resume", "-renew", "-get"],
    against: "full get",
    expect: "resumed",
  },
  {
    ...plain,
    id: "X25519MLKEM768 get",
    flags: ["-groups", "X25519MLKEM768", "-get"],
    against: "full get",
    group: "X25519MLKEM768",
  },
  { ...plain, id: "own client: full get", client: "own", flags: ["-get"] },
  {
    ...plain,
    id: "own client: GREASE get",
    client: "own",
    flags: ["-get", "-grease"],
    against: "own client: full get",
    expect: "grease",
  },
  {
    ...plain,
    id: "own client: HelloRetryRequest get",
    client: "own",
    flags: ["-get", "-retry-hello"],
    against: "own client: full get",
    expect: "retried",
  },
];

/** First targets; only Bun has them so far. Met if the lower end of the interval is under it. */
export interface Target {
  readonly runtime: RuntimeName;
  readonly row: string;
  readonly of: "native" | "plain";
  readonly ratio: number;
}

export const TARGETS: readonly Target[] = [
  { runtime: "bun", row: "full none", of: "native", ratio: 1.15 },
  { runtime: "bun", row: "full get", of: "native", ratio: 1.15 },
  { runtime: "bun", row: "ECH accepted none", of: "plain", ratio: 1.45 },
  { runtime: "bun", row: "ECH accepted get", of: "plain", ratio: 1.45 },
  { runtime: "bun", row: "unknown config_id none", of: "plain", ratio: 1.1 },
  { runtime: "bun", row: "own client: GREASE get", of: "plain", ratio: 1.1 },
];

/** kB per idle connection. */
export const IDLE_TARGETS: Readonly<Partial<Record<RuntimeName, number>>> = { bun: 5 };
