/**
 * Whole connections in this process, without sockets: what the core alone takes, crypto included.
 *
 * Only the server's calls are timed. The median over connections hardly notices a busy machine, so this is what to work
 * with between two runs of `handshake`.
 *
 * @module
 */
import { type ClientConnection, type ClientOptions, connect } from "../src/client/client.ts";
import type { Transport } from "../src/client/transport.ts";
import { ServerConnection } from "../src/tls/connection.ts";
import type { Output } from "../src/tls/output.ts";
import { CipherSuite, NamedGroup } from "../src/tls/wire/code-points.ts";
import { testCrypto, type TestServer, testServer } from "../test/support/server-config.ts";
import type { MicroResult } from "./micro.ts";
import type { BenchOptions } from "./options.ts";
import { inRounds } from "./rounds.ts";
import { PAGE } from "./setup.ts";
import { estimate, shuffled } from "./statistics.ts";

interface Scenario {
  readonly id: string;
  options(test: TestServer, first: ClientConnection): Partial<ClientOptions>;
  isGood(negotiated: ClientConnection["negotiated"]): boolean;
}

const SCENARIOS: readonly Scenario[] = [
  { id: "full", options: () => ({}), isGood: ({ resumed }) => !resumed },
  {
    id: "ECH accepted",
    options: ({ configList }) => ({ ech: { configList: configList! } }),
    isGood: ({ ech }) => ech === "accepted",
  },
  { id: "GREASE", options: () => ({ ech: "grease" }), isGood: ({ ech }) => ech === "grease" },
  {
    id: "HelloRetryRequest",
    options: () => ({ keyShares: [] }),
    isGood: ({ helloRetried }) => helloRetried,
  },
  {
    id: "resumed",
    options: (_, first) => ({ sessions: [first.sessions[0]!] }),
    isGood: ({ resumed }) => resumed,
  },
];

/**
 * @param options `connections`: per round and scenario
 * @param say progress, a line at a time
 * @throws {Error} a connection does not go as its scenario says
 */
export async function measureCore(
  options: Pick<BenchOptions, "rounds" | "roundSeconds" | "connections">,
  say: (line: string) => void,
): Promise<MicroResult[]> {
  const test = await testServer({ ech: true, server: { flightPadding: 1024 } });
  const first = new Served(test);
  const client = await first.run({});
  const samples = new Map(
    SCENARIOS.map((scenario) => [scenario, [[], []] as [number[], number[]]]),
  );
  const round = async (isMeasured: boolean): Promise<void> => {
    for (const scenario of shuffled(SCENARIOS)) {
      const handshakes: number[] = [];
      const wholes: number[] = [];
      for (let i = 0; i < options.connections; i++) {
        const served = new Served(test);
        const { negotiated } = await served.run(scenario.options(test, client));
        if (!scenario.isGood(negotiated)) throw new Error(`${scenario.id} went another way`);
        handshakes.push(served.handshakeMicros);
        wholes.push(served.micros);
      }
      if (!isMeasured) continue;
      const [handshake, whole] = samples.get(scenario)!;
      handshake.push(estimate(handshakes).median);
      whole.push(estimate(wholes).median);
    }
  };
  say("warming up");
  for (let i = 0; i < WARM_UP_ROUNDS; i++) await round(false);
  await inRounds(options, say, () => round(true));
  return [...samples].flatMap(([{ id }, [handshake, whole]]): MicroResult[] => [
    { id: `${id}: handshake`, unit: "µs", estimate: estimate(handshake) },
    { id: `${id}: with an answer, two tickets, close`, unit: "µs", estimate: estimate(whole) },
  ]);
}

const WARM_UP_ROUNDS = 3;

/** One connection from the server's side, on a clock that runs only while the server does. */
class Served implements Transport {
  micros = 0;
  handshakeMicros = 0;
  readonly #connection: ServerConnection;
  readonly #toClient: Uint8Array[] = [];
  #wake: (() => void) | undefined;

  constructor(test: TestServer) {
    const output: Output = {
      send: (bytes, start, end) => {
        this.#toClient.push(bytes.slice(start, end));
        this.#wake?.();
      },
      chooseSite: () => test.site,
      needSignature() {},
      needClientVerdict() {},
      established() {},
      plaintext: () => this.#answer(),
      closed() {},
      alerted() {},
    };
    this.#connection = new ServerConnection(test.config, output);
  }

  /** Handshake, request, answer, both sides closed. */
  async run(options: Partial<ClientOptions>): Promise<ClientConnection> {
    const client = await connect(this, {
      crypto: testCrypto,
      serverName: "a.example",
      groups: [NamedGroup.x25519],
      suites: [CipherSuite.TLS_AES_128_GCM_SHA256],
      ...options,
    });
    this.handshakeMicros = this.micros;
    await client.write(REQUEST);
    while (await client.read() !== undefined);
    return client;
  }

  write(bytes: Uint8Array): void {
    const own = bytes.slice();
    const nowMs = Date.now();
    const before = performance.now();
    this.#connection.receive(own, nowMs);
    this.micros += (performance.now() - before) * 1000;
  }

  async read(): Promise<Uint8Array | undefined> {
    while (this.#toClient.length === 0) {
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    return this.#toClient.shift();
  }

  close(): void {}

  #answer(): void {
    this.#connection.send(ANSWER, 0, ANSWER.length);
    this.#connection.closeWrite();
  }
}

const REQUEST = new TextEncoder().encode("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
const ANSWER = new TextEncoder().encode(
  `HTTP/1.1 200 OK\r\nContent-Length: ${PAGE.length}\r\nConnection: close\r\n\r\n${PAGE}`,
);
