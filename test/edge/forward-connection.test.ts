import { describe, expect, it } from "vitest";
import type { Upstreams } from "../../src/edge/upstreams/upstreams.ts";
import { FakeClient, FakeRuntime, heard } from "./forward-fakes.ts";
import { testUpstreams } from "./forward-kit.ts";

const A = { path: "a" };
const B = { path: "b" };

describe("a forwarded connection", () => {
  it("does not read its upstream while the client has no room, also behind a pause", async () => {
    const { client, runtime } = await open();
    const socket = runtime.asked[0]!.accept();
    await heard();
    client.room = 1;
    socket.sends([1, 2]);
    expect(socket.paused).toBe(true);
    // Already on its way when it was paused.
    socket.sends([3, 4]);
    client.reads(1);
    expect(client.received).toEqual([1, 2, 3, 4]);
    expect(socket.paused).toBe(true);
    client.reads(1);
    expect(socket.paused).toBe(false);
  });

  it("ends when the client has read all from an upstream that is gone, whatever the client says meanwhile", async () => {
    const { client, runtime } = await open();
    const socket = runtime.asked[0]!.accept();
    await heard();
    client.room = 1;
    socket.sends([1, 2]);
    socket.sends([3]);
    socket.ends();
    socket.closes(reset());
    client.sends([9]);
    client.reads(10);
    expect(client.received).toEqual([1, 2, 3]);
    expect(client.ended).toBe(true);
  });

  it("gives up connecting when its client goes, and holds that against nobody", async () => {
    const { client, runtime, upstreams } = await open();
    client.sends([1, 2]);
    const [asked] = runtime.asked;
    expect(asked!.attempt?.giveUp).toBeTypeOf("function");
    client.goes();
    expect(asked!.isOpen).toBe(false);
    await heard();
    expect(runtime.asked).toHaveLength(1);
    expect([A, B].map((address) => upstreams.of(address).connections)).toEqual([0, 0]);
    expect([A, B].map((address) => upstreams.of(address).failures)).toEqual([0, 0]);
  });

  it("begins again with its PROXY header where an upstream took it and nothing else", async () => {
    const { client, runtime } = await open({ proxyProtocol: 1 });
    const first = runtime.asked[0]!.accept();
    await heard();
    expect(text(first.received)).toMatch(/^PROXY TCP4 192\.0\.2\.1 [^\r]*\r\n$/);
    first.closes(reset());
    client.sends([65]);
    const second = runtime.asked[1]!.accept(10);
    await heard();
    second.reads(Infinity);
    expect(text(second.received)).toBe(`${text(first.received)}A`);
    expect(client.isOver).toBe(false);
    expect(client.paused).toBe(false);
  });

  it("does not begin again once a byte of the client has gone out behind the PROXY header", async () => {
    const { client, runtime } = await open({ proxyProtocol: 1 });
    const socket = runtime.asked[0]!.accept();
    client.sends([65]);
    await heard();
    socket.closes(reset());
    await heard();
    expect(client.aborted).toBe(true);
    expect(runtime.asked).toHaveLength(1);
  });

  it("does not begin again where half of the request has gone out and half waits", async () => {
    const { client, runtime, upstreams } = await open();
    const socket = runtime.asked[0]!.accept(2);
    await heard();
    client.sends([1, 2, 3, 4]);
    socket.closes(reset());
    await heard();
    expect(client.aborted).toBe(true);
    expect(runtime.asked).toHaveLength(1);
    expect([A, B].map((address) => upstreams.of(address).connections)).toEqual([0, 0]);
  });

  it("begins again with all that the client has said where the upstream took none of it", async () => {
    const { client, runtime } = await open();
    const first = runtime.asked[0]!.accept(0);
    await heard();
    client.sends([1, 2], [3]);
    client.ends();
    first.closes(reset());
    const second = runtime.asked[1]!.accept();
    await heard();
    expect(second.received).toEqual([1, 2, 3]);
    expect(second.finSent).toBe(true);
  });
});

describe("an upstream that breaks off without an answer", () => {
  const broken = { failures: 1 };

  it("has failed where the client has said nothing, however lately it answered another one", async () => {
    const { runtime, upstreams } = await open({ among: [A] });
    await answers(runtime);
    new FakeClient(upstreams, [A]);
    const socket = runtime.asked.at(-1)!.accept();
    await heard();
    socket.closes(reset());
    expect(upstreams.of(A)).toMatchObject(broken);
  });

  it("has failed behind a client's bytes where nobody has had an answer lately", async () => {
    const { clock, runtime, upstreams } = await open({ among: [A] });
    await answers(runtime);
    clock.advance(upstreams.limits.trustedForMs);
    await breaksOff(upstreams, runtime);
    expect(upstreams.of(A)).toMatchObject(broken);
  });

  it("has not failed behind a client's bytes where another one has: no client takes it from the others", async () => {
    const { clock, runtime, upstreams } = await open({ among: [A] });
    await answers(runtime);
    clock.advance(upstreams.limits.trustedForMs - 1);
    await breaksOff(upstreams, runtime);
    expect(upstreams.of(A)).toMatchObject({ failures: 0 });
  });

  /** The first client. */
  async function answers(runtime: FakeRuntime): Promise<void> {
    const socket = runtime.asked[0]!.accept();
    await heard();
    socket.sends([1]);
  }

  /** Another one. */
  async function breaksOff(upstreams: Upstreams, runtime: FakeRuntime): Promise<void> {
    const client = new FakeClient(upstreams, [A]);
    client.sends([1]);
    const socket = runtime.asked.at(-1)!.accept();
    await heard();
    socket.closes(reset());
    expect(client.aborted).toBe(true);
  }
});

async function open(wish: { among?: typeof A[]; proxyProtocol?: 0 | 1 } = {}) {
  const runtime = new FakeRuntime();
  const { upstreams, clock } = await testUpstreams({ runtime });
  const client = new FakeClient(upstreams, wish.among ?? [A, B], wish);
  return { client, runtime, upstreams, clock };
}

function reset(): Error {
  return Object.assign(new Error("reset"), { code: "ECONNRESET" });
}

function text(bytes: readonly number[]): string {
  return String.fromCharCode(...bytes);
}
