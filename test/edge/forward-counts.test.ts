/**
 * Whatever happens in whatever order: nobody is counted who is gone, nobody is left behind, no byte is lost or made up.
 */
import fc from "fast-check";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { Upstreams } from "../../src/edge/upstreams/upstreams.ts";
import type { Upstream } from "../../src/edge/upstreams/upstream.ts";
import { ManualClock } from "./edge-kit.ts";
import { type Asked, FakeClient, FakeRuntime, heard } from "./forward-fakes.ts";

const ADDRESSES = [{ path: "a" }, { path: "b" }] as const;
const SITE = { upstreams: ADDRESSES, checkEveryMs: 1_000 };
const EVENTS = [
  "a client comes",
  "a client sends",
  "a client ends",
  "a client reads",
  "a client goes",
  "an upstream accepts",
  "an upstream refuses",
  "an upstream speaks before it is heard",
  "an upstream resets before it is heard",
  "an upstream sends",
  "an upstream reads",
  "an upstream ends",
  "an upstream closes",
  "an upstream resets",
  "promises are heard",
  "time goes on",
  "a configuration has other sites",
  "a configuration has these sites",
] as const;
type Event = (typeof EVENTS)[number];

/** Which event, whom it happens to, and how much of it. */
const event = fc.tuple(fc.constantFrom(...EVENTS), fc.nat(11), fc.nat(5));
const events = fc.array(event, { maxLength: 50, size: "max" });

class World {
  readonly runtime = new FakeRuntime();
  readonly clock = new ManualClock();
  readonly clients: FakeClient[] = [];
  /** All that ever were: some may be forgotten. */
  readonly known = new Set<Upstream>();
  readonly upstreams: Upstreams = new Upstreams({
    runtime: this.runtime,
    clock: this.clock,
    log: {
      event(_level, what, fields) {
        if (what.includes("exception")) throw new Error(JSON.stringify(fields));
      },
    },
    limits: { firstOutMs: 500 },
  });
  #next = 0;

  /** No two in a row are alike, and none could be of a PROXY header. */
  #bytes(count: number): number[] {
    return Array.from({ length: count }, () => 128 + this.#next++ % 127);
  }

  async happens(event: Event, whom: number, much: number): Promise<void> {
    const { asked } = this.runtime;
    const client = this.clients[whom % this.clients.length];
    const waiting = pick(asked.filter(({ isOpen }) => isOpen), whom);
    const socket = pick(asked.filter(({ socket }) => socket), whom)?.socket;
    switch (event) {
      case "a client comes":
        if (this.clients.length >= 4) return;
        this.clients.push(
          new FakeClient(this.upstreams, ADDRESSES, {
            proxyProtocol: whom % 2 === 0 ? 0 : 1,
            room: much,
          }),
        );
        break;
      case "a client sends":
        return client?.sends(this.#bytes(much + 1), this.#bytes(much));
      case "a client ends":
        return client?.ends();
      case "a client reads":
        return client?.reads(much);
      case "a client goes":
        return client?.goes();
      case "an upstream accepts":
        return void waiting?.accept(whom < 6 ? much : Infinity);
      case "an upstream refuses":
        return waiting?.refuse();
      case "an upstream speaks before it is heard":
        return waiting?.accept(much).sends(this.#bytes(much + 1));
      case "an upstream resets before it is heard":
        return waiting?.accept(much).closes(new Error("reset"));
      case "an upstream sends":
        return socket?.sends(this.#bytes(much + 1));
      case "an upstream reads":
        return socket?.reads(whom < 6 ? much : Infinity);
      case "an upstream ends":
        return socket?.ends();
      case "an upstream closes":
        return socket?.closes();
      case "an upstream resets":
        return socket?.closes(new Error("reset"));
      case "promises are heard":
        await heard();
        break;
      case "time goes on":
        this.clock.advance(much * 250);
        break;
      case "a configuration has other sites":
        this.upstreams.keep([]);
        break;
      case "a configuration has these sites":
        this.upstreams.keep([SITE]);
    }
    for (const address of ADDRESSES) this.known.add(this.upstreams.of(address));
  }

  /** Everybody reads all, and what is asked for is refused. */
  async settles(): Promise<void> {
    this.upstreams.stop();
    for (let i = 0; i < 8; i++) {
      for (const asked of this.runtime.asked) if (asked.isOpen) asked.refuse();
      await heard();
      for (const { socket } of this.runtime.asked) socket?.reads(Infinity);
      for (const client of this.clients) client.reads(Infinity);
    }
  }
}

function pick<T>(all: readonly T[], which: number): T | undefined {
  return all.at(-1 - which % Math.max(all.length, 1));
}

const RUNS = { numRuns: 2_000 };

describe("whatever happens to forwarded connections", () => {
  it("every upstream has none when all are gone, and each of its sockets is closed", async () => {
    vi.useFakeTimers();
    onTestFinished(() => void vi.useRealTimers());
    await fc.assert(
      fc.asyncProperty(events, async (events) => {
        const world = new World();
        for (const each of events) await world.happens(...each);
        for (const client of world.clients) client.goes();
        await world.settles();
        vi.advanceTimersByTime(60_000); // for a last word that nobody takes
        for (const upstream of world.known) expect(upstream.connections).toBe(0);
        for (const { socket } of world.runtime.asked) {
          if (socket !== undefined) expect(socket.isDeaf).toBe(true);
        }
      }),
      RUNS,
    );
  });

  it("no connection is counted twice or not at all meanwhile", async () => {
    await fc.assert(
      fc.asyncProperty(events, async (events) => {
        const world = new World();
        for (const each of events) {
          await world.happens(...each);
          await heard();
          const counted = Array.from(world.known).reduce((sum, each) => sum + each.connections, 0);
          const most = world.clients.filter(({ isGone }) => !isGone).length +
            world.runtime.asked.filter(isLeftOpen).length;
          expect(counted).toBeGreaterThanOrEqual(0);
          expect(counted).toBeLessThanOrEqual(most);
        }
        await world.settles();
      }),
      RUNS,
    );
  });

  it("who is still there has all that was said, in order, or knows that it has not", async () => {
    await fc.assert(
      fc.asyncProperty(events, async (events) => {
        const world = new World();
        for (const each of events) await world.happens(...each);
        await world.settles();
        const sockets = world.runtime.asked.flatMap(({ socket }) => socket ?? []);
        for (const client of world.clients) {
          const own = sockets.filter((socket) => isPrefix(client.received, socket.sent));
          expect(own.length > 0 || client.received.length === 0).toBe(true);
          if (client.isGone) continue;
          if (client.ended || client.writeEnded) {
            expect(own.some(({ sent }) => sent.length === client.received.length)).toBe(true);
          }
          if (client.paused) expect(client.isOver || client.hasEnded).toBe(true);
        }
        // Nobody waits for what cannot come.
        const open = sockets.filter(({ isDeaf }) => !isDeaf).length;
        const waiting = world.clients.filter(({ isOver, isGone }) => !isOver && !isGone).length;
        const there = world.clients.filter(({ isGone }) => !isGone).length;
        expect(waiting).toBeLessThanOrEqual(open);
        expect(open).toBeLessThanOrEqual(there);
        for (const { received, finSent } of sockets) {
          const said = withoutHeader(received);
          const from = world.clients.filter(({ sent }) => isPrefix(said, sent));
          if (received.length > 0) expect(from).not.toEqual([]);
          // FIN stands behind all of it.
          const isWhole = from.some((each) => each.hasEnded && each.sent.length === said.length);
          if (finSent) expect(isWhole).toBe(true);
        }
      }),
      RUNS,
    );
  });
});

function isLeftOpen({ socket }: Asked): boolean {
  return socket !== undefined && !socket.isDeaf;
}

function isPrefix(part: readonly number[], whole: readonly number[]): boolean {
  return part.length <= whole.length && part.every((byte, i) => byte === whole[i]);
}

const HEADER = "PROXY TCP4 192.0.2.1 192.0.2.2 4711 443\r\n";

/** Of which some may be all that was taken. */
function withoutHeader(bytes: readonly number[]): readonly number[] {
  const head = String.fromCharCode(...bytes.slice(0, HEADER.length));
  return HEADER.startsWith(head) ? bytes.slice(head.length) : bytes;
}
