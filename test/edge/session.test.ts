import { describe, expect, it } from "vitest";
import { ClientError } from "../../src/client/client.ts";
import type { ConnectionFacts, Stream } from "../../src/edge/handlers/handler.ts";
import { testEchKey } from "../support/server-config.ts";
import { decode, get, handler, readText, readUntil, TestEdge, turn, until } from "./edge-kit.ts";

describe("a session", () => {
  it("shakes hands, hands data to its handler and answers", async () => {
    let facts: ConnectionFacts | undefined;
    const edge = await TestEdge.start({
      tls: { alpn: ["http/1.1"] },
      handlers: handler((stream, f) => {
        facts = f;
        return { data: (bytes, start, end) => void stream.write(bytes, start, end) };
      }),
    });
    const client = await edge.connect({ alpn: ["http/1.1"] });
    await client.write(new TextEncoder().encode("echo"));
    expect(await readUntil(client, "echo")).toBe("echo");
    expect(facts).toMatchObject({
      remoteAddress: "127.0.0.1",
      localAddress: "127.0.0.1",
      localPort: edge.port,
      serverName: "a.example",
      alpn: "http/1.1",
      resumed: false,
      publicNameOnly: false,
    });
    expect(edge.server.counters).toMatchObject({
      accepted: 1,
      live: 1,
      pending: 0,
      handshakes: { full: 1 },
      ech: { "not-offered": 1 },
      errors: {},
    });
    await client.close();
    await until(() => edge.server.liveConnections === 0);
  });

  it("carries 10 MB both ways", async () => {
    const edge = await TestEdge.start({ handlers: handler((stream) => echo(stream)) });
    const client = await edge.connect();
    const sent = new Uint8Array(10 * 1024 * 1024).map((_, i) => (i * 7) ^ (i >>> 9));
    const received = client.readExactly(sent.length);
    for (let at = 0; at < sent.length; at += 256 * 1024) {
      await client.write(sent.subarray(at, at + 256 * 1024));
    }
    expect(Buffer.compare(await received, sent)).toBe(0);
    await client.close();
  });

  it("hands over bytes that stay as they are for the whole call, whatever is written meanwhile", async () => {
    const edge = await TestEdge.start({
      handlers: handler((stream) => ({
        data(bytes, start, end) {
          for (let time = 0; time < 3; time++) stream.write(bytes, start, end);
        },
      })),
    });
    const client = await edge.connect();
    for (const length of [16_384, 5000, 4096]) {
      const sent = new Uint8Array(length).map((_, i) => (i * 7) ^ (i >>> 9));
      await client.write(sent);
      const received = await client.readExactly(3 * length);
      expect(Buffer.compare(received, Buffer.concat([sent, sent, sent]))).toBe(0);
    }
    await client.close();
  });

  it("answers each of many requests in one record with a long body", async () => {
    const body = "0123456789".repeat(500);
    const edge = await TestEdge.start({ sites: [{ names: ["a.example"], text: body }] });
    const client = await edge.connect();
    const requests = decode(get("a.example")).repeat(200);
    expect(requests.length).toBeGreaterThan(4096);
    await client.write(new TextEncoder().encode(requests));
    let text = "";
    while (text.split(body).length <= 200) text += decode((await client.read())!);
    expect(text.match(/HTTP\/1\.1 200 OK/g)).toHaveLength(200);
    await client.close();
  });

  it("policy 6.6: refuses an unknown name with unrecognized_name", async () => {
    const edge = await TestEdge.start();
    await expect(edge.connect({ serverName: "unknown.example" }))
      .rejects.toMatchObject({ alertReceived: "unrecognized_name" });
    expect(edge.server.counters).toMatchObject({
      handshakes: { failed: 1 },
      errors: { "unrecognized name": 1 },
      alertsSent: { unrecognized_name: 1 },
    });
  });

  it("policy 6.3: serves the only site without a name, and of two sites none", async () => {
    const one = await TestEdge.start();
    const client = await one.connect({ serverName: undefined });
    await client.close();
    const two = await TestEdge.start({
      sites: [{ names: ["a.example"] }, { names: ["b.example"] }],
    });
    await expect(two.connect({ serverName: undefined }))
      .rejects.toMatchObject({ alertReceived: "missing_extension" });
  });

  it("uses a new snapshot for new connections, and keeps the old one for running ones", async () => {
    const edge = await TestEdge.start({ sites: [{ names: ["a.example", "b.example"] }] });
    const before = await edge.connect();
    const other = await TestEdge.start({ sites: [{ names: ["b.example"] }] });
    edge.server.useSnapshot(other.snapshot);
    await expect(edge.connect()).rejects.toMatchObject({ alertReceived: "unrecognized_name" });
    await before.write(get("b.example"));
    expect(await readUntil(before, "this is a.example")).toContain("200 OK");
    await before.close();
  });
});

describe("the exception boundary", () => {
  it("ends the one connection with internal_error, and says nothing of what the peer sent", async () => {
    let calls = 0;
    const edge = await TestEdge.start({
      rethrow: false,
      handlers: handler((stream) => ({
        data(bytes, start, end) {
          if (calls++ === 0) throw new SyntaxError(`secret ${decode(bytes.subarray(start, end))}`);
          stream.write(bytes, start, end);
        },
      })),
    });
    const [broken, fine] = [await edge.connect(), await edge.connect()];
    await broken.write(new TextEncoder().encode("payload"));
    const error = await readText(broken).catch((error: unknown) => error);
    expect(error).toBeInstanceOf(ClientError);
    expect(error).toMatchObject({ alertReceived: "internal_error" });
    await fine.write(new TextEncoder().encode("still here"));
    expect(await readUntil(fine, "here")).toBe("still here");
    expect(edge.server.counters.exceptions).toBe(1);
    const [line] = edge.log.filter((line) => line.level === "error");
    expect(line).toMatchObject({ event: "exception_ended_connection", err: "SyntaxError" });
    expect(line?.where).toContain("session.test.ts");
    expect(JSON.stringify(edge.log)).not.toMatch(/secret|payload/);
    await fine.close();
  });

  it("holds for exceptions at the opening, at the end, at close and in drain", async () => {
    const boom = (): never => {
      throw new Error("boom");
    };
    for (const where of ["open", "end", "close"] as const) {
      const edge = await TestEdge.start({
        rethrow: false,
        handlers: handler(() => where === "open" ? boom() : { [where]: boom }),
      });
      const client = await edge.connect().catch(() => undefined);
      await client?.close().catch(() => {});
      await until(() => edge.server.counters.exceptions === 1);
      edge.clock.advance(60_000);
      await until(() => edge.server.liveConnections === 0);
    }
  });
});

describe("deadlines", () => {
  it("policy 5: a connection that says nothing is closed after 10 s, without an alert", async () => {
    const edge = await TestEdge.start();
    const client = await edge.raw();
    await until(() => edge.server.liveConnections === 1);
    edge.clock.advance(9_750);
    await turn();
    expect(client.closed || client.ended).toBe(false);
    edge.clock.advance(500);
    await until(() => client.closed || client.ended);
    expect(client.received.length).toBe(0);
    await until(() => edge.server.liveConnections === 0);
    expect(edge.server.counters).toMatchObject({
      pending: 0,
      limits: { helloTimeout: 1 },
      handshakes: { "timed out": 1 },
    });
  });

  it("policy 5: half a ClientHello does not move the deadline", async () => {
    const edge = await TestEdge.start();
    const client = await edge.raw();
    for (const byte of [0x16, 3, 1, 2, 0, 1]) {
      client.socket.write(new Uint8Array([byte]));
      await turn();
      edge.clock.advance(2_000);
    }
    await until(() => edge.server.liveConnections === 0);
    expect(edge.server.counters.limits).toEqual({ helloTimeout: 1 });
  });

  it("policy 5: a handshake that stops is closed 15 s after accept", async () => {
    const edge = await TestEdge.start();
    const recorded = await firstFlight(edge);
    const client = await edge.raw();
    client.socket.write(recorded);
    await until(() => client.received.length > 0);
    edge.clock.advance(14_500);
    await turn();
    expect(edge.server.liveConnections).toBe(1);
    edge.clock.advance(750);
    await until(() => edge.server.liveConnections === 0);
    expect(edge.server.counters.limits).toEqual({ handshakeTimeout: 1 });
  });

  it("an idle connection ends with close_notify after 5 min, and data moves that", async () => {
    const edge = await TestEdge.start();
    const client = await edge.connect();
    await client.write(get("a.example"));
    await readUntil(client, "this is");
    edge.clock.advance(200_000);
    await client.write(get("a.example"));
    await readUntil(client, "this is");
    edge.clock.advance(200_000);
    await turn();
    expect(edge.server.liveConnections).toBe(1);
    edge.clock.advance(102_000);
    expect(await client.read()).toBeUndefined(); // close_notify
    expect(edge.server.counters.limits).toEqual({ idleTimeout: 1 });
    await client.close();
  });

  it("tickets go out by themselves a second after the handshake", async () => {
    const edge = await TestEdge.start();
    const client = await edge.connect();
    await until(() => edge.server.counters.handshakes.full === 1);
    await client.poll();
    expect(client.sessions).toHaveLength(0);
    edge.clock.advance(1_250);
    while (client.sessions.length < 2) await client.step();
    await client.close();
  });
});

describe("back-pressure", () => {
  it("a peer that never reads holds a bounded number of bytes, stops being read, and is cut", async () => {
    let stream: Stream | undefined;
    let written = 0;
    let refused = false;
    const piece = new Uint8Array(64 * 1024);
    const pump = (): void => {
      do written += piece.length; while (stream!.write(piece, 0, piece.length));
      refused = true;
    };
    const edge = await TestEdge.start({
      handlers: handler((s) => (stream = s, { data: pump, drain: pump })),
    });
    const client = await edge.connect();
    await client.write(new Uint8Array(1));
    await until(() => refused);
    let before = -1;
    while (before !== written) {
      before = written;
      for (let i = 0; i < 50; i++) await turn();
    }
    expect(written).toBeLessThan(64 * 1024 * 1024);
    edge.clock.advance(30_250);
    await until(() => edge.server.liveConnections === 0);
    expect(edge.server.counters.limits).toEqual({ writeStallTimeout: 1 });
  });

  it("a handler that pauses stops the peer", async () => {
    let received = 0;
    let stream: Stream | undefined;
    const edge = await TestEdge.start({
      handlers: handler((s) => {
        stream = s;
        return {
          data(_bytes, start, end) {
            received += end - start;
            if (received >= 1000 && received < 2_000_000) s.pause();
          },
        };
      }),
    });
    const client = await edge.connect();
    const total = 32 * 1024 * 1024;
    const sending = (async () => {
      for (let at = 0; at < total; at += 65536) await client.write(new Uint8Array(65536));
    })();
    await until(() => received >= 1000);
    let before = -1;
    while (before !== received) {
      before = received;
      for (let i = 0; i < 30; i++) await turn();
    }
    expect(received).toBeLessThan(2_000_000);
    received = 2_000_000;
    stream!.resume();
    await sending;
    await until(() => received >= 2_000_000 + total - 1_500_000);
    await client.close();
  });
});

describe("the end of a connection", () => {
  it("tls13 9: close_notify from the peer is the end of its data, and our answer still goes", async () => {
    let stream: Stream | undefined;
    let ended = false;
    const edge = await TestEdge.start({
      handlers: handler((s) => (stream = s, { end: () => void (ended = true) })),
    });
    const client = await edge.connect();
    await client.closeWrite();
    await until(() => ended);
    const late = new TextEncoder().encode("late answer");
    expect(stream!.write(late, 0, late.length)).toBe(true);
    stream!.end();
    expect(await readText(client)).toBe("late answer");
    await client.close();
    await until(() => edge.server.liveConnections === 0);
  });

  it("tls13 9: after our close_notify the peer's data is discarded for 5 s, then we close", async () => {
    let received = 0;
    let closed = 0;
    const edge = await TestEdge.start({
      handlers: handler((stream) => ({
        data(_bytes, start, end) {
          received += end - start;
          stream.end();
        },
        close: () => void closed++,
      })),
    });
    const client = await edge.connect();
    await client.write(new Uint8Array(1));
    expect(await client.read()).toBeUndefined();
    for (let i = 0; i < 4; i++) await client.write(new Uint8Array(50_000));
    expect(received).toBe(1);
    expect(edge.server.liveConnections).toBe(1);
    edge.clock.advance(5_250);
    await until(() => edge.server.liveConnections === 0);
    expect(closed).toBe(1);
  });

  it("tls13 9: FIN without close_notify is the end of the peer's data; close_notify still comes", async () => {
    let ended = false;
    const edge = await TestEdge.start({
      handlers: handler((stream) => ({
        end() {
          ended = true;
          const bytes = new TextEncoder().encode("bye");
          stream.write(bytes, 0, 3);
          stream.end();
        },
      })),
    });
    const { client, socket } = await edge.connectOver();
    socket.end();
    await until(() => ended);
    expect(await readText(client)).toBe("bye");
    await until(() => edge.server.liveConnections === 0);
  });

  it("tls13 9: a reset drops all and tells the handler once", async () => {
    let closed = 0;
    const edge = await TestEdge.start({
      handlers: handler(() => ({ close: () => void closed++ })),
    });
    const { socket } = await edge.connectOver();
    await until(() => edge.server.counters.handshakes.full === 1);
    socket.resetAndDestroy();
    await until(() => edge.server.liveConnections === 0);
    expect(closed).toBe(1);
  });

  it("tls13 9: FIN in the middle of a handshake ends it at once", async () => {
    const edge = await TestEdge.start();
    const client = await edge.raw();
    client.socket.end(new Uint8Array([0x16, 3, 1]));
    await until(() => edge.server.counters.accepted === 1 && edge.server.liveConnections === 0);
    expect(edge.server.counters.handshakes).toEqual({ abandoned: 1 });
  });

  it("tls13 5.1: an alert arrives although more of the peer's bytes are unread, then FIN", async () => {
    const edge = await TestEdge.start();
    const client = await edge.raw();
    const garbage = new Uint8Array(20_000).fill(0x80);
    client.socket.write(garbage);
    await until(() => client.ended);
    expect([...client.received]).toEqual([0x15, 3, 3, 0, 2, 2, 10]); // unexpected_message
    expect(client.error).toBeUndefined();
    client.socket.end();
    await until(() => edge.server.liveConnections === 0);
    expect(edge.server.counters).toMatchObject({
      errors: { "not a TLS record": 1 },
      alertsSent: { unexpected_message: 1 },
    });
  });

  it("tls13 14.1: no more than 64 KiB are discarded after an alert", async () => {
    const edge = await TestEdge.start();
    const client = await edge.raw();
    client.socket.write(new Uint8Array(20_000).fill(0x17));
    await until(() => client.ended);
    client.socket.write(new Uint8Array(200_000));
    await until(() => edge.server.liveConnections === 0);
  });

  it("stop() ends quiet connections gently, waits for a busy one, and then cuts it", async () => {
    let stream: Stream | undefined;
    const edge = await TestEdge.start({
      handlers: handler((s) => (stream = s, {})),
      limits: { drainTimeoutMs: 20_000 },
    });
    const quiet = await edge.connect();
    const busy = await edge.connect();
    edge.clock.advance(1_250);
    await busy.write(new Uint8Array(1));
    for (let i = 0; i < 20; i++) await turn();
    expect(stream).toBeDefined();
    let stopped = false;
    const stopping = edge.server.stop().then(() => stopped = true);
    await until(() => edge.log !== undefined);
    edge.clock.advance(2_000);
    expect(await quiet.read()).toBeUndefined();
    await quiet.close();
    await until(() => edge.server.liveConnections === 1);
    expect(stopped).toBe(false);
    edge.clock.advance(20_000);
    await stopping;
    expect(edge.server.counters.limits).toEqual({ drainTimeout: 1 });
    await busy.read().catch(() => {});
  });

  it("stop() gives who has just come a moment to speak", async () => {
    const edge = await TestEdge.start({ limits: { drainTimeoutMs: 20_000 } });
    const silent = await edge.raw();
    await until(() => edge.server.liveConnections === 1);
    const stopping = edge.server.stop();
    edge.clock.advance(750);
    for (let i = 0; i < 20; i++) await turn();
    expect(edge.server.liveConnections).toBe(1);
    edge.clock.advance(500);
    await stopping;
    await until(() => silent.ended || silent.closed);
  });
});

describe("counters of ECH", () => {
  it("tell accepted, rejected, likely stale, and ech_required, by config_id", async () => {
    const stale = testEchKey({ configId: 9 });
    const edge = await TestEdge.start({
      tls: { ech: true },
      sites: [
        { names: ["a.example"] },
        { names: ["public.example"], publicNameOnly: true },
      ],
    });
    const accepted = await edge.connect({ ech: { configList: edge.configList! } });
    expect(accepted.negotiated.ech).toBe("accepted");
    await accepted.close();
    await (await edge.connect({ ech: "grease" })).close();
    // GREASE names any config_id, one time in 256 that of the stale key.
    await until(() => edge.server.liveConnections === 0);
    const greased = edge.server.counters.echByConfigId[9]?.rejected ?? 0;
    await expect(edge.connect({ ech: { configList: stale.configList } }))
      .rejects.toMatchObject({ reason: "ECH rejected" });
    await until(() => edge.server.liveConnections === 0);
    const { ech, echByConfigId } = edge.server.counters;
    expect(ech).toEqual({
      accepted: 1,
      rejected: 2,
      "rejected stale-likely": 1,
      ech_required: 1,
    });
    expect(echByConfigId[7]).toMatchObject({ accepted: 1 });
    expect(echByConfigId[9]).toMatchObject({
      rejected: greased + 1,
      "rejected stale-likely": 1,
      ech_required: 1,
    });
  });
});

/** Everything back, at the pace of the peer. */
function echo(stream: Stream) {
  return {
    data(bytes: Uint8Array, start: number, end: number) {
      if (!stream.write(bytes, start, end)) stream.pause();
    },
    drain: () => stream.resume(),
    end: () => stream.end(),
  };
}

/** What a client of ours sends first. */
async function firstFlight(edge: TestEdge): Promise<Uint8Array> {
  const records: Uint8Array[] = [];
  const client = await edge.connect({
    hooks: {
      beforeRecord(record) {
        records.push(record.slice());
        return record;
      },
    },
  });
  await client.close();
  await until(() => edge.server.liveConnections === 0);
  return records[0]!;
}
