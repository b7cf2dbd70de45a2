/**
 * What the figures shall be. A condition is met if the lower end of the interval is not above it. Since a poor measurement
 * has a wide interval, it is said where the median itself is above; and fewer rounds than a condition asks for decide nothing
 * that their interval leaves open. What was not measured is neither met nor missed.
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
  /** Rounds that make the median count, and the interval's lower end against it. */
  readonly rounds: number;
}

export type Verdict = "met" | "met by the interval" | "too few rounds" | "missed" | "not measured";

const ENOUGH_ROUNDS = 30;
/**
 * Where each round is a process of its own, which takes its time. As many are the fewest that have a 95 % interval:
 * their range.
 */
const ENOUGH_PROCESSES = 6;
/** What is counted, or comes out the same every time; and the worst of many. */
const ONCE = 1;

export const CONDITIONS: readonly Condition[] = [
  must("A full handshake, by Bun.listen's", "bun: full none: sotto ÷ Bun.listen", 1),
  // Behind a handshake alone some send their tickets, and some only with an answer.
  must("… with a request and tickets", "bun: full get: sotto ÷ Bun.listen", 1),
  must("An ECH handshake, by Go's", "bun: ECH accepted none: sotto ÷ Go", 0.65),
  must("An ECH handshake, by Caddy's", "bun: ECH accepted none: sotto ÷ Caddy", 0.6),
  must("GREASE ECH, by none", "bun: own client: GREASE get: sotto ÷ plain", 1.05),
  must(
    "An ECH handshake with 32 keys, by one key",
    "bun: ECH accepted none: sotto, 32 keys ÷ sotto",
    1.03,
  ),
  must("An idle connection on Bun, kB", "bun: idle: sotto", 2.5, ENOUGH_PROCESSES),
  must("Bulk download, by Bun.serve from memory", "bun: download: sotto ÷ Bun.serve", 1),
  must("Bulk by forward, by Bun.serve from memory", "forward: bulk: sotto ÷ Bun.serve", 1),
  must("Bulk download, by Bun.listen", "bun: download: sotto ÷ Bun.listen", 1),
  must("Bulk upload, by Bun.listen", "bun: upload: sotto ÷ Bun.listen", 1),
  must("ClientHello, µs", "bun: parse: ClientHello with X25519MLKEM768: parse and check", 5),
  must("ECH's inner hello, µs without crypto", "bun: parse: ECH: rebuild the inner hello", 10),
  must("A name out of a million, ns", "bun: trie: found: trie", 200),
  must(
    "… by a wildcard, with 2,048 changes over it, ns",
    "bun: trie: found by wildcard, 2,048 changes over it: trie",
    300,
  ),
  must("… building it, ms", "bun: trie: build, the first time: trie", 2000, ONCE),
  must("… bytes a name", "bun: trie: memory: trie", 64, ONCE),
  must(
    "One name more over 100,000, the slowest of 4,000, µs",
    "bun: trie: one name more over 100,000, the slowest: trie",
    10_000,
    ONCE,
  ),
  ...["1000", "10000", "100000"].flatMap((count) => {
    const many = `certificates: bun: ${count}: sotto`;
    return [
      must(
        `${Number(count).toLocaleString("en")} certificates: ms until any of them is served`,
        `${many}: start`,
        1000,
        ENOUGH_PROCESSES,
      ),
      must(
        "… MB above an empty server's",
        `${many}: memory above an empty server's`,
        150,
        ENOUGH_PROCESSES,
      ),
      must(
        "… a known name, by one certificate",
        `${many}: handshake, known name ÷ one certificate`,
        1.05,
      ),
      must(
        "… a new name, by one certificate",
        `${many}: handshake, new name ÷ one certificate`,
        1.15,
      ),
    ];
  }),
  ...["bun", "deno", "node"].flatMap((runtime) => [
    must(`Soak on ${runtime}: attempts unaccounted for`, `${runtime}: soak: unaccounted`, 0, ONCE),
    must(`Soak on ${runtime}: sockets left open`, `${runtime}: soak: left open`, 0, ONCE),
    must(
      `Soak on ${runtime}: memory, last by second round`,
      `${runtime}: soak: memory`,
      1.05,
      ONCE,
    ),
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
  should("An idle connection on Deno, kB", "deno: idle: sotto", 16, ENOUGH_PROCESSES),
  should("forward, a request, by haproxy's", "forward: request: sotto ÷ haproxy", 0.6),
];

function must(text: string, figure: string, most: number, rounds = ENOUGH_ROUNDS): Condition {
  return { kind: "must", text, figure, most, rounds };
}

function should(text: string, figure: string, most: number, rounds = ENOUGH_ROUNDS): Condition {
  return { kind: "should", text, figure, most, rounds };
}

export function verdictOn({ most, rounds }: Condition, figure: Figure | undefined): Verdict {
  if (figure === undefined) return "not measured";
  const { median, low, high } = figure.estimate;
  if (low > most) return "missed";
  if (figure.estimate.rounds < rounds) {
    const isClear = high <= most && figure.estimate.rounds >= ENOUGH_PROCESSES;
    return isClear ? "met" : "too few rounds";
  }
  return median <= most ? "met" : "met by the interval";
}

/** The condition about a figure, if there is one. */
export function conditionOn(figure: string): Condition | undefined {
  return CONDITIONS.find((condition) => condition.figure === figure);
}
