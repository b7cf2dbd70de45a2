import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type net from "node:net";
import { describe, expect, it, onTestFinished } from "vitest";
import type { Runtime, Socket } from "../../src/runtime/runtime.ts";
import { thisRuntime } from "../../src/runtime/detect.ts";
import { timedOut } from "../../src/runtime/timed-out.ts";
import { testCertificate } from "../support/certificates.ts";
import { readText, readUntil, turn, until } from "./edge-kit.ts";
import { echo, encode, forwardTo, Recorder, refusingAddress, TestUpstream } from "./forward-kit.ts";

describe("forward", () => {
  it("carries 10 MB both ways", async () => {
    const upstream = await TestUpstream.start(echo);
    const { edge } = await forwardTo([upstream.address]);
    const client = await edge.connect();
    const sent = new Uint8Array(10 * 1024 * 1024).map((_, i) => (i * 7) ^ (i >>> 9));
    const received = client.readExactly(sent.length);
    for (let at = 0; at < sent.length; at += 256 * 1024) {
      await client.write(sent.subarray(at, at + 256 * 1024));
    }
    expect(Buffer.compare(await received, sent)).toBe(0);
    await client.close();
    await until(() => edge.server.liveConnections === 0);
  });

  it("goes over a unix socket", async () => {
    const folder = mkdtempSync(join(tmpdir(), "sotto-forward-"));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const upstream = await TestUpstream.start(echo, { path: join(folder, "app.sock") });
    const { edge } = await forwardTo([upstream.address]);
    const client = await edge.connect();
    await client.write(encode("over a path"));
    expect(await readUntil(client, "path")).toBe("over a path");
    await client.closeWrite();
    expect(await readText(client)).toBe("");
  });

  it("goes on over a unix socket that vanishes, and knows that nobody else is there until it is back", async () => {
    const folder = mkdtempSync(join(tmpdir(), "sotto-forward-"));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const path = join(folder, "app.sock");
    const first = await TestUpstream.start(echo, { path });
    const { edge, upstreams, clock, log } = await forwardTo([first.address]);
    const client = await edge.connect();
    await client.write(encode("before!"));
    expect(await readUntil(client, "!")).toBe("before!");
    rmSync(path);
    await client.write(encode("after!"));
    expect(await readUntil(client, "!")).toBe("after!");
    const early = await edge.connect();
    await expect(early.read()).rejects.toMatchObject({ alertReceived: "internal_error" });
    expect(log).toMatchObject([
      { event: "upstream_failed", err: "ENOENT" },
      { event: "no_upstream_reached", upstream: `unix:${path}` },
    ]);
    clock.advance(upstreams.limits.firstOutMs);
    writeFileSync(path, "no socket");
    const again = await edge.connect();
    await expect(again.read()).rejects.toMatchObject({ alertReceived: "internal_error" });
    expect(log.at(-2)).toMatchObject({
      event: "upstream_failed",
      err: "ECONNREFUSED",
      failures: 2,
    });
    rmSync(path);
    await TestUpstream.start(echo, { path });
    const late = await edge.connect();
    await late.write(encode("back!"));
    expect(await readUntil(late, "!")).toBe("back!");
    expect(log.at(-1)).toMatchObject({ event: "upstream_is_back" });
    await late.close();
    await client.close();
    await until(() => edge.server.liveConnections === 0);
    expect(upstreams.of({ path }).connections).toBe(0);
  });

  it("passes on an answer that comes before the request is whole, and hears the rest out", async () => {
    let heard = 0;
    const upstream = await TestUpstream.start((socket) => {
      socket.once("data", () => socket.end("too large"));
      socket.on("data", (chunk: Uint8Array) => heard += chunk.length);
    });
    const { edge } = await forwardTo([upstream.address]);
    const client = await edge.connect();
    const answer = readText(client);
    for (let i = 0; i < 100; i++) await client.write(new Uint8Array(100_000));
    expect(await answer).toBe("too large");
    await client.close();
    await until(() => edge.server.liveConnections === 0);
    await until(() => heard === 10_000_000);
  });

  it("passes on what a server says first", async () => {
    const upstream = await TestUpstream.start((socket) => void socket.write("220 ready\r\n"));
    const { edge } = await forwardTo([upstream.address]);
    const client = await edge.connect();
    expect(await readUntil(client, "\n")).toBe("220 ready\r\n");
    await client.close();
  });

  it("loses no byte that came before the upstream was there", async () => {
    const upstream = await TestUpstream.start(echo);
    const real = await thisRuntime();
    const gate = Promise.withResolvers<void>();
    const runtime: Pick<Runtime, "connect"> = {
      async connect(target, events) {
        await gate.promise;
        return await real.connect(target, events);
      },
    };
    const { edge } = await forwardTo([upstream.address], { parts: { runtime } });
    const client = await edge.connect();
    const sent = new Uint8Array(300_000).map((_, i) => i ^ (i >>> 8));
    const received = client.readExactly(sent.length);
    const written = client.write(sent);
    for (let i = 0; i < 20; i++) await turn();
    gate.resolve();
    await written;
    expect(Buffer.compare(await received, sent)).toBe(0);
    await client.close();
  });

  it("loses nothing that an upstream says before its connection is known", async () => {
    const runtime: Pick<Runtime, "connect"> = {
      connect(_target, events) {
        events.data(encode("early "));
        events.data(encode("bird"));
        events.end();
        return Promise.resolve(new FakeSocket());
      },
    };
    const { edge } = await forwardTo([{ hostname: "127.0.0.1", port: 1 }], { parts: { runtime } });
    const client = await edge.connect();
    expect(await readText(client)).toBe("early bird");
  });

  it("policy 8.3: closes a connection for the public name, and connects to nobody", async () => {
    const upstream = await TestUpstream.start(echo);
    const { edge } = await forwardTo([upstream.address], {
      sites: [{ names: ["public.example"], publicNameOnly: true }],
    });
    const client = await edge.connect({ serverName: "public.example" });
    await client.write(encode("anybody?"));
    expect(await readText(client)).toBe("");
    expect(upstream.sockets).toHaveLength(0);
  });
});

describe("forward ends", () => {
  it("the upstream's input with FIN behind the last byte when the client has ended, and hears it out", async () => {
    const recorders: Recorder[] = [];
    const upstream = await TestUpstream.start((socket) =>
      void recorders.push(new Recorder(socket))
    );
    const { edge } = await forwardTo([upstream.address]);
    const client = await edge.connect();
    await client.write(encode("the question"));
    await client.closeWrite();
    await until(() => recorders[0]?.ended === true);
    expect(recorders[0]!.text).toBe("the question");
    recorders[0]!.socket.end("the answer");
    expect(await readText(client)).toBe("the answer");
    await until(() => recorders[0]!.closed);
    await client.close();
    await until(() => edge.server.liveConnections === 0);
  });

  it("the client's input with close_notify when the upstream has ended, and goes on the other way", async () => {
    const recorders: Recorder[] = [];
    const upstream = await TestUpstream.start((socket) => {
      recorders.push(new Recorder(socket));
      socket.end("that is all");
    });
    const { edge } = await forwardTo([upstream.address]);
    const client = await edge.connect();
    expect(await readText(client)).toBe("that is all");
    expect(client.isEnded).toBe(true);
    for (let i = 0; i < 50; i++) await client.write(new Uint8Array(10_000).fill(0x61));
    await client.closeWrite();
    await until(() => recorders[0]!.over);
    expect(recorders[0]!.bytes).toBe(500_000);
    await client.close();
    await until(() => edge.server.liveConnections === 0);
  });

  it("the client's connection with a fatal alert when the upstream resets its own", async () => {
    const upstream = await TestUpstream.start((socket) => {
      socket.write("half of i");
      socket.once("data", () => socket.resetAndDestroy());
    });
    const { edge } = await forwardTo([upstream.address]);
    const client = await edge.connect();
    expect(await readUntil(client, "i")).toBe("half of i");
    await client.write(encode("now"));
    await expect(client.read()).rejects.toMatchObject({ alertReceived: "internal_error" });
    expect(client.isEnded).toBe(false);
    await until(() => edge.server.liveConnections === 0);
  });

  it("the client's connection with a fatal alert also where the reset comes behind the client's own end", async () => {
    const upstream = await TestUpstream.start((socket) => {
      socket.resume();
      socket.on(
        "end",
        () => socket.write("half of i", () => setTimeout(() => socket.resetAndDestroy(), 20)),
      );
    });
    const { edge, upstreams } = await forwardTo([upstream.address]);
    const client = await edge.connect();
    await client.write(encode("all of it"));
    await client.closeWrite();
    await expect(readText(client)).rejects.toMatchObject({ alertReceived: "internal_error" });
    await until(() => edge.server.liveConnections === 0);
    expect(upstreams.of(upstream.address).connections).toBe(0);
  });

  it("the upstream's connection when the client resets its own", async () => {
    const recorders: Recorder[] = [];
    const upstream = await TestUpstream.start((socket) => {
      recorders.push(new Recorder(socket));
      socket.write("go on");
    });
    const { edge, upstreams } = await forwardTo([upstream.address]);
    const { client, socket } = await edge.connectOver();
    await readUntil(client, "on");
    expect(upstreams.of(upstream.address).connections).toBe(1);
    socket.resetAndDestroy();
    await until(() => recorders[0]!.over);
    await until(() => edge.server.liveConnections === 0);
    expect(upstreams.of(upstream.address).connections).toBe(0);
  });

  it("all of it when the upstream says its last word and is gone for good", async () => {
    const upstream = await TestUpstream.start((socket) => {
      socket.end("bye", () => socket.destroy());
    });
    const { edge } = await forwardTo([upstream.address]);
    const client = await edge.connect();
    expect(await readText(client)).toBe("bye");
    await client.write(encode("hello?")).catch(() => {});
    await client.close().catch(() => {});
    await until(() => edge.server.liveConnections === 0);
  });

  it("what is idle on both sides by the limit of the edge", async () => {
    const recorders: Recorder[] = [];
    const upstream = await TestUpstream.start((socket) => {
      recorders.push(new Recorder(socket));
      socket.write("hello");
    });
    const { edge } = await forwardTo([upstream.address]);
    const client = await edge.connect();
    await readUntil(client, "hello");
    edge.clock.advance(edge.server.limits.idleTimeoutMs + 2_000);
    expect(await readText(client)).toBe("");
    await until(() => recorders[0]!.over);
    expect(edge.server.counters.limits).toEqual({ idleTimeout: 1 });
  });
});

describe("forward holds back", () => {
  it("an upstream whose client does not read", async () => {
    let written = 0;
    const upstream = await TestUpstream.start((socket) => {
      const more = (): void => {
        while (written < TOTAL) {
          written += PIECE.length;
          if (!socket.write(PIECE)) return void socket.once("drain", more);
        }
        socket.end();
      };
      more();
    });
    const { edge } = await forwardTo([upstream.address]);
    const client = await edge.connect();
    await settled(() => written);
    expect(written).toBeLessThan(MOST_HELD);
    let received = 0;
    for (let part = await client.read(); part !== undefined; part = await client.read()) {
      received += part.length;
    }
    expect(received).toBe(TOTAL);
    await client.close();
  });

  it("a client whose upstream does not read", async () => {
    let socket: net.Socket | undefined;
    let received = 0;
    const upstream = await TestUpstream.start((accepted) => {
      socket = accepted;
      accepted.pause();
      accepted.on("data", (chunk: Uint8Array) => received += chunk.length);
      accepted.pause();
    });
    const { edge } = await forwardTo([upstream.address]);
    const client = await edge.connect();
    let written = 0;
    const writing = (async () => {
      for (; written < TOTAL; written += PIECE.length) await client.write(PIECE);
      await client.closeWrite();
    })();
    await settled(() => written);
    expect(written).toBeLessThan(MOST_HELD);
    let ended = false;
    socket!.on("end", () => ended = true);
    socket!.resume();
    await until(() => ended);
    await writing;
    expect(received).toBe(TOTAL);
    socket!.end();
    expect(await readText(client)).toBe("");
  });

  const MEGABYTE = 1024 * 1024;
  const TOTAL = 128 * MEGABYTE;
  /** The kernel may hold 32 + 4 MB of each of the two connections (tcp_rmem, tcp_wmem); we hold little. */
  const MOST_HELD = 96 * MEGABYTE;
  const PIECE = new Uint8Array(256 * 1024);
});

describe("forward to several", () => {
  it("gives the next connection to the one with the fewest", async () => {
    const two = [await TestUpstream.start(greet("one")), await TestUpstream.start(greet("two"))];
    const { edge, upstreams } = await forwardTo(two.map(({ address }) => address));
    const first = await edge.connect();
    const firstName = await readUntil(first, "\n");
    const second = await edge.connect();
    expect(await readUntil(second, "\n")).not.toBe(firstName);
    await first.close();
    await until(() => two.some(({ address }) => upstreams.of(address).connections === 0));
    const third = await edge.connect();
    expect(await readUntil(third, "\n")).toBe(firstName);
    await second.close();
    await third.close();
  });

  it("goes to another where one refuses, and loses nothing; then passes that one over", async () => {
    const refusing = await refusingAddress();
    const upstream = await TestUpstream.start(echo);
    const { edge, upstreams, log } = await forwardTo([refusing, upstream.address]);
    for (let i = 0; i < 6; i++) {
      const client = await edge.connect();
      await client.write(encode(`number ${i}!`));
      expect(await readUntil(client, "!")).toBe(`number ${i}!`);
      await client.close();
    }
    expect(upstreams.of(refusing)).toMatchObject({ failures: 1, connections: 0 });
    expect(log).toMatchObject([{ event: "upstream_failed", err: "ECONNREFUSED", failures: 1 }]);
  });

  it("leaves one out for twice as long with each failure, until it works", async () => {
    const refusing = await refusingAddress() as { hostname: string; port: number };
    const upstream = await TestUpstream.start(greet("other"));
    const { edge, upstreams, clock, log } = await forwardTo([refusing, upstream.address]);
    const bad = upstreams.of(refusing);
    const outs: number[] = [];
    for (let failures = 1; failures <= 8; failures++) {
      while (bad.failures < failures) {
        const client = await edge.connect();
        await readUntil(client, "\n");
        await client.close();
      }
      const outMs = bad.outUntilMs - clock.monotonicMs();
      outs.push(outMs);
      clock.advance(outMs);
    }
    expect(outs).toEqual([1, 2, 4, 8, 16, 32, 60, 60].map((seconds) => seconds * 1000));
    await TestUpstream.start(greet("back"), { port: refusing.port });
    while (bad.failures > 0) {
      const client = await edge.connect();
      await readUntil(client, "\n");
      await client.close();
    }
    expect(log.at(-1)).toMatchObject({ event: "upstream_is_back", upstream: bad.name });
  });

  it("ends the client with a fatal alert where none can be reached", async () => {
    const addresses = await Promise.all(Array.from({ length: 5 }, refusingAddress));
    const { edge, log } = await forwardTo(addresses);
    const client = await edge.connect();
    await expect(readText(client)).rejects.toMatchObject({ alertReceived: "internal_error" });
    expect(client.isEnded).toBe(false);
    expect(log.at(-1)).toMatchObject({ event: "no_upstream_reached", attempts: 3 });
    await until(() => edge.server.liveConnections === 0);
  });

  it("goes to another where connecting takes too long", async () => {
    const upstream = await TestUpstream.start(echo);
    const real = await thisRuntime();
    const runtime: Pick<Runtime, "connect"> = {
      async connect(target, events, attempt) {
        if ("path" in target || target.port !== 9) return await real.connect(target, events);
        await new Promise((resolve) => setTimeout(resolve, attempt?.timeoutMs));
        throw timedOut();
      },
    };
    const stalling = { hostname: "127.0.0.1", port: 9 };
    const { edge, upstreams, log } = await forwardTo([stalling, upstream.address], {
      parts: { runtime, limits: { connectTimeoutMs: 20 } },
    });
    while (upstreams.of(stalling).failures === 0) {
      const client = await edge.connect();
      await client.write(encode("anyone"));
      expect(await readUntil(client, "one")).toBe("anyone");
      await client.close();
    }
    expect(log[0]).toMatchObject({ event: "upstream_failed", err: "ETIMEDOUT" });
  });

  it("goes to another where one ends a connection that was given nothing yet", async () => {
    const closing = await TestUpstream.start((socket) => socket.resetAndDestroy());
    const upstream = await TestUpstream.start(echo);
    const { edge, upstreams } = await forwardTo([closing.address, upstream.address]);
    while (upstreams.of(closing.address).failures === 0) {
      const client = await edge.connect();
      await until(() => upstream.sockets.length > 0 || closing.sockets.length > 0);
      for (let i = 0; i < 20; i++) await turn();
      await client.write(encode("still here"));
      expect(await readUntil(client, "here")).toBe("still here");
      await client.close();
    }
  });
});

describe("PROXY protocol before forwarded bytes", () => {
  it("version 1: who is connected to whom", async () => {
    const recorders: Recorder[] = [];
    const upstream = await TestUpstream.start((socket) =>
      void recorders.push(new Recorder(socket))
    );
    const { edge } = await forwardTo([upstream.address], { proxyProtocol: 1 });
    const { client, socket } = await edge.connectOver();
    await client.write(encode("GET"));
    await until(() => recorders[0]?.text.includes("GET") === true);
    expect(recorders[0]!.text).toBe(
      `PROXY TCP4 127.0.0.1 127.0.0.1 ${socket.localPort} ${edge.port}\r\nGET`,
    );
    await client.close();
  });

  it("version 2: ALPN, name, TLS version, cipher and client certificate too", async () => {
    const recorders: Recorder[] = [];
    const upstream = await TestUpstream.start((socket) =>
      void recorders.push(new Recorder(socket))
    );
    const { edge } = await forwardTo([upstream.address], {
      proxyProtocol: 2,
      tls: { alpn: ["http/1.1"] },
      sites: [{ names: ["a.example"], clientAuth: { mode: "require", authorities: [] } }],
    });
    const certificate = await testCertificate({ usage: "client", subject: "CN=Zoë,O=Test" });
    const client = await edge.connect({
      alpn: ["http/1.1"],
      certificate: { chain: certificate.chain, keyPem: certificate.keyPem },
    });
    await until(() => (recorders[0]?.bytes ?? 0) > 100);
    const header = Buffer.from(recorders[0]!.text, "latin1");
    expect(header.subarray(0, 14).toString("hex")).toBe("0d0a0d0a000d0a515549540a2111");
    expect(header.readUInt16BE(14)).toBe(header.length - 16);
    expect(header.subarray(16, 24)).toEqual(Buffer.from([127, 0, 0, 1, 127, 0, 0, 1]));
    expect(header.readUInt16BE(26)).toBe(edge.port);
    const top = tlvs(header.subarray(28));
    expect(top.get(0x01)?.toString()).toBe("http/1.1");
    expect(top.get(0x02)?.toString()).toBe("a.example");
    const ssl = top.get(0x20)!;
    expect(ssl[0]).toBe(7);
    expect(ssl.readUInt32BE(1)).not.toBe(0);
    const inner = tlvs(ssl.subarray(5));
    expect(inner.get(0x21)?.toString()).toBe("TLSv1.3");
    expect(inner.get(0x22)?.toString()).toBe("Zoë");
    expect(inner.get(0x23)?.toString()).toMatch(/^TLS_[A-Z0-9_]+$/);
    await client.close();
  });
});

function greet(name: string): (socket: net.Socket) => void {
  return (socket) => {
    socket.write(`${name}\n`);
    socket.resume();
    socket.on("end", () => socket.end());
  };
}

function tlvs(bytes: Buffer): Map<number, Buffer> {
  const found = new Map<number, Buffer>();
  for (let at = 0; at < bytes.length;) {
    const length = bytes.readUInt16BE(at + 1);
    found.set(bytes[at]!, bytes.subarray(at + 3, at + 3 + length));
    at += 3 + length;
  }
  return found;
}

/** Until it has not changed for a while. */
async function settled(value: () => number): Promise<void> {
  let before = -1;
  for (let quiet = 0; quiet < 30; quiet = before === value() ? quiet + 1 : 0) {
    before = value();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

class FakeSocket implements Socket {
  readonly remoteAddress = "127.0.0.1";
  readonly remotePort = 1;
  readonly localAddress = "127.0.0.1";
  readonly localPort = 2;
  terminated = false;

  write(_bytes: Uint8Array, start: number, end: number): number {
    return end - start;
  }
  pause(): void {}
  resume(): void {}
  shutdown(): void {}
  close(): void {}
  terminate(): void {
    this.terminated = true;
  }
}
