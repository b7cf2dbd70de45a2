import { describe, expect, test } from "vitest";
import { joined } from "../../support/hello-builder.ts";
import { Pair } from "../../support/pair.ts";
import { recordsOf } from "../../support/raw-server.ts";
import { clientSends, DATA, echo, expectEnd } from "./kit.ts";

const HANDSHAKE = 22;
const REQUEST = Uint8Array.of(24, 0, 0, 1, 1);
const UPDATE = Uint8Array.of(24, 0, 0, 1, 0);

/** As an update from the client whose keys change with it. */
async function update(pair: Pair, message: Uint8Array): Promise<void> {
  pair.client.records.queue(HANDSHAKE, message);
  pair.client.useNextWriteKeys();
  await pair.client.records.flush();
}

describe("KeyUpdate from the client", () => {
  test.each([0x1301, 0x1302, 0x1303])(
    "tls13 9: it changes the read key, suite %i",
    async (suite) => {
      const pair = await Pair.connect({ client: { suites: [suite] } });
      for (let i = 0; i < 3; i++) {
        await pair.client.updateKeys(false);
        await echo(pair);
      }
      expect(pair.client.keyUpdates).toEqual({ sent: 3, received: 0 });
    },
  );

  test("tls13 9: a request is answered by one of ours, before any data, which asks for nothing", async () => {
    const pair = await Pair.connect();
    await pair.client.updateKeys(true);
    const answer = recordsOf(pair.output.sent.at(-1)!);
    expect(answer.map(({ fragment }) => fragment.length)).toEqual([5 + 1 + 16]);
    await echo(pair);
    expect(pair.client.keyUpdates).toEqual({ sent: 1, received: 1 });
  });

  test("tls13 9: several requests while our answer lies in the socket are answered once", async () => {
    const pair = await Pair.connect({ holdFlushed: true });
    const before = pair.output.sent.length;
    for (let i = 0; i < 20; i++) await pair.client.updateKeys(true);
    expect(pair.output.sent.length).toBe(before + 1);
    pair.server.flushed();
    await pair.client.updateKeys(true);
    await pair.client.updateKeys(true);
    expect(pair.output.sent.length).toBe(before + 2);
    await echo(pair);
    expect(pair.client.keyUpdates).toEqual({ sent: 22, received: 2 });
  });

  test("tls13 9: several in one chunk are answered once", async () => {
    const pair = await Pair.connect();
    const before = pair.output.sent.length;
    const { records } = pair.client;
    for (let i = 0; i < 10; i++) {
      records.queue(HANDSHAKE, REQUEST);
      pair.client.useNextWriteKeys();
    }
    await records.flush();
    expect(pair.output.sent.length).toBe(before + 1);
    expect(recordsOf(pair.output.sent.at(-1)!).length).toBe(1);
    await echo(pair);
  });

  test("tls13 9: what was sealed before it stays as it is; what comes after uses the new key", async () => {
    const pair = await Pair.connect({ holdFlushed: true });
    pair.serverSays(DATA);
    await pair.client.updateKeys(true);
    pair.serverSays(DATA);
    expect((await pair.client.readExactly(6)).length).toBe(6);
    expect(pair.client.keyUpdates.received).toBe(1);
  });

  test("tls13 9: requests that cross: each side goes two generations on", async () => {
    const pair = await Pair.connect({ server: { limits: { rekeyAfterRecords: 1 } } });
    pair.serverSays(DATA);
    pair.serverSays(DATA); // ours, unasked
    await pair.client.updateKeys(true);
    await echo(pair);
    await pair.settle();
    expect(pair.client.keyUpdates.received).toBeGreaterThan(1);
  });

  test("tls13 14.1 maxKeyUpdatesWithoutData: 32 in a row, and data sets it back", async () => {
    const pair = await Pair.connect();
    for (let i = 0; i < 32; i++) await pair.client.updateKeys(i % 2 === 0);
    await echo(pair);
    for (let i = 0; i < 32; i++) await pair.client.updateKeys(false);
    expect(pair.serverError).toBeUndefined();
    await pair.client.updateKeys(false);
    await pair.settle();
    expectEnd(pair, "too many KeyUpdates", "unexpected_message", "application");
  });

  test("tls13 14.1 maxKeyUpdatesWithoutData: empty records do not set it back", async () => {
    const pair = await Pair.connect();
    for (let i = 0; i < 33; i++) {
      if (pair.serverError !== undefined) break;
      await pair.client.updateKeys(false);
      pair.client.records.queue(23, new Uint8Array(0));
      await pair.client.records.flush();
    }
    await pair.settle();
    expectEnd(pair, "too many KeyUpdates", "unexpected_message", "application");
  });

  test.each([2, 255])("tls13 9: a body of %i is illegal_parameter", async (value) => {
    const pair = await Pair.connect();
    await clientSends(pair, HANDSHAKE, Uint8Array.of(24, 0, 0, 1, value));
    expectEnd(pair, "bad KeyUpdate", "illegal_parameter", "application");
  });

  test.each(
    [
      [[24, 0, 0, 0], "message too short"],
      [[24, 0, 0, 2, 0, 0], "message too long"],
      [[24, 0xff, 0xff, 0xff], "message too long"],
    ] as const,
  )("tls13 9: another length is decode_error: %j", async (bytes, reason) => {
    const pair = await Pair.connect();
    await clientSends(pair, HANDSHAKE, Uint8Array.from(bytes));
    expectEnd(pair, reason, "decode_error", "application");
  });

  test("tls13 9: it ends its record", async () => {
    for (const more of [Uint8Array.of(24), UPDATE]) {
      const pair = await Pair.connect();
      await clientSends(pair, HANDSHAKE, joined([UPDATE, more]));
      expectEnd(pair, "excess handshake bytes", "unexpected_message", "application");
    }
  });

  test("tls13 9: it may come in pieces", async () => {
    const pair = await Pair.connect({ client: { fragmentBytes: 1 } });
    await pair.client.updateKeys(true);
    await echo(pair);
  });

  test("tls13 9: a record under the new key before it is bad_record_mac", async () => {
    const pair = await Pair.connect();
    pair.client.useNextWriteKeys();
    await clientSends(pair, 23, DATA);
    expectEnd(pair, "bad record MAC", "bad_record_mac", "application");
  });

  test("tls13 9: a record under the old key after it is bad_record_mac", async () => {
    const pair = await Pair.connect();
    pair.client.records.queue(HANDSHAKE, UPDATE);
    await clientSends(pair, 23, DATA);
    expectEnd(pair, "bad record MAC", "bad_record_mac", "application");
  });

  test("tls13 9: it may come by the byte, with data behind it", async () => {
    const pair = await Pair.connect({ chunkBytes: 1 });
    await update(pair, REQUEST);
    await echo(pair);
    await update(pair, UPDATE);
    await echo(pair);
  });
});

describe("KeyUpdate of ours", () => {
  test.each([0x1301, 0x1302])(
    "tls13 1.2: before an AES key has sealed too much, suite %i",
    async (suite) => {
      const pair = await Pair.connect({
        server: { limits: { rekeyAfterRecords: 5 } },
        client: { suites: [suite] },
      });
      for (let i = 0; i < 23; i++) pair.serverSays(DATA);
      expect((await pair.client.readExactly(69)).length).toBe(69);
      expect(pair.client.keyUpdates.received).toBeGreaterThanOrEqual(4);
      expect(pair.client.keyUpdates.sent).toBe(0); // nothing was asked of the client
      await echo(pair);
    },
  );

  test("tls13 1.2: ChaCha20-Poly1305 has no such limit", async () => {
    const pair = await Pair.connect({
      server: { limits: { rekeyAfterRecords: 5 } },
      client: { suites: [0x1303] },
    });
    for (let i = 0; i < 23; i++) pair.serverSays(DATA);
    await pair.client.readExactly(69);
    expect(pair.client.keyUpdates.received).toBe(0);
  });

  test("tls13 1.2: within bulk data as well", async () => {
    const pair = await Pair.connect({ server: { limits: { rekeyAfterRecords: 4 } } });
    const bytes = Uint8Array.from({ length: 400_000 }, (_, i) => i * 3);
    pair.serverSays(bytes);
    expect(await pair.client.readExactly(bytes.length)).toEqual(bytes);
    expect(pair.client.keyUpdates.received).toBeGreaterThanOrEqual(5);
  });
});
