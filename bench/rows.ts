/**
 * What a connection of `handshake` does.
 * @module
 */
import type { ClientName } from "./client.ts";

export interface Row {
  readonly id: string;
  readonly client: ClientName;
  /** Flags of `load`, beside address, name, roots, count and ECH. */
  readonly flags: readonly string[];
  /** Which ECHConfigList the client has: the server's own. Only servers with ECH take part. */
  readonly ech: boolean;
  /** A row of the same server and client that this one is compared with; undefined: none. */
  readonly against: string | undefined;
  /** What must be true of a load's connections: all of them. */
  readonly expect: "resumed" | "echAccepted" | "rejected" | "grease" | "retried" | undefined;
  /** Of the connection that is looked at before anything is timed. */
  readonly group: "X25519" | "X25519MLKEM768";
  readonly leaf: "p256" | "rsa";
  /** Servers with many ECH keys take part: the client's is the last that they would try. */
  readonly manyKeys: boolean;
}

const X25519 = ["-groups", "X25519"];
const plain = {
  client: "go",
  flags: X25519,
  ech: false,
  against: undefined,
  expect: undefined,
  group: "X25519",
  leaf: "p256",
  manyKeys: false,
} as const satisfies Partial<Row>;
const echNone = { ...plain, ech: true, against: "full none" } as const;

/**
 * `none`: a handshake, then close. `get`: and one request with `Connection: close`. The last rows are by sotto's own
 * client, which costs a server another figure than Go's does: they have a plain row of their own to be compared with.
 */
export const ROWS: readonly Row[] = [
  { ...plain, id: "full none", manyKeys: true },
  { ...plain, id: "full get", flags: [...X25519, "-get"] },
  { ...echNone, id: "ECH accepted none", expect: "echAccepted", manyKeys: true },
  {
    ...echNone,
    id: "ECH accepted get",
    flags: [...X25519, "-get"],
    against: "full get",
    expect: "echAccepted",
  },
  { ...echNone, id: "ECH stale key none", flags: [...X25519, "-stale"], expect: "rejected" },
  {
    ...echNone,
    id: "unknown config_id none",
    flags: [...X25519, "-unknown-id"],
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
  {
    ...plain,
    id: "RSA-2048 get",
    flags: [...X25519, "-get"],
    against: "full get",
    leaf: "rsa",
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
