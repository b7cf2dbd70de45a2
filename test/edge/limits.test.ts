import { describe, expect, it } from "vitest";
import { DEFAULT_EDGE_LIMITS, type EdgeLimits } from "../../src/edge/limits.ts";
import { type Source, sourceKey, Sources } from "../../src/edge/sources.ts";
import { get, type RawClient, readUntil, TestEdge, turn, until } from "./edge-kit.ts";

describe("limits of an edge", () => {
  it("tls13 14.1: the 33rd handshake at once from one source is closed, others are served", async () => {
    const edge = await TestEdge.start({ limits: { limitLoopback: true } });
    const silent = await Promise.all(Array.from({ length: 32 }, () => edge.raw()));
    await until(() => edge.server.counters.pending === 32);
    const late = await edge.raw();
    await until(() => late.closed || late.ended);
    expect(edge.server.counters.refused).toEqual({ maxPendingHandshakesPerSource: 1 });
    silent[0]!.socket.destroy();
    await until(() => edge.server.counters.pending === 31);
    await (await edge.connect()).close();
  });

  it("loopback is exempt from limits per source unless configured", async () => {
    const edge = await TestEdge.start();
    await Promise.all(Array.from({ length: 40 }, () => edge.raw()));
    await until(() => edge.server.counters.pending === 40);
    await (await edge.connect()).close();
    expect(edge.server.counters.refused).toEqual({});
  });

  it("silent connections cannot shut others out: the oldest makes room", async () => {
    const edge = await TestEdge.start({ limits: { maxPendingHandshakes: 10 } });
    const silent: RawClient[] = [];
    for (let i = 0; i < 10; i++) silent.push(await edge.raw());
    await until(() => edge.server.counters.pending === 10);
    const client = await edge.connect();
    await client.write(get("a.example"));
    await readUntil(client, "this is a.example");
    await until(() => silent[0]!.closed || silent[0]!.ended);
    expect(silent.slice(1).some(({ closed, ended }) => closed || ended)).toBe(false);
    expect(edge.server.counters).toMatchObject({
      limits: { maxPendingHandshakes: 1 },
      handshakes: { evicted: 1, full: 1 },
      refused: {},
    });
    await client.close();
  });

  it("a source whose handshakes fail too often is closed for a while", async () => {
    const edge = await TestEdge.start({
      limits: { limitLoopback: true, failedHandshakesBurst: 3, failedHandshakesPerSecond: 1 },
    });
    for (let i = 0; i < 3; i++) {
      const client = await edge.raw();
      client.socket.end(new Uint8Array(50).fill(0x80));
      await until(() => edge.server.counters.handshakes.failed === i + 1);
    }
    const refused = await edge.raw();
    await until(() => refused.closed || refused.ended);
    expect(edge.server.counters.refused).toEqual({ failedHandshakesPerSecond: 1 });
    edge.clock.advance(1_250);
    await (await edge.connect()).close();
  });

  it("connections over maxConnections are closed", async () => {
    const edge = await TestEdge.start({ limits: { maxConnections: 2 } });
    await edge.raw();
    await edge.raw();
    await until(() => edge.server.liveConnections === 2);
    const late = await edge.raw();
    await until(() => late.closed || late.ended);
    expect(edge.server.counters.refused).toEqual({ maxConnections: 1 });
    expect(edge.server.liveConnections).toBe(2);
    await turn();
  });
});

describe("Sources", () => {
  it("limits connections of one source", () => {
    const sources = withLimits({ maxConnectionsPerSource: 2, maxPendingHandshakesPerSource: 9 });
    const first = admit(sources, "192.0.2.1");
    admit(sources, "192.0.2.1");
    expect(sources.admit("192.0.2.1", 0)).toBe("maxConnectionsPerSource");
    admit(sources, "192.0.2.2");
    sources.leave(first, 0);
    admit(sources, "192.0.2.1");
  });

  it("forgets a source with its last connection, unless it has failures to forgive", () => {
    const sources = withLimits({ failedHandshakesPerSecond: 1 });
    const good = admit(sources, "192.0.2.1");
    const bad = admit(sources, "192.0.2.2");
    sources.failed(bad, 0);
    sources.failed(bad, 0);
    sources.leave(good, 0);
    sources.leave(bad, 0);
    expect(sources.size).toBe(1);
    sources.sweep(1_000);
    expect(sources.size).toBe(1);
    sources.sweep(2_001);
    expect(sources.size).toBe(0);
  });

  it("remembers a bounded number of sources, the newest", () => {
    const sources = withLimits({ maxRememberedSources: 10, failedHandshakesBurst: 1 });
    for (let i = 0; i < 1000; i++) {
      const source = admit(sources, `192.0.${i >> 8}.${i & 255}`);
      sources.failed(source, 0);
      sources.leave(source, 0);
      expect(sources.size).toBeLessThanOrEqual(11);
    }
    expect(sources.admit("192.0.3.231", 0)).toBe("failedHandshakesPerSecond");
    admit(sources, "192.0.0.1");
  });

  it.each([
    ["192.0.2.1", "192.0.2.1"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"],
    ["2001:db8:1:2::1", "2001:db8:1:2::"],
    ["2001:db8::1", "2001:db8:0:0::"],
    ["2001:db8::5:6:7:8:9", "2001:db8:0:5::"],
    ["fe80::1%eth0", "fe80:0:0:0::"],
    ["::1", "::1"],
    ["::", "0:0:0:0::"],
    ["64:ff9b::192.0.2.1", "64:ff9b:0:0::"],
  ])("tells %s by %s", (address, key) => {
    expect(sourceKey(address)).toBe(key);
  });
});

function withLimits(limits: Partial<EdgeLimits>): Sources {
  return new Sources({ ...DEFAULT_EDGE_LIMITS, ...limits });
}

function admit(sources: Sources, address: string): Source {
  const source = sources.admit(address, 0);
  if (typeof source === "string") throw new Error(`refused: ${source}`);
  return source;
}
