import { describe, expect, test } from "vitest";
import { NamedGroup } from "../../../src/tls/wire/code-points.ts";
import { Pair, type PairOptions } from "../../support/pair.ts";
import { testEchKey, testServer } from "../../support/server-config.ts";
import { SecretLog } from "./kit.ts";

const RETRIED = { groups: [NamedGroup.x25519], keyShares: [] };
const BOTH = [
  "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
  "SERVER_HANDSHAKE_TRAFFIC_SECRET",
  "CLIENT_TRAFFIC_SECRET_0",
  "SERVER_TRAFFIC_SECRET_0",
  "EXPORTER_SECRET",
];
const hex = (bytes: Uint8Array) =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
/** The random of the hello that went over the wire. */
const outerRandom = (pair: Pair) => hex(pair.clientWire[0]!.subarray(11, 43));

async function logged(options: PairOptions & { server?: { ech?: boolean } }) {
  const server = new SecretLog();
  const client = new SecretLog();
  const pair = await Pair.attempt({
    ...options,
    server: { ...options.server, server: { keyLog: server.add } },
    client: { ...options.client, keyLog: client.add },
  });
  return { pair, server: server.lines, client: client.lines };
}

describe("SSLKEYLOGFILE", () => {
  const flows: readonly (readonly [string, PairOptions])[] = [
    ["a full handshake", {}],
    ["SHA-384", { client: { suites: [0x1302] } }],
    ["a HelloRetryRequest", { client: RETRIED }],
    ["GREASE ECH", { server: { ech: true }, client: { ech: "grease" } }],
  ];
  test.each(flows)("tls13 15: %s: the client's lines, under its random", async (_, options) => {
    const { pair, server, client } = await logged(options as never);
    expect(server).toEqual(client);
    expect(server.map((line) => line.split(" ")[0])).toEqual(BOTH);
    for (const line of server) {
      expect(line).toMatch(/^[A-Z0-9_]+ [0-9a-f]{64} ([0-9a-f]{64}|[0-9a-f]{96})$/);
      expect(line.split(" ")[1]).toBe(outerRandom(pair));
    }
  });

  test("tls13 15: a resumption", async () => {
    const first = await testServer();
    const sessions = await (await Pair.connect({ server: first })).tickets();
    const log = new SecretLog();
    const client = new SecretLog();
    await Pair.connect({
      server: { ...first, config: { ...first.config, keyLog: log.add } },
      client: { sessions, keyLog: client.add },
    });
    expect(log.lines).toEqual(client.lines);
  });

  test.each([{}, RETRIED])(
    "tls13 15: ECH accepted: the inner random, and two lines of the outer's: %j",
    async (client) => {
      const key = testEchKey();
      const { pair, server, client: lines } = await logged({
        server: { ech: [key] } as never,
        client: { ...client, ech: { configList: key.configList } },
      });
      const ech = server.filter((line) => line.startsWith("ECH_"));
      expect(ech.map((line) => line.split(" ")[0])).toEqual(["ECH_SECRET", "ECH_CONFIG"]);
      for (const line of ech) expect(line.split(" ")[1]).toBe(outerRandom(pair));
      expect(ech[0]!.split(" ")[2]!.length).toBe(64);
      expect(ech[1]!.split(" ")[2]).toBe(hex(key.config));
      const others = server.filter((line) => !line.startsWith("ECH_"));
      expect(others).toEqual(lines);
      expect(others.map((line) => line.split(" ")[0])).toEqual(BOTH);
      for (const line of others) expect(line.split(" ")[1]).not.toBe(outerRandom(pair));
    },
  );

  test("tls13 15: ECH rejected: the outer random alone, and no ECH lines", async () => {
    const stale = testEchKey({ configId: 8 });
    const { pair, server } = await logged({
      server: { ech: true },
      client: { ech: { configList: stale.configList } },
    });
    expect(server.map((line) => line.split(" ")[0])).toEqual(BOTH);
    for (const line of server) expect(line.split(" ")[1]).toBe(outerRandom(pair));
  });

  test("tls13 15: a refused name behind ECH has its handshake secrets, for the alert is under them", async () => {
    const { server } = await logged({
      server: { ech: true },
      client: { ech: true },
      chooseSite: () => ({ refuse: "unrecognized name" }),
    });
    expect(server.map((line) => line.split(" ")[0])).toEqual([
      "ECH_SECRET",
      "ECH_CONFIG",
      ...BOTH.slice(0, 2),
    ]);
  });

  test("tls13 15: refused 0-RTT has no lines, KeyUpdate neither", async () => {
    const { pair, server } = await logged({ client: { earlyDataBytes: 100 } });
    await pair.client.updateKeys(true);
    expect(server.map((line) => line.split(" ")[0])).toEqual(BOTH);
  });
});
