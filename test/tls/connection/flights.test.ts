import { describe, expect, test } from "vitest";
import { ServerConnection } from "../../../src/tls/connection.ts";
import { TlsError } from "../../../src/tls/error.ts";
import { hello, plaintextRecords } from "../../support/hello-builder.ts";
import { Pair } from "../../support/pair.ts";
import { feed, recordsOf } from "../../support/raw-server.ts";
import { RecordingOutput } from "../../support/recording-output.ts";
import { START_MS, testServer } from "../../support/server-config.ts";
import { clientCertificate, DATA, echo, recordSizes, sessionsOf } from "./kit.ts";

/** So many bytes of one value. */
const filled = (length: number, byte: number) => new Uint8Array(length).fill(byte);

describe("one call of send per flight", () => {
  test("a full handshake with tickets and data", async () => {
    const pair = await Pair.connect();
    expect(pair.output.sent.length).toBe(1);
    pair.serverSays(DATA);
    expect(pair.output.sent.length).toBe(2);
    expect(recordsOf(pair.output.sent[1]!).length).toBe(2); // data, tickets
    pair.serverSays(DATA);
    expect(recordsOf(pair.output.sent[2]!).length).toBe(1);
    pair.server.flushTickets();
    pair.server.closeWrite();
    expect(pair.output.sent.length).toBe(4);
  });

  test("a HelloRetryRequest, a resumption, a client certificate", async () => {
    const server = await testServer();
    const sessions = await sessionsOf(server);
    const retried = await Pair.connect({ server, client: { sessions, keyShares: [] } });
    expect(retried.output.sent.map((flight) => recordsOf(flight).map(({ type }) => type)))
      .toEqual([[22, 20], [22, 23]]);
    const shown = await Pair.connect({
      server: { clientAuth: "require" },
      client: { certificate: await clientCertificate() },
    });
    expect(shown.output.sent.length).toBe(1);
  });

  test("however small the pieces in which the client speaks", async () => {
    const pair = await Pair.connect({ chunkBytes: 1, client: { fragmentBytes: 1 } });
    expect(pair.output.sent.length).toBe(1);
  });

  test("an alert goes with what is queued before it", async () => {
    const fed = feed(await testServer(), plaintextRecords(hello()), {
      chooseSite: () => ({ refuse: "unrecognized name" }),
    });
    expect(fed.output.sent.length).toBe(1);
  });

  test("what is written in answer to data goes at the end of the chunk, in one piece", async () => {
    const pair = await Pair.connect();
    pair.server.flushTickets();
    const { output, server } = pair;
    const plaintext = output.plaintext.bind(output);
    output.plaintext = (bytes, start, end) => {
      plaintext(bytes, start, end);
      server.send(DATA.slice(), 0, 3);
    };
    const before = output.sent.length;
    const { records } = pair.client;
    for (let i = 0; i < 5; i++) records.queue(23, DATA);
    await records.flush();
    expect(output.sent.length).toBe(before + 1);
    expect(recordsOf(output.sent[before]!).length).toBe(5);
  });

  test("bulk data goes in pieces of some 64 KiB and arrives whole", async () => {
    const pair = await Pair.connect();
    const bytes = Uint8Array.from({ length: 300_000 }, (_, i) => i * 7);
    pair.serverSays(bytes);
    expect(pair.output.sent.length).toBeGreaterThan(3);
    expect(Math.max(...pair.output.sent.map((flight) => flight.length))).toBeLessThan(100_000);
    expect(await pair.client.readExactly(bytes.length)).toEqual(bytes);
  });

  test("send takes the part that it is told, and nothing of nothing", async () => {
    const pair = await Pair.connect();
    pair.server.flushTickets();
    const before = pair.output.sent.length;
    pair.server.send(DATA, 1, 1);
    expect(pair.output.sent.length).toBe(before);
    pair.server.send(Uint8Array.of(7, 8, 9, 10), 1, 3);
    expect([...(await pair.client.read())!]).toEqual([8, 9]);
  });
});

describe("connections that speak within one another's calls", () => {
  test("do not mix their bytes, whoever writes when", async () => {
    const server = await testServer();
    const pairs = await Promise.all([1, 2, 3].map(() => Pair.connect({ server })));
    const [a, b, c] = pairs as [Pair, Pair, Pair];
    const say = (pair: Pair, byte: number) => pair.server.send(filled(100, byte), 0, 100);
    // A hears data, answers, makes B speak, answers again; B's socket makes C speak, C's socket makes A speak.
    const heard = a.output.plaintext.bind(a.output);
    a.output.plaintext = (bytes, start, end) => {
      heard(bytes, start, end);
      say(a, 1);
      say(b, 2);
      say(a, 3);
    };
    let depth = 0;
    const onSend = b.output.onSend;
    b.output.onSend = (bytes) => {
      onSend(bytes);
      if (depth++ === 0) {
        say(c, 4);
        say(a, 5);
      }
    };
    await a.client.write(DATA);
    expect([...await a.client.readExactly(300)]).toEqual([
      ...filled(100, 1),
      ...filled(100, 5),
      ...filled(100, 3),
    ]);
    expect(await b.client.readExactly(100)).toEqual(filled(100, 2));
    expect(await c.client.readExactly(100)).toEqual(filled(100, 4));
    for (const pair of pairs) await echo(await quiet(pair));
  });

  test("not even where a third one speaks while the flight is given over", async () => {
    const server = await testServer();
    const [a, b, c] = await Promise.all(
      [1, 2, 3].map(() => Pair.connect({ server })),
    ) as [Pair, Pair, Pair];
    const say = (pair: Pair, byte: number) => pair.server.send(filled(100, byte), 0, 100);
    // C is reading when it lets B read; B has queued bytes when A wants the flight; B's socket makes C write.
    c.output.plaintext = () => b.inject(bWire);
    b.output.plaintext = () => {
      say(b, 2);
      say(a, 1);
    };
    const onSend = b.output.onSend;
    b.output.onSend = (bytes) => {
      onSend(bytes);
      say(c, 3);
    };
    let bWire = new Uint8Array(0);
    const inject = b.inject.bind(b);
    b.inject = (bytes) => bWire = bytes.slice();
    await b.client.write(DATA);
    b.inject = inject;
    await c.client.write(DATA);
    expect(await a.client.readExactly(100)).toEqual(filled(100, 1));
    expect(await b.client.readExactly(100)).toEqual(filled(100, 2));
    expect(await c.client.readExactly(100)).toEqual(filled(100, 3));
  });

  test("suffer nothing from another's socket", async () => {
    const server = await testServer();
    const [a, b] = await Promise.all([1, 2].map(() => Pair.connect({ server }))) as [Pair, Pair];
    const broken = new Error("socket is gone");
    const heard = a.output.plaintext.bind(a.output);
    a.output.plaintext = (bytes, start, end) => {
      heard(bytes, start, end);
      a.server.send(DATA.slice(), 0, 3);
      a.output.onSend = () => {
        throw broken;
      };
      expect(() => b.serverSays(DATA)).not.toThrow();
    };
    await expect(a.client.write(DATA)).rejects.toBe(broken);
    expect([...await b.client.readExactly(3)]).toEqual([...DATA]);
    await echo(b);
    expect(a.server.wantsInput).toBe(false);
  });

  test("share memory: none keeps a view, none finds another's bytes", async () => {
    const server = await testServer();
    const many = await Promise.all(Array.from({ length: 20 }, () => Pair.connect({ server })));
    for (const [i, pair] of many.entries()) pair.serverSays(filled(1000 + i, i));
    for (const [i, pair] of many.entries()) {
      expect(await pair.client.readExactly(1000 + i)).toEqual(filled(1000 + i, i));
    }
  });
});

describe("an exception in a method of Output", () => {
  const boom = new Error("boom");
  const fail = () => {
    throw boom;
  };

  test.each(
    ["chooseSite", "needSignature", "needClientVerdict", "established", "plaintext"] as const,
  )(
    "%s: it flies through, internal_error goes out, the connection is over, others are not",
    async (method) => {
      const certificate = await clientCertificate();
      const server = await testServer({
        slowSigner: method === "needSignature",
        ...(method === "needClientVerdict" && { clientAuth: "require_and_verify" as const }),
      });
      const pair = await Pair.open({ server, client: { certificate } });
      pair.output[method] = fail;
      await expect((async () => {
        await pair.handshake();
        await pair.client.write(DATA);
      })()).rejects.toBe(boom);
      expect(pair.server.wantsInput).toBe(false);
      const last = recordsOf(pair.output.sent.at(-1)!).at(-1)!;
      expect(last.fragment.length).toBe(method === "chooseSite" ? 2 : 2 + 1 + 16);
      const flights = pair.output.sent.length;
      for (let i = 0; i < 2; i++) {
        expect(() => pair.server.receive(Uint8Array.of(23), pair.nowMs))
          .toThrow(expect.objectContaining({ reason: "internal error", cause: boom }));
      }
      expect(pair.output.sent.length).toBe(flights);
      await echo(await Pair.connect());
    },
  );

  test("plaintext: what the connection had queued by then still goes out, before the alert", async () => {
    const pair = await Pair.connect();
    pair.server.flushTickets();
    await pair.settle();
    pair.output.plaintext = () => {
      pair.server.send(DATA.slice(), 0, 3);
      fail();
    };
    await expect(pair.client.write(DATA)).rejects.toBe(boom);
    expect([...(await pair.client.read())!]).toEqual([...DATA]);
    await expect(pair.client.read()).rejects.toMatchObject({ alertReceived: "internal_error" });
  });

  test("closed: our side is over, too", async () => {
    const pair = await Pair.connect();
    pair.output.closed = fail;
    await expect(pair.client.closeWrite()).rejects.toBe(boom);
    expect(pair.server.wantsInput).toBe(false);
  });

  test("send: nothing is sent after it, for a sealed record is lost", async () => {
    const pair = await Pair.connect();
    const send = pair.output.send.bind(pair.output);
    let calls = 0;
    pair.output.send = () => {
      calls++;
      fail();
    };
    expect(() => pair.serverSays(DATA)).toThrow(boom);
    pair.output.send = send;
    const flights = pair.output.sent.length;
    expect(() => pair.serverSays(DATA)).toThrow(TlsError);
    pair.server.closeWrite();
    pair.server.fail("internal error");
    expect([calls, pair.output.sent.length]).toEqual([1, flights]);
    await echo(await Pair.connect());
  });

  test("send, in the middle of bulk data: the same", async () => {
    const pair = await Pair.connect();
    let calls = 0;
    pair.output.send = () => {
      calls++;
      fail();
    };
    expect(() => pair.serverSays(new Uint8Array(300_000))).toThrow(boom);
    expect(calls).toBe(1);
    expect(pair.server.wantsInput).toBe(false);
    await echo(await Pair.connect());
  });

  test("send, of the first flight: the same", async () => {
    const server = await testServer();
    const output = new RecordingOutput(server.site);
    const connection = output.connection = new ServerConnection(server.config, output);
    output.send = fail;
    expect(() => connection.receive(plaintextRecords(hello()), START_MS)).toThrow(boom);
    expect(() => connection.receive(Uint8Array.of(20), START_MS)).toThrow(TlsError);
  });

  test("a key log that fails is one of them", async () => {
    const server = await testServer({ server: { keyLog: fail } });
    expect(() => feed(server, plaintextRecords(hello()))).toThrow(boom);
  });
});

describe("calls from within a call of Output", () => {
  test("fail in chooseSite: one alert, whatever is returned", async () => {
    const server = await testServer();
    const output = new RecordingOutput(server.site);
    const connection = output.connection = new ServerConnection(server.config, output);
    output.chooseSite = () => {
      connection.fail("access denied");
      return server.site;
    };
    connection.receive(plaintextRecords(hello()), START_MS);
    expect(output.sent.map(recordSizes)).toEqual([[7]]);
    expect(connection.wantsInput).toBe(false);
  });

  test("closeWrite in chooseSite: one close_notify", async () => {
    const server = await testServer();
    const output = new RecordingOutput(server.site);
    const connection = output.connection = new ServerConnection(server.config, output);
    output.chooseSite = () => {
      connection.closeWrite();
      return server.site;
    };
    connection.receive(plaintextRecords(hello()), START_MS);
    expect(output.sent.map((flight) => [...flight])).toEqual([[21, 3, 3, 0, 2, 1, 0]]);
  });

  test("fail in established and in plaintext: the rest of the chunk is not read", async () => {
    for (const method of ["established", "plaintext"] as const) {
      const pair = await Pair.open();
      let calls = 0;
      pair.output[method] = () => {
        calls++;
        pair.server.fail("access denied");
      };
      await pair.handshake();
      if (method === "plaintext") {
        const { records } = pair.client;
        for (let i = 0; i < 3; i++) records.queue(23, DATA);
        await records.flush();
      }
      await pair.settle();
      expect(calls).toBe(1);
      expect(pair.alert).toBe("access_denied");
    }
  });

  test("send and closeWrite in established: data, tickets, close_notify", async () => {
    const pair = await Pair.open();
    pair.output.established = () => {
      pair.server.send(DATA.slice(), 0, 3);
      pair.server.closeWrite();
    };
    await pair.handshake();
    expect([...(await pair.client.read())!]).toEqual([...DATA]);
    expect(await pair.client.read()).toBeUndefined();
    expect(pair.client.sessions.length).toBe(2);
    await pair.client.write(DATA);
    expect([...pair.output.plaintextReceived]).toEqual([...DATA]);
  });

  test("receive is the caller's fault", async () => {
    const pair = await Pair.connect();
    pair.output.plaintext = () => pair.server.receive(Uint8Array.of(23), pair.nowMs);
    await expect(pair.client.write(DATA)).rejects.toThrow(RangeError);
  });
});

/** Without the callbacks that a test put in. */
async function quiet(pair: Pair): Promise<Pair> {
  await pair.settle();
  delete (pair.output as { plaintext?: unknown }).plaintext;
  return pair;
}
