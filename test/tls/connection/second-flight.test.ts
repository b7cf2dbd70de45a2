import { describe, expect, test } from "vitest";
import { NamedGroup } from "../../../src/tls/wire/code-points.ts";
import { joined } from "../../support/hello-builder.ts";
import { Pair, type PairOptions } from "../../support/pair.ts";
import { recordsOf } from "../../support/raw-server.ts";
import { testServer } from "../../support/server-config.ts";
import {
  clientCertificate,
  echo,
  expectEnd,
  flipped,
  sealed,
  SecretLog,
  sessionsOf,
} from "./kit.ts";

const FINISHED = 20;
/** Finished, changed. */
const finished = (change: (message: Uint8Array) => Uint8Array | Uint8Array[]): PairOptions => ({
  client: {
    hooks: { beforeSend: (message, type) => type === FINISHED ? change(message) : message },
  },
});
const withLength = (message: Uint8Array): Uint8Array => {
  const copy = message.slice();
  copy[3] = message.length - 4;
  return copy;
};

describe("Finished", () => {
  test.each([
    ["changed", (m: Uint8Array) => flipped(m, -1)],
    ["changed in its first byte", (m: Uint8Array) => flipped(m, 4)],
    ["empty", (m: Uint8Array) => withLength(m.subarray(0, 4))],
    ["a byte short", (m: Uint8Array) => withLength(m.subarray(0, -1))],
    ["a byte long", (m: Uint8Array) => withLength(joined([m, Uint8Array.of(0)]))],
  ])("tls13 5: %s is decrypt_error, under application keys", async (_, change) => {
    const pair = await Pair.attempt(finished(change));
    expectEnd(pair, "incorrect Finished", "decrypt_error", "application");
    expect(pair.negotiated).toBeUndefined();
  });

  test("tls13 5: on a resumption as well", async () => {
    const server = await testServer();
    const sessions = await sessionsOf(server);
    const pair = await Pair.attempt({
      server,
      client: { sessions, ...finished((m) => flipped(m, 9)).client },
    });
    expectEnd(pair, "incorrect Finished", "decrypt_error", "application");
  });

  test("tls13 2: with bytes behind it in its record is unexpected_message", async () => {
    for (
      const more of [Uint8Array.of(24), Uint8Array.of(24, 0, 0, 1, 0), Uint8Array.of(4, 0, 0, 0)]
    ) {
      const pair = await Pair.attempt(finished((m) => joined([m, more])));
      expectEnd(pair, "excess handshake bytes", "unexpected_message", "application");
    }
  });

  test("tls13 2: on a resumption as well", async () => {
    const server = await testServer();
    const sessions = await sessionsOf(server);
    const pair = await Pair.attempt({
      server,
      client: { sessions, ...finished((m) => joined([m, Uint8Array.of(20)])).client },
    });
    expectEnd(pair, "excess handshake bytes", "unexpected_message", "application");
  });

  test("tls13 5: twice is no record that opens", async () => {
    const pair = await Pair.open(finished((m) => [m, m]));
    await pair.handshake();
    // The second is sealed under handshake keys still: it does not open any more.
    expectEnd(pair, "bad record MAC", "bad_record_mac", "application");
  });

  test("tls13 5: data in its place is no record that opens", async () => {
    const pair = await Pair.attempt({
      client: {
        hooks: {
          beforeSend: (message, type) => type === FINISHED ? [] : message,
        },
      },
    });
    // The client took itself to be done and uses its application keys: no record of those opens.
    await pair.client.write(Uint8Array.of(1));
    await pair.settle();
    expectEnd(pair, "bad record MAC", "bad_record_mac", "application");
    expect(pair.output.plaintextReceived.length).toBe(0);
  });

  test("tls13 5: data under handshake keys, before it, is unexpected_message", async () => {
    const secrets = new SecretLog();
    const server = await testServer({ server: { keyLog: secrets.add } });
    const data = () =>
      sealed(secrets.get("CLIENT_HANDSHAKE_TRAFFIC_SECRET"), 0, 23, Uint8Array.of(1));
    const pair = await Pair.attempt({
      server,
      client: {
        suites: [0x1301],
        hooks: { beforeRecord: (record) => record[0] === 23 ? data() : record },
      },
    });
    expectEnd(pair, "unexpected record", "unexpected_message", "application");
    expect(pair.output.plaintextReceived.length).toBe(0);
  });

  test("tls13 5: in one record with Certificate and CertificateVerify", async () => {
    const secrets = new SecretLog();
    const server = await testServer({ clientAuth: "require", server: { keyLog: secrets.add } });
    const said: Uint8Array[] = [];
    let records = 0;
    const pair = await Pair.connect({
      server,
      client: {
        suites: [0x1301],
        certificate: await clientCertificate(),
        hooks: {
          beforeSend(message, type) {
            if (type !== 1) said.push(message);
            return message;
          },
          beforeRecord(record) {
            if (record[0] !== 23 || ++records > 3) return record;
            if (records < 3) return [];
            return sealed(secrets.get("CLIENT_HANDSHAKE_TRAFFIC_SECRET"), 0, 22, joined(said));
          },
        },
      },
    });
    expect(pair.negotiated?.client).toBeDefined();
    await echo(pair);
  });

  test("tls13 5: in clear is unexpected_message", async () => {
    const pair = await Pair.attempt({
      client: {
        hooks: {
          beforeRecord: (record) =>
            record[0] === 23 ? Uint8Array.of(22, 3, 3, 0, 4, 20, 0, 0, 0) : record,
        },
      },
    });
    expectEnd(pair, "unexpected record", "unexpected_message", "application");
  });
});

describe("records of the second flight", () => {
  test("tls13 1: one that does not open is bad_record_mac, under application keys", async () => {
    const pair = await Pair.attempt({
      client: {
        hooks: { beforeRecord: (record) => record[0] === 23 ? flipped(record, 7) : record },
      },
    });
    expectEnd(pair, "bad record MAC", "bad_record_mac", "application");
  });

  test("tls13 1: one that is too short for a tag is bad_record_mac", async () => {
    const short = Uint8Array.of(23, 3, 3, 0, 15, ...new Uint8Array(15));
    const pair = await Pair.attempt({
      client: { hooks: { beforeRecord: (record) => record[0] === 23 ? short : record } },
    });
    expectEnd(pair, "bad record MAC", "bad_record_mac", "application");
  });

  test("tls13 1: one over 2^14 + 256 is record_overflow, at once", async () => {
    const header = Uint8Array.of(23, 3, 3, 0x41, 1);
    const pair = await Pair.attempt({
      client: { hooks: { beforeRecord: (record) => record[0] === 23 ? header : record } },
    });
    expectEnd(pair, "record overflow", "record_overflow", "application");
  });

  test("tls13 1.3: no change_cipher_spec at all is fine, 32 are, 33 are too many", async () => {
    const ccs = (count: number): PairOptions => ({
      client: {
        hooks: {
          beforeRecord: (record) =>
            record[0] === 20 ? Array.from({ length: count }, () => record) : record,
        },
      },
    });
    for (const count of [0, 2, 32]) await echo(await Pair.connect(ccs(count)));
    const pair = await Pair.attempt(ccs(33));
    expectEnd(pair, "too many useless records", "unexpected_message", "application");
  });

  test("tls13 1.3: change_cipher_spec after Finished is unexpected_message", async () => {
    const pair = await Pair.connect();
    pair.inject(Uint8Array.of(20, 3, 3, 0, 1, 1));
    await pair.settle();
    expectEnd(pair, "unexpected record", "unexpected_message", "application");
  });

  test("tls13 1.3: change_cipher_spec of another body is unexpected_message", async () => {
    for (const body of [[0], [2], [1, 1]]) {
      const record = Uint8Array.of(20, 3, 3, 0, body.length, ...body);
      const pair = await Pair.attempt({
        client: { hooks: { beforeRecord: (r) => r[0] === 20 ? record : r } },
      });
      expectEnd(pair, "bad change_cipher_spec", "unexpected_message", "application");
    }
  });

  test("tls13 1: padding of any size is taken off", async () => {
    await echo(await Pair.connect({ client: { padTo: 4096 } }));
    await echo(await Pair.connect({ client: { padTo: 16385 } }));
  });

  test("tls13 1: empty data records are legal, 32 in a row", async () => {
    const pair = await Pair.connect();
    for (let i = 0; i < 32; i++) pair.client.records.queue(23, new Uint8Array(0));
    await pair.client.records.flush();
    await echo(pair);
    for (let i = 0; i < 33; i++) pair.client.records.queue(23, new Uint8Array(0));
    await pair.client.records.flush();
    await pair.settle();
    expectEnd(pair, "too many useless records", "unexpected_message", "application");
    expect(recordsOf(pair.output.sent.at(-1)!).length).toBe(1);
  });

  test("tls13 1: empty handshake and alert records are unexpected_message", async () => {
    for (const type of [21, 22]) {
      const pair = await Pair.connect();
      pair.client.records.queuePadded(type, new Uint8Array(0), 8);
      await pair.client.records.flush();
      await pair.settle();
      expectEnd(pair, "empty fragment", "unexpected_message", "application");
    }
  });

  test("tls13 1: a record of zeros, of an unknown type, of CCS is unexpected_message", async () => {
    for (
      const [type, reason] of [
        [0, "missing content type"],
        [24, "unexpected record"],
        [20, "unexpected record"],
      ] as const
    ) {
      const pair = await Pair.connect();
      pair.client.records.queue(type, type === 20 ? Uint8Array.of(1) : new Uint8Array(1));
      await pair.client.records.flush();
      await pair.settle();
      expectEnd(pair, reason, "unexpected_message", "application");
    }
  });

  test("tls13 1: data between the pieces of a message is unexpected_message", async () => {
    const pair = await Pair.connect();
    const { records } = pair.client;
    records.queue(22, Uint8Array.of(24, 0));
    records.queue(23, Uint8Array.of(1));
    await records.flush();
    await pair.settle();
    expectEnd(pair, "interleaved handshake message", "unexpected_message", "application");
  });
});

/** Every flow that ends well, however it is cut. */
describe("handshakes of all kinds", () => {
  const groups = [
    NamedGroup.x25519,
    NamedGroup.secp256r1,
    NamedGroup.secp384r1,
    NamedGroup.X25519MLKEM768,
  ];
  const cuts: readonly (readonly [string, PairOptions])[] = [
    ["whole", {}],
    ["by the byte", { chunkBytes: 1 }],
    ["in records of one byte", { client: { fragmentBytes: 1 } }],
  ];
  for (const [cut, how] of cuts) {
    const wholeAlerts = how.client === undefined; // this client cuts its alerts as well, which is against the rules
    for (const suite of [0x1301, 0x1302, 0x1303]) {
      for (const group of groups) {
        test(`suite ${suite.toString(16)}, group ${group.toString(16)}, every credential, ${cut}`, async () => {
          for (const kind of ["p256", "p384", "rsa", "ed25519"] as const) {
            const pair = await Pair.connect({
              ...how,
              server: { groups: [group], credentials: [kind] },
              client: { ...how.client, groups: [group], suites: [suite] },
            });
            expect(pair.negotiated).toMatchObject({ cipherSuite: suite, group });
            await echo(pair);
          }
        });
      }
    }

    test(`resumption, HRR and both, ${cut}`, async () => {
      const server = await testServer({ ech: true });
      const sessions = await sessionsOf(server, how);
      for (const keyShares of [[NamedGroup.x25519], []]) {
        for (const ech of [{}, { ech: true }, { ech: "grease" }] as const) {
          const pair = await Pair.connect({
            ...how,
            server,
            client: { ...how.client, ...ech, sessions, keyShares },
          });
          expect(pair.negotiated).toMatchObject({
            resumed: true,
            helloRetried: keyShares.length === 0,
          });
          await echo(pair);
        }
      }
    });

    test(`client certificates, shown or not, ${cut}`, async () => {
      for (const kind of ["p256", "rsa", "ed25519"] as const) {
        const pair = await Pair.connect({
          ...how,
          server: { clientAuth: "require_and_verify" },
          client: { ...how.client, certificate: await clientCertificate(kind) },
        });
        expect(pair.negotiated?.client?.verdict).toBe("unverified");
        await echo(pair);
      }
      await echo(await Pair.connect({ ...how, server: { clientAuth: "request" } }));
    });

    test(`ECH accepted, retried, rejected, ${cut}`, async () => {
      for (const keyShares of [[NamedGroup.x25519], []]) {
        const pair = await Pair.connect({
          ...how,
          server: { ech: true },
          client: { ...how.client, ech: true, keyShares },
        });
        expect(pair.negotiated?.ech.outcome).toBe("accepted");
        await echo(pair);
      }
      const stale = await testServer({ ech: { configId: 9 } });
      const rejected = await Pair.attempt({
        ...how,
        server: { ech: true },
        client: { ...how.client, ech: { configList: stale.configList! } },
      });
      expect(rejected.clientError?.reason).toBe("ECH rejected");
      if (wholeAlerts) expect(rejected.serverError?.received).toBe(121);
    });

    test(`KeyUpdate both ways and both sides close, ${cut}`, async () => {
      const pair = await Pair.connect(how);
      for (const requested of [true, false, true]) {
        await pair.client.updateKeys(requested);
        await echo(pair);
      }
      if (wholeAlerts) await pair.client.closeWrite();
      pair.server.closeWrite();
      expect(await pair.client.read()).toBeUndefined();
      expect(pair.output.isClosed).toBe(wholeAlerts);
    });
  }
});
