/** Which end of a connection an upstream is blamed for. */
import { describe, expect, it } from "vitest";
import { decode, turn } from "./edge-kit.ts";
import { FakeClient, FakeRuntime, heard } from "./forward-fakes.ts";
import { echo, encode, forwardTo, TestUpstream, testUpstreams } from "./forward-kit.ts";

const A = { path: "a" };
const B = { path: "b" };
const RESET = Object.assign(new Error("reset"), { code: "ECONNRESET" });

describe("an upstream that accepts and ends without a word", () => {
  it("has failed, and another one takes its place", async () => {
    const { runtime, upstreams, client } = await open();
    const socket = await accept(runtime);
    socket.ends();
    await heard();
    const failed = upstreams.of(runtime.asked[0]!.target);
    expect(failed).toMatchObject({ failures: 1, connections: 0 });
    expect(runtime.asked).toHaveLength(2);
    const next = await accept(runtime);
    client.sends([1, 2]);
    next.sends([3]);
    expect([next.received, client.received]).toEqual([[1, 2], [3]]);
  });

  it("does not draw the others' connections, where it ends behind a client's bytes", async () => {
    const { runtime, upstreams } = await setUp();
    const counts: Record<string, number> = { a: 0, b: 0 };
    for (let i = 0; i < 20; i++) {
      const client = new FakeClient(upstreams, [A, B]);
      const { path } = runtime.asked.at(-1)!.target as { path: string };
      counts[path]!++;
      const socket = await accept(runtime);
      client.sends([1]);
      if (path === "b") {
        socket.sends([1]);
        continue;
      }
      socket.ends();
      expect(client.writeEnded).toBe(true);
      client.goes();
    }
    expect(counts).toEqual({ a: 1, b: 19 });
  });

  it("has not failed where the client has ended first", async () => {
    const { runtime, upstreams, client } = await open();
    const socket = await accept(runtime);
    client.sends([1]);
    client.ends();
    socket.ends();
    expect([A, B].map((address) => upstreams.of(address).failures)).toEqual([0, 0]);
    expect(client.ended).toBe(true);
  });

  it("is passed over by real connections", async () => {
    const dead = await TestUpstream.start((socket) => void socket.destroy());
    const alive = await TestUpstream.start(echo);
    const { edge } = await forwardTo([dead.address, alive.address]);
    const texts: string[] = [];
    for (let i = 0; i < 8; i++) {
      const client = await edge.connect();
      await client.write(encode("hi")).catch(() => {});
      const bytes = await client.read().catch(() => undefined);
      texts.push(bytes === undefined ? "" : decode(bytes));
      await client.close();
      for (let turns = 0; turns < 20; turns++) await turn();
    }
    expect(texts.filter((text) => text !== "hi").length).toBeLessThan(2);
  });
});

describe("an upstream that is tired of a silent client", () => {
  it.each(["FIN", "reset"])("by %s has not failed, and nobody takes its place", async (how) => {
    const { runtime, upstreams, clock, client } = await open();
    const socket = await accept(runtime);
    clock.advance(upstreams.limits.freshForMs);
    if (how === "FIN") socket.ends();
    else socket.closes(RESET);
    await heard();
    expect([A, B].map((address) => upstreams.of(address).failures)).toEqual([0, 0]);
    expect(runtime.asked).toHaveLength(1);
    expect([client.writeEnded, client.aborted]).toEqual([how === "FIN", how === "reset"]);
  });
});

describe("an upstream that resets behind a client's bytes", () => {
  it("has answered lately where it has on a connection that is kept", async () => {
    const { runtime, upstreams, clock, client } = await open([A]);
    const kept = await accept(runtime);
    client.sends([1]);
    kept.sends([2]);
    clock.advance(60_000);
    client.sends([1]);
    kept.sends([2]);
    const other = new FakeClient(upstreams, [A]);
    other.sends([9]);
    (await accept(runtime)).closes(RESET);
    expect(upstreams.of(A)).toMatchObject({ failures: 0, answeredAtMs: clock.monotonicMs() });
  });

  it("stays in where it is the last that is", async () => {
    const { runtime, upstreams, clock } = await setUp();
    for (let i = 0; i < 10; i++) {
      const client = new FakeClient(upstreams, [A, B]);
      client.sends([9]);
      (await accept(runtime)).closes(RESET);
      client.goes();
      const out = [A, B].filter((address) => upstreams.of(address).isOut(clock.monotonicMs()));
      expect(out).toHaveLength(1);
    }
  });
});

async function setUp() {
  const runtime = new FakeRuntime();
  return { runtime, ...await testUpstreams({ runtime }) };
}

async function open(among: ConstructorParameters<typeof FakeClient>[1] = [A, B]) {
  const all = await setUp();
  return { ...all, client: new FakeClient(all.upstreams, among) };
}

/** The connection that was asked for last. */
async function accept(runtime: FakeRuntime) {
  const socket = runtime.asked.at(-1)!.accept();
  await heard();
  return socket;
}
