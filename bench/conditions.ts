/**
 * What the figures shall be. A condition is met if the lower end of the interval is not above it. Since a poor measurement
 * has a wide interval, it is said where the median itself is above, and with few rounds that alone decides nothing; what
 * was not measured is neither met nor missed.
 *
 * @module
 */
import type { Figure } from "./report.ts";

export interface Condition {
  /** `must`: it holds or the work is not done. `should`: a miss stands if it is explained. */
  readonly kind: "must" | "should";
  /** As people say it. */
  readonly text: string;
  /** Of the figure that it is about. */
  readonly figure: string;
  readonly most: number;
}

export type Verdict = "met" | "met by the interval" | "too few rounds" | "missed" | "not measured";

/** So many pairs make an interval that may speak against its median. */
const ENOUGH_ROUNDS = 30;

const MANY = "certificates: bun: 100000: sotto";

export const CONDITIONS: readonly Condition[] = [
  must("A full handshake, by Bun.listen's", "bun: full none: sotto ÷ Bun.listen", 1),
  must("An ECH handshake, by Go's", "bun: ECH accepted none: sotto ÷ Go", 0.65),
  must("An ECH handshake, by Caddy's", "bun: ECH accepted none: sotto ÷ Caddy", 0.6),
  must("GREASE ECH, by none", "bun: own client: GREASE get: sotto ÷ plain", 1.05),
  must(
    "An ECH handshake with 32 keys, by one key",
    "bun: ECH accepted none: sotto, 32 keys ÷ sotto",
    1.03,
  ),
  must("An idle connection on Bun, kB", "bun: idle: sotto", 2.5),
  must("Bulk download, by Bun.serve from memory", "bun: download: sotto ÷ Bun.serve", 1),
  must("Bulk download, by Bun.listen", "bun: download: sotto ÷ Bun.listen", 1),
  must("Bulk upload, by Bun.listen", "bun: upload: sotto ÷ Bun.listen", 1),
  must("ClientHello, µs", "ClientHello with X25519MLKEM768: parse and check", 5),
  must("ECH's inner hello, µs without crypto", "ECH: rebuild the inner hello", 10),
  must("A name out of a million, ns", "found; Map, from bytes: trie", 200),
  must("100,000 certificates: ms until any of them is served", `${MANY}: start`, 1000),
  must("… MB above an empty server's", `${MANY}: memory above an empty server's`, 150),
  must(
    "… a known name, by one certificate",
    `${MANY}: handshake, known name ÷ one certificate`,
    1.05,
  ),
  must("… a new name, by one certificate", `${MANY}: handshake, new name ÷ one certificate`, 1.15),
  ...["bun", "deno", "node"].flatMap((runtime) => [
    must(`Soak on ${runtime}: attempts unaccounted for`, `${runtime}: soak: unaccounted`, 0),
    must(`Soak on ${runtime}: sockets left open`, `${runtime}: soak: left open`, 0),
    must(`Soak on ${runtime}: memory, last by second round`, `${runtime}: soak: memory`, 1.05),
  ]),
  ...["Caddy", "Go", "nginx"].map((other) =>
    should(
      `An ECH handshake, by a plain one on ${other}`,
      `bun: ECH accepted none: sotto ÷ plain ${other}`,
      1,
    )
  ),
  should("Unknown config_id, by none", "bun: unknown config_id none: sotto ÷ plain", 1.05),
  should("A resumed handshake, by a full one", "bun: resumed get: sotto ÷ plain", 0.95),
  should("X25519MLKEM768, by Bun.listen's", "bun: X25519MLKEM768 get: sotto ÷ Bun.listen", 1.25),
  should(
    "A full handshake on Deno, by Deno.serve's",
    "deno: full none: sotto ÷ Deno.serve",
    1.4,
  ),
  should(
    "… without wide arithmetic",
    "deno: full none: sotto, narrow ÷ Deno.serve",
    2.2,
  ),
  should("A full handshake on Node, by node:https's", "node: full none: sotto ÷ node:https", 0.95),
  should("An idle connection on Deno, kB", "deno: idle: sotto", 16),
  should("forward, a request, by haproxy's", "forward: request: sotto ÷ haproxy", 0.6),
];

function must(text: string, figure: string, most: number): Condition {
  return { kind: "must", text, figure, most };
}

function should(text: string, figure: string, most: number): Condition {
  return { kind: "should", text, figure, most };
}

export function verdictOn({ most }: Condition, figure: Figure | undefined): Verdict {
  if (figure === undefined) return "not measured";
  if (figure.estimate.median <= most) return "met";
  if (figure.estimate.low > most) return "missed";
  return figure.estimate.rounds < ENOUGH_ROUNDS ? "too few rounds" : "met by the interval";
}

/** The condition about a figure, if there is one. */
export function conditionOn(figure: string): Condition | undefined {
  return CONDITIONS.find((condition) => condition.figure === figure);
}
