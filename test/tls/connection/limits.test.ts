import { describe, expect, test } from "vitest";
import { DEFAULT_LIMITS, type Limits } from "../../../src/tls/limits.ts";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ExtensionType } from "../../../src/tls/wire/code-points.ts";
import { hello, plaintextRecords } from "../../support/hello-builder.ts";
import { Pair, type PairOptions } from "../../support/pair.ts";
import { feed } from "../../support/raw-server.ts";
import { testEchKey, testServer } from "../../support/server-config.ts";
import { clientCertificate, clientSends, echo, expectEnd, expectRefusal } from "./kit.ts";

/** A hello whose body has so many bytes. */
function helloOf(bytes: number): Uint8Array {
  const bare = hello({ replace: [[ExtensionType.padding, new Uint8Array(0)]] });
  const padding = new Uint8Array(bytes - (bare.length - 4));
  return hello({ replace: [[ExtensionType.padding, padding]] });
}

const changing = (type: number, body: Uint8Array): PairOptions["client"] => ({
  hooks: {
    beforeSend: (message, sent) =>
      sent === type
        ? Uint8Array.of(type, body.length >> 16, body.length >> 8, body.length, ...body)
        : message,
  },
});

/** One test for each limit, by its name. */
const tests: Readonly<Record<keyof Limits, () => Promise<void>>> = {
  async maxClientHello() {
    const server = await testServer();
    expect(feed(server, plaintextRecords(helloOf(16384))).error).toBeUndefined();
    expectRefusal(
      feed(server, plaintextRecords(helloOf(16385))),
      "message too long",
      "decode_error",
    );
    // Its header is enough to tell, and the second hello has the same.
    const header = Uint8Array.of(1, 0, 0x40, 1);
    expectRefusal(feed(server, plaintextRecords(header)), "message too long", "decode_error");
    const second = feed(server, [
      plaintextRecords(hello({ keyShares: [] })),
      plaintextRecords(header),
    ]);
    expect([second.reason, second.alert]).toEqual(["message too long", "decode_error"]);
  },

  async maxHandshakeMessage() {
    for (
      const [size, reason] of [[300, "incorrect Finished"], [301, "message too long"]] as const
    ) {
      const pair = await Pair.attempt({
        server: { limits: { maxHandshakeMessage: 300 } },
        client: changing(20, new Uint8Array(size))!,
      });
      expect(pair.serverError?.reason).toBe(reason);
    }
    const pair = await Pair.attempt({
      server: { clientAuth: "request" },
      client: { certificate: await clientCertificate(), ...changing(15, new Uint8Array(16385)) },
    });
    expectEnd(pair, "message too long", "decode_error", "application");
  },

  async maxCertificateMessage() {
    const certificate = await clientCertificate();
    const size = 4 + 3 + certificate.chain[0]!.length + 2;
    for (const [limit, reason] of [[size, undefined], [size - 1, "message too long"]] as const) {
      const pair = await Pair.attempt({
        server: { clientAuth: "require", limits: { maxCertificateMessage: limit } },
        client: { certificate },
      });
      expect(pair.serverError?.reason).toBe(reason);
    }
    // Compressed, it is the size declared that counts.
    const pair = await Pair.attempt({
      server: {
        clientAuth: "require",
        compression: [1],
        limits: { maxCertificateMessage: size - 1 },
      },
      client: { certificate: { ...certificate, compression: 1 } },
    });
    expectEnd(pair, "bad compressed certificate", "bad_certificate", "application");
  },

  async maxCertificateEntries() {
    const { chain, keyPem } = await clientCertificate();
    for (const [count, reason] of [[10, undefined], [11, "too many certificates"]] as const) {
      const pair = await Pair.attempt({
        server: { clientAuth: "require" },
        client: { certificate: { chain: Array<Uint8Array>(count).fill(chain[0]!), keyPem } },
      });
      if (reason === undefined) expect(pair.negotiated?.client?.chain.length).toBe(10);
      else expectEnd(pair, reason, "decode_error", "application");
    }
  },

  async maxPostHandshakeMessage() {
    const pair = await Pair.connect();
    await clientSends(pair, 22, Uint8Array.of(24, 0, 0, 2));
    expectEnd(pair, "message too long", "decode_error", "application");
  },

  async maxUselessRecords() {
    for (const [count, reason] of [[32, undefined], [33, "too many useless records"]] as const) {
      const pair = await Pair.connect();
      for (let i = 0; i < count; i++) pair.client.records.queue(23, new Uint8Array(0));
      await pair.client.records.flush();
      await pair.settle();
      if (reason === undefined) await echo(pair);
      else expectEnd(pair, reason, "unexpected_message", "application");
    }
  },

  async maxUserCanceled() {
    for (const [count, reason] of [[4, undefined], [5, "too many alerts"]] as const) {
      const pair = await Pair.connect();
      for (let i = 0; i < count; i++) pair.client.records.queue(21, Uint8Array.of(1, 90));
      await pair.client.records.flush();
      await pair.settle();
      if (reason === undefined) await echo(pair);
      else expectEnd(pair, reason, "unexpected_message", "application");
    }
  },

  async maxKeyUpdatesWithoutData() {
    const pair = await Pair.connect({ server: { limits: { maxKeyUpdatesWithoutData: 3 } } });
    for (let i = 0; i < 3; i++) await pair.client.updateKeys();
    await echo(pair);
    for (let i = 0; i < 4; i++) await pair.client.updateKeys();
    await pair.settle();
    expectEnd(pair, "too many KeyUpdates", "unexpected_message", "application");
  },

  async maxPskIdentities() {
    const server = await testServer({ limits: { maxPskIdentities: 1 } });
    const [session] = await (await Pair.connect({ server })).tickets();
    const other = { ...session!, ticket: session!.ticket.map((byte) => byte ^ 1) };
    for (
      const [sessions, resumed] of [
        [[session!, other], true],
        [[other, session!], false],
      ] as const
    ) {
      const pair = await Pair.connect({ server, client: { sessions } });
      expect(pair.negotiated?.resumed).toBe(resumed);
    }
  },

  async maxSkippedEarlyData() {
    for (
      const [bytes, reason] of [[978, undefined], [979, "too much skipped early data"]] as const
    ) {
      const pair = await Pair.attempt({
        server: { limits: { maxSkippedEarlyData: 1000 } },
        client: { earlyDataBytes: bytes },
      });
      if (reason === undefined) await echo(pair);
      else expectEnd(pair, reason, "unexpected_message", "application");
    }
  },

  async rekeyAfterRecords() {
    const pair = await Pair.connect({ server: { limits: { rekeyAfterRecords: 3 } } });
    pair.server.flushTickets();
    for (let i = 0; i < 2; i++) pair.serverSays(Uint8Array.of(1));
    await pair.settle();
    expect(pair.client.keyUpdates.received).toBe(0);
    pair.serverSays(Uint8Array.of(1));
    await pair.settle();
    expect(pair.client.keyUpdates.received).toBe(1);
  },

  async recordSizeLimit() {
    for (const [size, reason] of [[511, undefined], [512, "record overflow"]] as const) {
      const pair = await Pair.connect({
        server: { limits: { recordSizeLimit: 512 } },
        client: { recordSizeLimit: 16385 },
      });
      expect(pair.client.negotiated.recordSizeLimit).toBe(512);
      pair.client.records.maxInnerPlaintext = 16385;
      await clientSends(pair, 23, new Uint8Array(size));
      if (reason === undefined) expect(pair.output.plaintextReceived.length).toBe(size);
      else expectEnd(pair, reason, "record_overflow", "application");
    }
  },

  async maxEchCandidates() {
    const keys = [1, 2, 3].map(() => testEchKey({ configId: 5 }));
    for (const [limit, outcome] of [[3, "accepted"], [2, "rejected"]] as const) {
      const pair = await Pair.attempt({
        server: { ech: keys, limits: { maxEchCandidates: limit } },
        client: { ech: { configList: keys[2]!.configList } },
      });
      expect(pair.server.ech?.outcome).toBe(outcome);
    }
  },

  async ticketCount() {
    const pair = await Pair.connect({ server: { limits: { ticketCount: 5 } } });
    const sessions = await pair.tickets();
    expect(sessions.length).toBe(5);
    const none = await Pair.connect({ server: { limits: { ticketCount: 0 } } });
    expect(await none.tickets()).toEqual([]);
    const again = await Pair.connect({ server: pair.test, client: { sessions } });
    expect((await again.tickets()).length).toBe(1);
  },
};

describe("tls13 14.1", () => {
  test.each(Object.keys(DEFAULT_LIMITS) as (keyof Limits)[])("%s", async (name) => {
    await tests[name]();
  });

  test("the defaults are the page's", () => {
    expect(DEFAULT_LIMITS).toEqual({
      maxClientHello: 16384,
      maxHandshakeMessage: 16384,
      maxCertificateMessage: 102400,
      maxCertificateEntries: 10,
      maxPostHandshakeMessage: 1,
      maxUselessRecords: 32,
      maxUserCanceled: 4,
      maxKeyUpdatesWithoutData: 32,
      maxPskIdentities: 4,
      maxSkippedEarlyData: 16384,
      rekeyAfterRecords: 8388608,
      recordSizeLimit: 16385,
      maxEchCandidates: 4,
      ticketCount: 2,
    });
  });

  test("every limit is named where it is held", () => {
    const folder = join(import.meta.dirname, "../../../src/tls");
    const files = [
      "connection",
      "handshake",
      "client-flight",
      "server-flight",
      "traffic",
      "negotiate",
    ];
    const more = ["record-reader", "ech", "link", "wire/certificate"];
    const source = [...files, ...more].map((file) =>
      readFileSync(join(folder, `${file}.ts`), "utf8")
    )
      .join("\n");
    for (const name of Object.keys(DEFAULT_LIMITS)) expect(source).toContain(name);
  });
});
