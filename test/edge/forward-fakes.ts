/**
 * Both sides of a forwarded connection, in the test's hands: what they do is what a session and a runtime's socket may do.
 * @module
 */
import { ForwardHandler } from "../../src/edge/handlers/forward.ts";
import type { Endpoints, HandlerConnection, Stream } from "../../src/edge/handlers/handler.ts";
import type { Upstreams } from "../../src/edge/upstreams/upstreams.ts";
import type { ConnectAttempt, Runtime, Socket, SocketEvents } from "../../src/runtime/runtime.ts";
import { timedOut } from "../../src/runtime/timed-out.ts";
import type { UpstreamAddress } from "../../src/snapshot/forward-spec.ts";

const ENDPOINTS: Endpoints = {
  remoteAddress: "192.0.2.1",
  remotePort: 4711,
  localAddress: "192.0.2.2",
  localPort: 443,
};

/** A client, as its session shows it. */
export class FakeClient implements Stream {
  readonly connection: HandlerConnection;
  received: number[] = [];
  sent: number[] = [];
  /** Bytes of room: one write may go beyond. */
  room: number;
  waits = false;
  paused = false;
  /** What we did. */
  ended = false;
  writeEnded = false;
  aborted = false;
  /** What it did. */
  hasEnded = false;
  isGone = false;

  constructor(
    upstreams: Upstreams,
    among: readonly UpstreamAddress[],
    { proxyProtocol = 0, room = Infinity }: { proxyProtocol?: 0 | 1; room?: number } = {},
  ) {
    this.room = room;
    const handler = new ForwardHandler(
      { kind: "passthrough", upstreams: among, proxyProtocol },
      upstreams,
    );
    this.connection = handler.openEncrypted(this, ENDPOINTS, "a.example");
  }

  get isOver(): boolean {
    return this.ended || this.aborted;
  }

  write(bytes: Uint8Array, start: number, end: number): boolean {
    if (this.isOver || this.writeEnded) return false;
    this.received.push(...bytes.subarray(start, end));
    this.room -= end - start;
    this.waits = this.room <= 0;
    return !this.waits;
  }
  end(): void {
    this.ended = true;
  }
  endWrite(): void {
    this.writeEnded = true;
  }
  abort(): void {
    this.aborted = true;
  }
  pause(): void {
    this.paused = true;
  }
  resume(): void {
    this.paused = false;
  }

  /** One turn: these pieces, as long as anybody listens. */
  sends(...pieces: readonly (readonly number[])[]): void {
    if (this.hasEnded || this.isOver || this.isGone) return;
    for (const piece of pieces) {
      this.sent.push(...piece);
      this.connection.data(Uint8Array.from([0, ...piece, 0]), 1, piece.length + 1);
    }
    this.connection.flush?.();
  }
  ends(): void {
    if (this.hasEnded || this.isGone) return;
    this.hasEnded = true;
    this.connection.end();
  }
  /** There is room again. */
  reads(room: number): void {
    if (this.isGone) return;
    this.room = room;
    if (!this.waits || this.isOver) return;
    this.waits = false;
    this.connection.drain();
  }
  goes(): void {
    if (this.isGone) return;
    this.isGone = true;
    this.connection.close();
  }
}

/** An upstream's connection, as a runtime shows it. */
export class FakeSocket implements Socket {
  readonly remoteAddress = "127.0.0.1";
  readonly remotePort = 1;
  readonly localAddress = "127.0.0.1";
  readonly localPort = 2;
  readonly events: SocketEvents;
  received: number[] = [];
  sent: number[] = [];
  room: number;
  short = false;
  /** What we did. */
  paused = false;
  finSent = false;
  over: "close" | "terminate" | undefined;
  /** What it did. */
  hasEnded = false;
  isClosed = false;

  constructor(events: SocketEvents, room: number = Infinity) {
    this.events = events;
    this.room = room;
  }

  write(bytes: Uint8Array, start: number, end: number): number {
    if (this.over !== undefined || this.isClosed || this.finSent) return 0;
    const taken = Math.min(end - start, this.room);
    this.received.push(...bytes.subarray(start, start + taken));
    this.room -= taken;
    this.short ||= taken < end - start;
    return taken;
  }
  pause(): void {
    this.paused = true;
  }
  resume(): void {
    this.paused = false;
  }
  shutdown(): void {
    this.finSent = true;
  }
  close(): void {
    this.over ??= "close";
  }
  terminate(): void {
    this.over = "terminate";
  }

  get isDeaf(): boolean {
    return this.isClosed || this.over !== undefined;
  }

  sends(bytes: readonly number[]): void {
    if (this.hasEnded || this.isDeaf) return;
    this.sent.push(...bytes);
    this.events.data(Uint8Array.from(bytes));
  }
  ends(): void {
    if (this.hasEnded || this.isDeaf) return;
    this.hasEnded = true;
    this.events.end();
  }
  reads(room: number): void {
    this.room = room;
    if (!this.short || this.isDeaf) return;
    this.short = false;
    this.events.drain();
  }
  closes(error?: Error): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.events.close(error);
  }
}

export interface Asked {
  readonly target: UpstreamAddress;
  readonly events: SocketEvents;
  /** Once accepted. */
  socket: FakeSocket | undefined;
  isOpen: boolean;
  readonly attempt: ConnectAttempt | undefined;
  accept(room?: number): FakeSocket;
  refuse(): void;
}

/** Nobody is connected to anybody before the test says so. */
export class FakeRuntime implements Pick<Runtime, "connect"> {
  readonly asked: Asked[] = [];

  connect(
    target: UpstreamAddress,
    events: SocketEvents,
    attempt?: ConnectAttempt,
  ): Promise<Socket> {
    const { promise, resolve, reject } = Promise.withResolvers<Socket>();
    const asked: Asked = {
      target,
      events,
      socket: undefined,
      isOpen: true,
      attempt,
      accept(room) {
        asked.isOpen = false;
        if (attempt !== undefined) attempt.giveUp = undefined;
        resolve(asked.socket = new FakeSocket(events, room));
        return asked.socket;
      },
      refuse() {
        asked.isOpen = false;
        reject(Object.assign(new Error("refused"), { code: "ECONNREFUSED" }));
      },
    };
    if (attempt !== undefined) {
      attempt.giveUp = () => {
        asked.isOpen = false;
        reject(timedOut());
      };
    }
    this.asked.push(asked);
    return promise;
  }
}

/** Until promises that are settled have been heard. */
export async function heard(): Promise<void> {
  for (let i = 0; i < 8; i++) await Promise.resolve();
}
