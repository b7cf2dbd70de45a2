import { describe, expect, test } from "vitest";
import { TlsError } from "../../../src/tls/error.ts";
import { hello, joined, plaintextRecords } from "../../support/hello-builder.ts";
import { Pair } from "../../support/pair.ts";
import { feed, recordsOf } from "../../support/raw-server.ts";
import { testServer } from "../../support/server-config.ts";
import { clientSends, DATA, echo, expectEnd, HANDSHAKE_STATES as STATES, restIn } from "./kit.ts";

const ALERT = 21;
const CLOSE_NOTIFY = Uint8Array.of(1, 0);
const USER_CANCELED = Uint8Array.of(1, 90);

describe("after the handshake", () => {
  test("tls13 9: close_notify from the client: told once, and our side goes on writing", async () => {
    const pair = await Pair.connect();
    await pair.client.closeWrite();
    expect(pair.output.isClosed).toBe(true);
    expect(pair.server.wantsInput).toBe(true);
    pair.serverSays(DATA);
    expect([...(await pair.client.read())!]).toEqual([...DATA]);
    pair.server.closeWrite();
    expect(await pair.client.read()).toBeUndefined();
  });

  test("tls13 9: the level of close_notify does not matter", async () => {
    const pair = await Pair.connect();
    await clientSends(pair, ALERT, Uint8Array.of(2, 0));
    expect(pair.output.isClosed).toBe(true);
    expect(pair.serverError).toBeUndefined();
  });

  test.each([
    ["garbage", new Uint8Array(40).fill(0xff)],
    ["half a record", Uint8Array.of(23, 3, 3)],
    ["a record that does not open", Uint8Array.of(23, 3, 3, 0, 20, ...new Uint8Array(20))],
    ["a plaintext ClientHello", plaintextRecords(hello())],
    ["a change_cipher_spec", Uint8Array.of(20, 3, 3, 0, 1, 1)],
  ])("tls13 9: what follows close_notify is ignored: %s", async (_, bytes) => {
    const pair = await Pair.connect();
    await pair.client.closeWrite();
    const flights = pair.output.sent.length;
    for (let i = 0; i < 3; i++) pair.inject(bytes);
    expect(pair.serverError).toBeUndefined();
    expect(pair.output.sent.length).toBe(flights);
    pair.serverSays(DATA);
    expect([...(await pair.client.read())!]).toEqual([...DATA]);
  });

  test("tls13 9: it is ignored in the same chunk, too, and by the byte", async () => {
    for (const options of [{}, { chunkBytes: 1 }]) {
      const pair = await Pair.connect(options);
      const { records } = pair.client;
      records.queueAlert("close_notify");
      records.queue(23, DATA);
      records.queueAlert("internal_error");
      records.queueRecord(new Uint8Array(20).fill(0xff));
      await records.flush();
      expect(pair.serverError).toBeUndefined();
      expect(pair.output.isClosed).toBe(true);
      expect(pair.output.plaintextReceived.length).toBe(0);
    }
  });

  test("tls13 9: our close_notify ends our side, and theirs goes on", async () => {
    const pair = await Pair.connect();
    pair.server.closeWrite();
    expect(await pair.client.read()).toBeUndefined();
    await pair.client.write(DATA);
    expect([...pair.output.plaintextReceived]).toEqual([...DATA]);
    expect(() => pair.server.send(DATA, 0, 3)).toThrow(RangeError);
    const flights = pair.output.sent.length;
    pair.server.closeWrite();
    pair.server.flushTickets();
    expect(pair.output.sent.length).toBe(flights);
    await pair.client.closeWrite();
    expect(pair.output.isClosed).toBe(true);
  });

  test("tls13 9: KeyUpdate after our close_notify: the read key changes, nothing is answered", async () => {
    const pair = await Pair.connect();
    pair.server.closeWrite();
    const flights = pair.output.sent.length;
    await pair.client.records.flush();
    for (let i = 0; i < 3; i++) {
      await pair.client.updateKeys(true);
      await pair.client.write(DATA);
    }
    expect(pair.output.plaintextReceived.length).toBe(9);
    expect(pair.output.sent.length).toBe(flights);
    expect(pair.serverError).toBeUndefined();
  });

  test("tls13 9: nothing follows our close_notify, an alert neither", async () => {
    const pair = await Pair.connect();
    pair.server.closeWrite();
    const flights = pair.output.sent.length;
    pair.server.fail("internal error");
    expect(pair.output.sent.length).toBe(flights);
    expect(pair.server.wantsInput).toBe(false);

    const other = await Pair.connect();
    other.server.closeWrite();
    const before = other.output.sent.length;
    await clientSends(other, 22, Uint8Array.of(24, 0, 0, 1, 9));
    expect(other.serverError?.reason).toBe("bad KeyUpdate");
    expect(other.output.sent.length).toBe(before);
  });

  test("tls13 7: who has closed before anything was sent to it gets no ticket, and with an answer it does", async () => {
    for (const answers of [false, true]) {
      const pair = await Pair.connect();
      await pair.client.closeWrite();
      if (answers) pair.serverSays(DATA);
      pair.server.closeWrite();
      if (answers) expect([...(await pair.client.read())!]).toEqual([...DATA]);
      expect(await pair.client.read()).toBeUndefined();
      expect(pair.client.sessions.length).toBe(answers ? 2 : 0);
    }
  });

  test("tls13 9: tickets go out before close_notify", async () => {
    const pair = await Pair.connect();
    pair.server.closeWrite();
    await pair.settle();
    expect(pair.client.sessions.length).toBe(2);
    expect(pair.client.isEnded).toBe(true);
  });

  test("tls13 9: user_canceled of any level is ignored, up to 4 in a row", async () => {
    const pair = await Pair.connect();
    for (const level of [1, 2, 1, 7]) await clientSends(pair, ALERT, Uint8Array.of(level, 90));
    await echo(pair);
    for (let i = 0; i < 4; i++) await clientSends(pair, ALERT, USER_CANCELED);
    await clientSends(pair, ALERT, CLOSE_NOTIFY);
    expect(pair.output.isClosed).toBe(true);
  });

  test("tls13 9: the fifth user_canceled in a row is too much", async () => {
    const pair = await Pair.connect();
    for (let i = 0; i < 5; i++) await clientSends(pair, ALERT, USER_CANCELED);
    expectEnd(pair, "too many alerts", "unexpected_message", "application");
  });

  test.each([[1, 40], [2, 80], [1, 121], [2, 200], [9, 100]])(
    "tls13 9: alert %i %i is fatal and is not answered",
    async (level, code) => {
      const pair = await Pair.connect();
      const flights = pair.output.sent.length;
      await clientSends(pair, ALERT, Uint8Array.of(level, code));
      expect(pair.output.received).toMatchObject({ reason: "received alert", received: code });
      expect(pair.server.wantsInput).toBe(false);
      expect(() => pair.server.receive(DATA, 0)).toThrow(pair.output.received);
      expect(pair.output.sent.length).toBe(flights);
      expect(() => pair.server.send(DATA, 0, 3)).toThrow(TlsError);
      pair.server.closeWrite();
      expect(pair.output.sent.length).toBe(flights);
    },
  );

  test("tls13 5.1: what follows a failing record in the same chunk is not read", async () => {
    const pair = await Pair.connect();
    const { records } = pair.client;
    records.queue(22, Uint8Array.of(24, 0, 0, 1, 9));
    records.queue(23, DATA);
    await records.flush();
    expect(pair.serverError?.reason).toBe("bad KeyUpdate");
    expect(pair.output.plaintextReceived.length).toBe(0);
  });

  test("tls13 9: both sides close, by the byte and in records of one byte", async () => {
    for (const options of [{ chunkBytes: 1 }, { client: { fragmentBytes: 1 } }]) {
      const pair = await Pair.connect(options);
      await echo(pair);
      await pair.client.updateKeys(true);
      await echo(pair);
      pair.server.closeWrite();
      expect(await pair.client.read()).toBeUndefined();
    }
  });
});

/** ServerHello and its change_cipher_spec wait for the signature, or for what comes in its place. */
const heldIn = (state: string) => state === "AwaitSignature" ? 2 : 0;

describe("during the handshake", () => {
  test.each(STATES)("fail in %s: one alert, the same error for ever", async (state) => {
    const pair = await restIn(state);
    const before = pair.output.sent.length;
    pair.server.fail("internal error");
    expect(pair.output.sent.length).toBe(before + 1);
    expect(recordsOf(pair.output.sent.at(-1)!).length).toBe(1 + heldIn(state));
    expect(pair.server.wantsInput).toBe(false);
    pair.server.fail("access denied");
    pair.server.closeWrite();
    pair.server.flushTickets();
    pair.server.flushed();
    expect(() => pair.server.receive(plaintextRecords(hello()), pair.nowMs))
      .toThrow(expect.objectContaining({ reason: "internal error" }));
    expect(pair.output.sent.length).toBe(before + 1);
  });

  test.each(STATES)("tls13 9: closeWrite in %s is the end: nothing follows it", async (state) => {
    const pair = await restIn(state);
    const before = pair.output.sent.length;
    pair.server.closeWrite();
    expect(pair.output.sent.length).toBe(before + 1);
    expect(recordsOf(pair.output.sent.at(-1)!).length).toBe(1 + heldIn(state));
    expect(pair.server.wantsInput).toBe(false);
    pair.server.closeWrite();
    pair.server.fail("internal error");
    expect(() => pair.server.receive(plaintextRecords(hello()), pair.nowMs))
      .toThrow(expect.objectContaining({ reason: "closed during the handshake" }));
    expect(pair.output.sent.length).toBe(before + 1);
  });

  test.each(STATES)("send and exportKeyingMaterial in %s are the caller's fault", async (state) => {
    const pair = await restIn(state);
    expect(() => pair.server.send(DATA, 0, 3)).toThrow(RangeError);
    expect(() => pair.server.exportKeyingMaterial("x", DATA, 8)).toThrow(RangeError);
    expect(pair.server.wantsInput).toBe(!state.startsWith("Await"));
    expect(pair.server.isEstablished).toBe(false);
  });

  test.each(STATES)("in %s no question is answered but the one that was asked", async (state) => {
    const pair = await restIn(state);
    const { server, test: { site } } = pair;
    if (state !== "AwaitSite") expect(() => server.useSite(site)).toThrow(RangeError);
    if (state !== "AwaitSignature") {
      expect(() => server.useSignature(DATA)).toThrow(RangeError);
      expect(() => server.failSignature()).toThrow(RangeError);
    }
    if (state !== "AwaitClientVerdict") {
      expect(() => server.useClientVerdict({ verdict: "verified" })).toThrow(RangeError);
    }
    expect(server.state).toBe(state);
  });

  test("tls13 9: close_notify before the hello is no TLS", async () => {
    const fed = feed(await testServer(), Uint8Array.of(21, 3, 3, 0, 2, 1, 0));
    expect([fed.reason, fed.alert]).toEqual(["unexpected record", "unexpected_message"]);
  });

  test("tls13 9: close_notify after our ServerHello, in clear, ends it and is answered", async () => {
    const fed = feed(await testServer(), [
      plaintextRecords(hello()),
      Uint8Array.of(21, 3, 3, 0, 2, 1, 0),
    ]);
    expect(fed.reason).toBe("closed during the handshake");
    expect(fed.records).toEqual([22, 20, 23, 23]);
    expect(fed.output.isClosed).toBe(false);
  });

  test("tls13 9: close_notify after a HelloRetryRequest is answered in clear", async () => {
    const fed = feed(await testServer(), [
      plaintextRecords(hello({ keyShares: [] })),
      Uint8Array.of(21, 3, 3, 0, 2, 1, 0),
    ]);
    expect([fed.reason, fed.alert]).toEqual(["closed during the handshake", "close_notify"]);
    expect(fed.records).toEqual([22, 20, 21]);
  });

  test("tls13 9: user_canceled and then close_notify is how a client gives up", async () => {
    const fed = feed(await testServer(), [
      plaintextRecords(hello()),
      Uint8Array.of(21, 3, 3, 0, 2, 1, 90),
      Uint8Array.of(21, 3, 3, 0, 2, 1, 0),
    ]);
    expect(fed.reason).toBe("closed during the handshake");
  });

  test("tls13 1.3: a fatal alert in clear after our ServerHello is heard and not answered", async () => {
    const fed = feed(await testServer(), [
      plaintextRecords(hello()),
      Uint8Array.of(21, 3, 3, 0, 2, 2, 47),
    ]);
    expect(fed.error).toMatchObject({ reason: "received alert", received: 47 });
    expect(fed.records).toEqual([22, 20, 23]);
  });

  test("tls13 1: an alert between the pieces of a message is unexpected_message", async () => {
    const bytes = hello();
    const fed = feed(await testServer(), [
      plaintextRecords(bytes.subarray(0, 50)),
      Uint8Array.of(21, 3, 3, 0, 2, 1, 90),
    ]);
    expect([fed.reason, fed.alert]).toEqual([
      "interleaved handshake message",
      "unexpected_message",
    ]);
  });

  test("tls13 1: alerts in pieces or in pairs are decode_error", async () => {
    for (const alert of [[1], [1, 90, 1, 90]]) {
      const fed = feed(await testServer(), [
        plaintextRecords(hello({ keyShares: [] })),
        plaintextRecords(Uint8Array.from(alert), { type: 21 }),
      ]);
      expect([fed.reason, fed.alert]).toEqual(["bad alert record", "decode_error"]);
    }
  });
});

describe("one chunk", () => {
  test("tls13 1.1: Finished, data, KeyUpdate, data and close_notify may come as one", async () => {
    const server = await testServer();
    const held: Uint8Array[] = [];
    const pair: Pair = await Pair.open({ server });
    const inject = pair.inject.bind(pair);
    let connected = false;
    pair.inject = (bytes) => {
      // The hello goes at once; from the second flight on everything is held back.
      if (!connected && bytes[0] === 22) inject(bytes);
      else held.push(bytes);
    };
    await pair.handshake();
    connected = true;
    await pair.client.write(DATA);
    await pair.client.updateKeys(false);
    await pair.client.write(DATA);
    await pair.client.updateKeys(true);
    await pair.client.write(DATA);
    await pair.client.closeWrite();
    expect(pair.server.state).toBe("ExpectFinished");
    inject(joined(held));
    expect(pair.serverError).toBeUndefined();
    expect(pair.output.plaintextReceived.length).toBe(9);
    expect(pair.output.isClosed).toBe(true);
    await pair.settle();
    expect(pair.client.keyUpdates.received).toBe(1);
  });
});
