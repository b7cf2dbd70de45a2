import { describe, expect, test } from "vitest";
import { ServerConnection } from "../../../src/tls/connection.ts";
import { hello, joined, plaintextRecords } from "../../support/hello-builder.ts";
import { Pair, type PairOptions } from "../../support/pair.ts";
import { recordsOf } from "../../support/raw-server.ts";
import { RecordingOutput } from "../../support/recording-output.ts";
import { START_MS, testServer } from "../../support/server-config.ts";
import { clientCertificate, DATA, echo, sealed, SecretLog, sessionsOf, signedBy } from "./kit.ts";

/** Signs as the server's own key would. */
async function slow(options: PairOptions = {}) {
  const quick = await testServer();
  const [credential] = quick.site.credentials;
  const server = {
    ...quick,
    site: {
      ...quick.site,
      credentials: [signedBy(credential!, undefined)],
    },
  };
  const sign = (request: { scheme: number; content: Uint8Array }) =>
    credential!.sign!(request.scheme, request.content);
  return { options: { ...options, server } satisfies PairOptions, sign };
}

describe("AwaitSite", () => {
  test("the site may come later, whatever the hello was", async () => {
    const cases: PairOptions[] = [
      {},
      { chunkBytes: 1 },
      { client: { keyShares: [] } },
      { server: { ech: true }, client: { ech: true } },
      { server: { ech: true }, client: { ech: true, keyShares: [] } },
      { server: { ech: true }, client: { ech: "grease" } },
      { client: { earlyDataBytes: 100 } },
    ];
    for (const options of cases) {
      const pair = await Pair.open({ ...options, chooseSite: () => undefined });
      const done = pair.handshake();
      await pair.until(() => pair.server.state === "AwaitSite");
      expect(pair.server.wantsInput).toBe(false);
      expect(pair.output.sent).toEqual([]);
      expect(pair.server.ech).toBeDefined();
      pair.server.useSite(pair.test.site);
      await done;
      expect(pair.clientError).toBeUndefined();
      await echo(pair);
      expect(pair.output.asked.length).toBe(1);
    }
  });

  test("with a ticket", async () => {
    const server = await testServer();
    const sessions = await sessionsOf(server);
    const pair = await Pair.open({ server, client: { sessions }, chooseSite: () => undefined });
    const done = pair.handshake();
    await pair.until(() => pair.server.state === "AwaitSite");
    pair.server.useSite(server.site);
    await done;
    expect(pair.negotiated?.resumed).toBe(true);
  });

  test("the hello is the connection's by then: its bytes may change", async () => {
    const server = await testServer();
    const output = new RecordingOutput(server.site, { chooseSite: () => undefined });
    const connection = output.connection = new ServerConnection(server.config, output);
    const bytes = plaintextRecords(hello());
    connection.receive(bytes, START_MS);
    bytes.fill(0xee);
    connection.useSite(server.site);
    expect(recordsOf(joined(output.sent)).map(({ type }) => type)).toEqual([22, 20, 23]);
    // The session id is echoed as it came.
    expect([...output.sent[0]!.subarray(5 + 39, 5 + 39 + 32)]).toEqual(Array(32).fill(0x53));
  });

  test("what comes meanwhile is kept, and read in its order", async () => {
    const server = await testServer();
    const output = new RecordingOutput(server.site, { chooseSite: () => undefined });
    const connection = output.connection = new ServerConnection(server.config, output);
    connection.receive(plaintextRecords(hello()), START_MS);
    const later = joined([Uint8Array.of(20, 3, 3, 0, 1, 1), Uint8Array.of(21, 3, 3, 0, 2, 2, 40)]);
    for (const byte of later) connection.receive(Uint8Array.of(byte), START_MS);
    expect(connection.state).toBe("AwaitSite");
    connection.useSite(server.site);
    expect(output.received).toMatchObject({ reason: "received alert", received: 40 });
    expect(connection.wantsInput).toBe(false);
    expect(recordsOf(joined(output.sent)).map(({ type }) => type)).toEqual([22, 20, 23]);
  });

  test("a refusal later is a refusal, in clear", async () => {
    const pair = await Pair.open({ chooseSite: () => undefined });
    const done = pair.handshake();
    await pair.until(() => pair.server.state === "AwaitSite");
    expect(() => pair.server.useSite({ refuse: "unrecognized name" }))
      .toThrow(expect.objectContaining({ reason: "unrecognized name" }));
    await done;
    expect(pair.clientError).toMatchObject({
      alertReceived: "unrecognized_name",
      alertReceivedUnder: "plaintext",
    });
    expect(() => pair.server.useSite(pair.test.site)).toThrow();
  });

  test("a refusal of a name behind ECH is said under handshake keys", async () => {
    const pair = await Pair.open({
      server: { ech: true },
      client: { ech: true },
      chooseSite: () => undefined,
    });
    const done = pair.handshake();
    await pair.until(() => pair.server.state === "AwaitSite");
    expect(() => pair.server.useSite({ refuse: "unrecognized name" })).toThrow();
    await done;
    expect(pair.clientError).toMatchObject({
      alertReceived: "unrecognized_name",
      alertReceivedUnder: "handshake",
    });
  });

  test("answered twice is the caller's fault, and changes nothing", async () => {
    const pair = await Pair.open({ chooseSite: () => undefined });
    const done = pair.handshake();
    await pair.until(() => pair.server.state === "AwaitSite");
    pair.server.useSite(pair.test.site);
    expect(() => pair.server.useSite(pair.test.site)).toThrow(RangeError);
    await done;
    await echo(pair);
  });

  test("an answer after the end throws the end", async () => {
    const pair = await Pair.open({ chooseSite: () => undefined });
    void pair.handshake();
    await pair.until(() => pair.server.state === "AwaitSite");
    pair.server.fail("site lookup failed");
    expect(() => pair.server.useSite(pair.test.site))
      .toThrow(expect.objectContaining({ reason: "site lookup failed" }));
    expect(pair.output.sent.length).toBe(1);
  });
});

describe("AwaitSignature", () => {
  test("the signature may come at once, within the question", async () => {
    const { options, sign } = await slow();
    for (const chunkBytes of [100_000, 1]) {
      const pair = await Pair.connect({ ...options, chunkBytes, signature: sign });
      expect(pair.output.sent.length).toBe(1);
      await echo(pair);
    }
  });

  test("policy 8.9: or later: ServerHello waits for it, all goes out in one piece, and the client's bytes are kept", async () => {
    for (const client of [{}, { earlyDataBytes: 50 }, { keyShares: [] }]) {
      const { options, sign } = await slow();
      const pair = await Pair.open({ ...options, client, signature: () => undefined });
      const done = pair.handshake();
      await pair.until(() => pair.server.state === "AwaitSignature");
      expect(pair.server.wantsInput).toBe(false);
      const types = () => recordsOf(pair.serverWire).map(({ type }) => type);
      const before = pair.output.sent.length;
      expect(types()).toEqual(client.keyShares === undefined ? [] : [22, 20]);
      pair.server.useSignature(sign(pair.output.signatures[0]!));
      expect(types().slice(0, client.keyShares === undefined ? 3 : 4)).toEqual(
        client.keyShares === undefined ? [22, 20, 23] : [22, 20, 22, 23],
      );
      expect(pair.output.sent.length).toBe(before + 1);
      await done;
      expect(pair.clientError).toBeUndefined();
      await echo(pair);
    }
  });

  test("other connections use the same memory meanwhile", async () => {
    const { options, sign } = await slow();
    const waiting = await Pair.open({ ...options, signature: () => undefined });
    const done = waiting.handshake();
    await waiting.until(() => waiting.server.state === "AwaitSignature");
    for (let i = 0; i < 3; i++) {
      await echo(
        await Pair.connect({ ...options, signature: sign, client: { serverName: "b.example" } }),
      );
    }
    waiting.server.useSignature(sign(waiting.output.signatures[0]!));
    await done;
    await echo(waiting);
  });

  test("several wait at once, and are answered in any order", async () => {
    const { options, sign } = await slow();
    const pairs = await Promise.all(
      [1, 2, 3, 4].map(() => Pair.open({ ...options, signature: () => undefined })),
    );
    const done = pairs.map((pair) => pair.handshake());
    for (const pair of pairs) await pair.until(() => pair.server.state === "AwaitSignature");
    for (const pair of pairs.toReversed()) {
      pair.server.useSignature(sign(pair.output.signatures[0]!));
    }
    await Promise.all(done);
    for (const pair of pairs) await echo(pair);
  });

  test("what comes meanwhile is kept: an alert is heard after the flight", async () => {
    const { options, sign } = await slow();
    const output = new RecordingOutput(options.server.site, { signature: () => undefined });
    const connection = output.connection = new ServerConnection(options.server.config, output);
    connection.receive(plaintextRecords(hello()), START_MS);
    connection.receive(Uint8Array.of(21, 3, 3, 0, 2, 2, 40), START_MS);
    connection.useSignature(sign(output.signatures[0]!));
    expect(output.received).toMatchObject({ reason: "received alert", received: 40 });
    expect(output.sent.length).toBe(1);
    expect(recordsOf(output.sent[0]!).map(({ type }) => type)).toEqual([22, 20, 23]);
  });

  test("failSignature is internal_error under handshake keys, now or later", async () => {
    const { options } = await slow();
    const now = await Pair.attempt({ ...options, signature: () => "fail" });
    expect(now.clientError).toMatchObject({
      alertReceived: "internal_error",
      alertReceivedUnder: "handshake",
    });
    expect(now.server.wantsInput).toBe(false);
    const later = await Pair.open({ ...options, signature: () => undefined });
    const done = later.handshake();
    await later.until(() => later.server.state === "AwaitSignature");
    later.server.failSignature();
    expect(later.server.wantsInput).toBe(false);
    expect(() => later.server.useSignature(DATA)).toThrow(
      expect.objectContaining({ reason: "signer failed" }),
    );
    await done;
    expect(later.clientError).toMatchObject({
      alertReceived: "internal_error",
      alertReceivedUnder: "handshake",
    });
  });
});

describe("AwaitClientVerdict", () => {
  const asking = async (
    verdict: PairOptions["verdict"],
    how: PairOptions = {},
  ): Promise<PairOptions> => ({
    ...how,
    server: { clientAuth: "require_and_verify" },
    client: { ...how.client, certificate: await clientCertificate() },
    ...(verdict === undefined ? {} : { verdict }),
  });

  test("the verdict may come later: Finished and data are kept, in whatever pieces", async () => {
    for (const how of [{}, { chunkBytes: 1 }, { client: { fragmentBytes: 1 } }]) {
      const pair = await Pair.attempt(await asking(() => undefined, how));
      await pair.until(() => pair.server.state === "AwaitClientVerdict");
      await pair.client.write(DATA);
      expect(pair.server.wantsInput).toBe(false);
      expect(pair.negotiated).toBeUndefined();
      expect(pair.output.plaintextReceived.length).toBe(0);
      pair.server.useClientVerdict({ verdict: "verified" });
      pair.pump();
      expect(pair.negotiated?.client?.verdict).toBe("verified");
      expect([...pair.output.plaintextReceived]).toEqual([...DATA]);
      await echo(pair);
    }
  });

  test("Finished in the record of CertificateVerify is kept, too", async () => {
    let verify: Uint8Array | undefined;
    let records = 0;
    const secrets = new SecretLog();
    const quick = await asking(() => undefined);
    const server = await testServer({
      clientAuth: "require_and_verify",
      server: { keyLog: secrets.add },
    });
    let finished: Uint8Array | undefined;
    const pair = await Pair.attempt({
      ...quick,
      server,
      client: {
        ...quick.client,
        suites: [0x1301],
        hooks: {
          beforeSend(message, type) {
            if (type === 15) verify = message;
            if (type === 20) finished = message;
            return message;
          },
          // Certificate goes as it is, then both of the others in one record.
          beforeRecord(record) {
            if (record[0] !== 23) return record;
            if (++records === 2) return [];
            if (records !== 3) return record;
            const secret = secrets.get("CLIENT_HANDSHAKE_TRAFFIC_SECRET");
            return sealed(secret, 1, 22, joined([verify!, finished!]));
          },
        },
      },
    });
    expect(pair.server.state).toBe("AwaitClientVerdict");
    pair.server.useClientVerdict({ verdict: "verified" });
    expect(pair.server.state).toBe("Traffic");
    await echo(pair);
  });

  test("a refusal later is its alert, under application keys", async () => {
    const pair = await Pair.attempt(await asking(() => undefined));
    await pair.until(() => pair.server.state === "AwaitClientVerdict");
    expect(() => pair.server.useClientVerdict({ refuse: "certificate revoked" }))
      .toThrow(expect.objectContaining({ reason: "certificate revoked" }));
    await pair.settle();
    expect(pair.clientError).toMatchObject({
      alertReceived: "certificate_revoked",
      alertReceivedUnder: "application",
    });
    expect(pair.negotiated).toBeUndefined();
  });

  test("a bad Finished behind a good verdict is decrypt_error", async () => {
    const options = await asking(() => undefined);
    const pair = await Pair.attempt({
      ...options,
      client: {
        ...options.client,
        hooks: { beforeSend: (m, type) => type === 20 ? m.map((b, i) => i === 7 ? b ^ 1 : b) : m },
      },
    });
    await pair.until(() => pair.server.state === "AwaitClientVerdict");
    expect(() => {
      pair.server.useClientVerdict({ verdict: "verified" });
      pair.pump();
      if (pair.serverError !== undefined) throw pair.serverError;
    }).toThrow(expect.objectContaining({ reason: "incorrect Finished" }));
  });
});
