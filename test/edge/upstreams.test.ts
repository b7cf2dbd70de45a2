import { describe, expect, it, onTestFinished } from "vitest";
import { ForwardHandler } from "../../src/edge/handlers/forward.ts";
import { chooseUpstream, Upstream, upstreamName } from "../../src/edge/upstreams/upstream.ts";
import { DEFAULT_UPSTREAM_LIMITS } from "../../src/edge/upstreams/limits.ts";
import type { Socket } from "../../src/runtime/runtime.ts";
import { thisRuntime } from "../../src/runtime/detect.ts";
import { timedOut } from "../../src/runtime/timed-out.ts";
import { turn, until } from "./edge-kit.ts";
import { refusingAddress, TestUpstream, testUpstreams } from "./forward-kit.ts";

const [a, b, c] = ["a", "b", "c"].map((path) => new Upstream({ path })) as [
  Upstream,
  Upstream,
  Upstream,
];

describe("the choice among upstreams", () => {
  it("is the fewest connections, and by turns among equals", () => {
    reset();
    a.connections = 1;
    expect(names(0)).toBe("unix:b");
    expect(names(1)).toBe("unix:b");
    expect(names(2)).toBe("unix:c");
  });

  it("passes over those that are out, and those that were tried", () => {
    reset();
    b.connections = c.connections = 5;
    a.outUntilMs = 100;
    expect(chooseUpstream([a, b, c], [], 99, 0)).toBe(b);
    expect(chooseUpstream([a, b, c], [b], 99, 0)).toBe(c);
    expect(chooseUpstream([a, b, c], [], 100, 0)).toBe(a);
    expect(chooseUpstream([a, b, c], [a, b, c], 0, 0)).toBeUndefined();
  });

  it("is the one that would be back first where all are out", () => {
    reset();
    [a.outUntilMs, b.outUntilMs, c.outUntilMs] = [300, 100, 200];
    expect(chooseUpstream([a, b, c], [], 0, 0)).toBe(b);
    expect(chooseUpstream([a, b, c], [b], 0, 0)).toBe(c);
  });

  it("is by turns also among handlers that are made for one connection each", async () => {
    const { upstreams } = await testUpstreams();
    const spec = {
      kind: "forward",
      upstreams: [{ path: "a" }, { path: "b" }],
      proxyProtocol: 0,
    } as const;
    const chosen = Array.from(
      { length: 4 },
      () => new ForwardHandler(spec, upstreams).choose([])?.name,
    );
    expect(new Set(chosen).size).toBe(2);
    expect(chosen.slice(2)).toEqual(chosen.slice(0, 2));
  });

  it("is named by address", () => {
    expect(upstreamName({ hostname: "::1", port: 80 })).toBe("[::1]:80");
    expect(upstreamName({ hostname: "app.internal", port: 80 })).toBe("app.internal:80");
  });
});

describe("an upstream that fails", () => {
  it("is out for longer each time, and many connections that fail together are one failure", () => {
    const upstream = new Upstream({ path: "x" });
    for (let i = 0; i < 100; i++) upstream.failed(i, DEFAULT_UPSTREAM_LIMITS);
    expect(upstream.failures).toBe(1);
    expect(upstream.outUntilMs).toBe(1000);
    upstream.failed(1000, DEFAULT_UPSTREAM_LIMITS);
    expect(upstream.outUntilMs).toBe(3000);
    expect(upstream.worked()).toBe(true);
    expect(upstream.worked()).toBe(false);
    expect(upstream.isOut(1001)).toBe(false);
  });
});

describe("descriptors or memory that we have not", () => {
  it.each(["EMFILE", "ENFILE", "ENOMEM", "ENOBUFS", "EADDRNOTAVAIL"])(
    "are no failure of an upstream: %s",
    async (code) => {
      const { upstreams, log } = await testUpstreams();
      const upstream = upstreams.of({ path: "a" });
      upstreams.failed(upstream, Object.assign(new Error("too many"), { code }));
      expect(upstream).toMatchObject({ failures: 0, outUntilMs: -Infinity });
      expect(log).toMatchObject([{ level: "error", event: "cannot_connect", err: code }]);
    },
  );
});

describe("the log", () => {
  it("has what a runtime says of an error without a code", async () => {
    const { upstreams, log } = await testUpstreams();
    upstreams.failed(upstreams.of({ path: "a" }), new Error("failed to look it up"));
    expect(log).toMatchObject([{ event: "upstream_failed", err: "failed to look it up" }]);
  });
});

describe("checks", () => {
  it("find out that nobody is there, and that somebody is back", async () => {
    const address = await refusingAddress() as { hostname: string; port: number };
    const { upstreams, clock, log } = await testUpstreams();
    upstreams.keep([{ upstreams: [address], checkEveryMs: 5_000 }]);
    const upstream = upstreams.of(address);
    clock.advance(250);
    await until(() => upstream.failures === 1 && !upstream.checking);
    const server = await TestUpstream.start((socket) => void socket.resume(), {
      port: address.port,
    });
    clock.advance(250);
    await until(() => upstream.failures === 0 && !upstream.checking);
    expect(upstream.connections).toBe(0);
    expect(log.map(({ event }) => event)).toEqual(["upstream_failed", "upstream_is_back"]);
    await server.stop();
  });

  it("do not bring back one that accepts connections and breaks them off: an answer does", async () => {
    const { upstreams, clock, log } = await testUpstreams();
    const server = await TestUpstream.start((socket) => void socket.resume());
    upstreams.keep([{ upstreams: [server.address], checkEveryMs: 1000 }]);
    const upstream = upstreams.of(server.address);
    const accepted = true;
    upstreams.failed(upstream, new Error("reset"), accepted);
    clock.advance(250);
    await until(() => server.sockets.length === 1 && !upstream.checking);
    expect(upstream.isOut(clock.monotonicMs())).toBe(true);
    clock.advance(upstreams.limits.firstOutMs);
    upstreams.failed(upstream, new Error("reset"), accepted);
    expect(upstream).toMatchObject({ failures: 2 });
    upstreams.answered(upstream);
    expect(upstream).toMatchObject({ failures: 0 });
    expect(log.map(({ event }) => event)).toEqual([
      "upstream_failed",
      "upstream_failed",
      "upstream_is_back",
    ]);
  });

  it("are not made for upstreams that nobody has any more, or that wish for none", async () => {
    const address = await refusingAddress();
    const real = await thisRuntime();
    let connects = 0;
    const { upstreams, clock } = await testUpstreams({
      runtime: {
        connect: (target, events) => (connects++, real.connect(target, events)),
      },
    });
    upstreams.keep([{ upstreams: [address] }]);
    clock.advance(1000);
    expect(connects).toBe(0);
    upstreams.keep([{ upstreams: [address], checkEveryMs: 1000 }]);
    const known = upstreams.of(address);
    clock.advance(250);
    expect(connects).toBe(1);
    await until(() => !known.checking);
    upstreams.keep([{ upstreams: [address], checkEveryMs: 1000 }]);
    expect(upstreams.of(address)).toBe(known);
    upstreams.keep([]);
    clock.advance(1000);
    expect(connects).toBe(1);
    expect(upstreams.of(address)).not.toBe(known);
  });

  it("say nothing any more of one that is not to be checked since they began", async () => {
    const asked: PromiseWithResolvers<Socket>[] = [];
    const { upstreams, clock, log } = await testUpstreams({
      runtime: {
        connect() {
          const answer = Promise.withResolvers<Socket>();
          asked.push(answer);
          return answer.promise;
        },
      },
    });
    const address = { path: "a" };
    upstreams.keep([{ upstreams: [address], checkEveryMs: 1000 }]);
    clock.advance(1000);
    upstreams.keep([]);
    asked[0]!.reject(new Error("nobody"));
    upstreams.keep([{ upstreams: [address], checkEveryMs: 1000 }]);
    clock.advance(1000);
    upstreams.stop();
    asked[1]!.reject(new Error("nobody"));
    await turn();
    expect(asked).toHaveLength(2);
    expect(log).toEqual([]);
  });

  it("that take too long have failed, and do not pile up", async () => {
    let connects = 0;
    const { upstreams, clock, log } = await testUpstreams({
      runtime: {
        connect: (_target, _events, attempt) => (connects++, tooLong(attempt?.timeoutMs)),
      },
      limits: { checkTimeoutMs: 20 },
    });
    onTestFinished(() => upstreams.stop());
    const address = { hostname: "192.0.2.1", port: 1 };
    upstreams.keep([{ upstreams: [address], checkEveryMs: 1000 }]);
    clock.advance(1000);
    expect(connects).toBe(1);
    await until(() => upstreams.of(address).failures === 1);
    await turn();
    expect(log).toMatchObject([{ event: "upstream_failed", err: "ETIMEDOUT" }]);
  });
});

describe("a configuration without an upstream", () => {
  const address = { path: "a" };

  it("leaves it what it has while it has connections, and forgets it after", async () => {
    const { upstreams } = await testUpstreams();
    upstreams.keep([{ upstreams: [address] }]);
    const known = upstreams.of(address);
    known.connections = 1;
    upstreams.keep([]);
    expect(upstreams.of(address)).toBe(known);
    known.connections = 0;
    upstreams.keep([]);
    expect(upstreams.of(address)).not.toBe(known);
  });

  it("does not part a handler from it, should it come back", async () => {
    const { upstreams } = await testUpstreams();
    const handler = new ForwardHandler({
      kind: "forward",
      upstreams: [address],
      proxyProtocol: 0,
    }, upstreams);
    const before = handler.choose([]);
    upstreams.keep([]);
    upstreams.keep([{ upstreams: [address] }]);
    expect(handler.choose([])).toBe(upstreams.of(address));
    expect(handler.choose([])).not.toBe(before);
  });
});

/** As a runtime says that nobody has answered. */
async function tooLong(timeoutMs?: number): Promise<never> {
  expect(timeoutMs).toBe(20);
  await new Promise((resolve) => setTimeout(resolve, timeoutMs));
  throw timedOut();
}

function reset(): void {
  for (const upstream of [a, b, c]) {
    upstream.connections = 0;
    upstream.outUntilMs = -Infinity;
  }
}

function names(turn: number): string | undefined {
  return chooseUpstream([a, b, c], [], 0, turn)?.name;
}
