import { describe, expect, test } from "vitest";
import { NamedGroup } from "../../../src/tls/wire/code-points.ts";
import { decodeNewSessionTicket } from "../../../src/tls/wire/new-session-ticket.ts";
import { ext, hello, plaintextRecords } from "../../support/hello-builder.ts";
import { Pair, type PairOptions } from "../../support/pair.ts";
import { feed, recordsOf } from "../../support/raw-server.ts";
import { testServer } from "../../support/server-config.ts";
import {
  echo,
  expectEnd,
  flipped,
  messagesOf,
  opened,
  sealed,
  SecretLog,
  sessionsOf,
} from "./kit.ts";

/** sotto takes no 0-RTT: it says nothing about it and drops what was sent on the offer. */
const RETRIED = { keyShares: [] };
/** A record of so many wire bytes. */
const wire = (bytes: number) => bytes - 22;

const cases: readonly (readonly [string, PairOptions["client"]])[] = [
  ["", {}],
  [" by a HelloRetryRequest", RETRIED],
];

describe.each(cases)("0-RTT refused%s", (_, client) => {
  test.each([0, 1, 100, wire(16384)])(
    "tls13 8: %i bytes of it are dropped",
    async (earlyDataBytes) => {
      for (const chunkBytes of [1_000_000, 1]) {
        const pair = await Pair.connect({ chunkBytes, client: { ...client, earlyDataBytes } });
        await echo(pair);
        expect(pair.client.negotiated.encryptedExtensions).not.toContain(42);
        expect(pair.output.plaintextReceived.length).toBe(3);
      }
    },
  );

  test("tls13 8: together with a ticket that is taken", async () => {
    const server = await testServer();
    const sessions = await sessionsOf(server);
    const pair = await Pair.connect({
      server,
      client: { ...client, sessions, earlyDataBytes: 500 },
    });
    expect(pair.negotiated?.resumed).toBe(true);
    expect(pair.client.negotiated.encryptedExtensions).not.toContain(42);
    await echo(pair);
  });

  test("tls13 8: in many records, with change_cipher_spec in between or without any", async () => {
    const ccs = Uint8Array.of(20, 3, 3, 0, 1, 1);
    for (const between of [[ccs], []]) {
      let early = 0;
      const pair = await Pair.connect({
        client: {
          ...client,
          earlyDataBytes: 60,
          fragmentBytes: 10,
          hooks: {
            beforeRecord(record) {
              if (record[0] === 20) return between.length > 0 ? record : [];
              return record[0] === 23 && early++ < 6 ? [record, ...between] : record;
            },
          },
        },
      });
      await echo(pair);
    }
  });

  test("tls13 14.1 maxSkippedEarlyData: one byte more than 16384 on the wire is too much", async () => {
    const pair = await Pair.attempt({ client: { ...client, earlyDataBytes: wire(16385) } });
    const { alertReceivedUnder } = pair.clientError!;
    expectEnd(pair, "too much skipped early data", "unexpected_message");
    expect(alertReceivedUnder).toBe(client?.keyShares === undefined ? "application" : "plaintext");
  });

  test("tls13 14.1 maxSkippedEarlyData: it is counted over all records", async () => {
    const taken = await Pair.connect({
      server: { limits: { maxSkippedEarlyData: 10 * 122 } },
      client: { ...client, earlyDataBytes: 1000, fragmentBytes: 100 },
    });
    expect(taken.negotiated).toBeDefined();
    const refused = await Pair.attempt({
      server: { limits: { maxSkippedEarlyData: 10 * 122 } },
      client: { ...client, earlyDataBytes: 1001, fragmentBytes: 100 },
    });
    expectEnd(refused, "too much skipped early data", "unexpected_message");
  });
});

describe("what is not skipped", () => {
  const record = Uint8Array.of(23, 3, 3, 0, 20, ...new Uint8Array(20));
  const offering = { replace: [ext.earlyData()] };

  test("tls13 8: without the offer a record that does not open is bad_record_mac", async () => {
    const fed = feed(await testServer(), [plaintextRecords(hello()), record]);
    expect(fed.reason).toBe("bad record MAC");
  });

  test("tls13 8: without the offer, after a HelloRetryRequest, it is unexpected_message", async () => {
    const fed = feed(await testServer(), [plaintextRecords(hello({ keyShares: [] })), record]);
    expect([fed.reason, fed.alert]).toEqual(["unexpected record", "unexpected_message"]);
  });

  test("tls13 8: after a record that opens, one that does not is bad_record_mac", async () => {
    const secrets = new SecretLog();
    const server = await testServer({
      clientAuth: "request",
      server: { keyLog: secrets.add },
    });
    let early = 0;
    const pair = await Pair.attempt({
      server,
      client: {
        suites: [0x1301],
        earlyDataBytes: 30,
        hooks: {
          // Behind the empty Certificate, which opens, comes what looks like early data.
          beforeRecord: (r) => r[0] === 23 && ++early === 2 ? [r, record] : r,
        },
      },
    });
    expectEnd(pair, "bad record MAC", "bad_record_mac", "application");
  });

  test("tls13 8: behind Finished neither", async () => {
    const pair = await Pair.connect({ client: { earlyDataBytes: 30 } });
    pair.inject(record);
    await pair.settle();
    expectEnd(pair, "bad record MAC", "bad_record_mac", "application");
  });

  test("tls13 8: once a piece of the second hello has come, no more is dropped", async () => {
    const second = hello({ groups: [NamedGroup.x25519] });
    const fed = feed(await testServer(), [
      plaintextRecords(hello({ ...offering, groups: [NamedGroup.x25519], keyShares: [] })),
      record,
      plaintextRecords(second.subarray(0, 30)),
      record,
    ]);
    expect([fed.reason, fed.alert]).toEqual(["unexpected record", "unexpected_message"]);
  });

  test("tls13 8: after the second hello nothing is, if it offers early data again", async () => {
    const fed = feed(await testServer(), [
      plaintextRecords(hello({ ...offering, groups: [NamedGroup.x25519], keyShares: [] })),
      plaintextRecords(hello({ ...offering, groups: [NamedGroup.x25519] })),
      record,
    ]);
    expect([fed.reason, fed.alert]).toEqual([
      "second ClientHello with early_data",
      "illegal_parameter",
    ]);
    const quiet = feed(await testServer(), [
      plaintextRecords(hello({ ...offering, groups: [NamedGroup.x25519], keyShares: [] })),
      record,
      plaintextRecords(hello({ groups: [NamedGroup.x25519] })),
      record,
    ]);
    expect(quiet.reason).toBe("bad record MAC");
  });

  test("tls13 8: a fatal alert in clear among it is heard", async () => {
    for (const keyShares of [[], undefined]) {
      const overrides = keyShares === undefined ? offering : { ...offering, keyShares };
      const fed = feed(await testServer(), [
        plaintextRecords(hello(overrides)),
        record,
        Uint8Array.of(21, 3, 3, 0, 2, 2, 40),
      ]);
      expect(fed.error).toMatchObject({ reason: "received alert", received: 40 });
    }
  });

  test("tls13 8: EndOfEarlyData is no message of ours", async () => {
    const secrets = new SecretLog();
    const server = await testServer({ server: { keyLog: secrets.add } });
    const end = () =>
      sealed(
        secrets.get("CLIENT_HANDSHAKE_TRAFFIC_SECRET"),
        0,
        22,
        Uint8Array.of(5, 0, 0, 0),
      );
    let early = 0;
    const pair = await Pair.attempt({
      server,
      client: {
        suites: [0x1301],
        earlyDataBytes: 10,
        hooks: { beforeRecord: (r) => r[0] === 23 && ++early === 2 ? end() : r },
      },
    });
    expectEnd(pair, "unexpected message", "unexpected_message", "application");
  });

  test("tls13 8: the key is not moved on by what is dropped", async () => {
    let early = 0;
    const pair = await Pair.connect({
      client: {
        earlyDataBytes: 10,
        hooks: {
          // A damaged copy of the first record under handshake keys goes before the good one.
          beforeRecord: (r) => r[0] === 23 && ++early === 2 ? [flipped(r, 8), r] : r,
        },
      },
    });
    await echo(pair);
  });

  test("tls13 8: no ticket says that early data is taken", async () => {
    const secrets = new SecretLog();
    const server = await testServer({ server: { keyLog: secrets.add } });
    const pair = await Pair.connect({ server, client: { suites: [0x1301] } });
    pair.server.flushTickets();
    const { fragment } = recordsOf(pair.output.sent.at(-1)!)[0]!;
    const { content } = opened(secrets.get("SERVER_TRAFFIC_SECRET_0"), 0, fragment);
    const tickets = messagesOf(content).map(decodeNewSessionTicket);
    expect(tickets.map(({ types }) => types)).toEqual([[], []]);
    expect(tickets.map(({ nonce }) => [...nonce])).toEqual([[0], [1]]);
  });
});
