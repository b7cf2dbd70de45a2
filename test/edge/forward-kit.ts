/**
 * Servers to forward to, and an edge that does.
 * @module
 */
import net from "node:net";
import { onTestFinished } from "vitest";
import { ForwardHandler } from "../../src/edge/handlers/forward.ts";
import { Upstreams, type UpstreamsParts } from "../../src/edge/upstreams/upstreams.ts";
import { thisRuntime } from "../../src/runtime/detect.ts";
import type { ForwardSpec, UpstreamAddress } from "../../src/snapshot/forward-spec.ts";
import { type EdgeWish, type LogLine, ManualClock, TestEdge } from "./edge-kit.ts";

export class TestUpstream {
  readonly server: net.Server;
  readonly sockets: net.Socket[] = [];
  readonly address: UpstreamAddress;

  /** `serve` gets each connection. At `path`, or at a free port or the one that is given. */
  static async start(
    serve: (socket: net.Socket) => void,
    at: { path?: string; port?: number } = {},
  ): Promise<TestUpstream> {
    const server = net.createServer({ allowHalfOpen: true });
    const { path, port = 0 } = at;
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      if (path === undefined) server.listen(port, "127.0.0.1", resolve);
      else server.listen(path, resolve);
    });
    return new TestUpstream(server, path, serve);
  }

  private constructor(
    server: net.Server,
    path: string | undefined,
    serve: (socket: net.Socket) => void,
  ) {
    this.server = server;
    this.address = path === undefined
      ? { hostname: "127.0.0.1", port: (server.address() as net.AddressInfo).port }
      : { path };
    server.on("connection", (socket) => {
      this.sockets.push(socket);
      socket.on("error", () => {});
      serve(socket);
    });
    onTestFinished(() => this.stop());
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
  }
}

/** All that one connection sent. */
export class Recorder {
  text = "";
  bytes = 0;
  ended = false;
  closed = false;
  readonly socket: net.Socket;

  /** FIN or a reset: which of the two a connection that is cut ends with is the runtime's. */
  get over(): boolean {
    return this.ended || this.closed;
  }

  constructor(socket: net.Socket) {
    this.socket = socket;
    socket.on("data", (chunk) => {
      this.bytes += chunk.length;
      if (this.text.length < 4096) this.text += chunk.toString("latin1");
    });
    socket.on("end", () => this.ended = true);
    socket.on("close", () => this.closed = true);
  }
}

/** Gives back what comes, and ends after the client's end. */
export function echo(socket: net.Socket): void {
  socket.pipe(socket);
}

/** An address where nobody listens: one that was free a moment ago. */
export async function refusingAddress(): Promise<UpstreamAddress> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as net.AddressInfo;
  await new Promise<void>((resolve) => server.close(() => resolve()));
  return { hostname: "127.0.0.1", port };
}

export interface Forwarding {
  readonly edge: TestEdge;
  readonly upstreams: Upstreams;
  /** Of the upstreams. */
  readonly clock: ManualClock;
  readonly log: LogLine[];
}

export interface ForwardWish extends EdgeWish {
  readonly proxyProtocol?: 0 | 1 | 2;
  readonly parts?: Partial<UpstreamsParts>;
}

export async function forwardTo(
  addresses: readonly UpstreamAddress[],
  { proxyProtocol = 0, parts, ...wish }: ForwardWish = {},
): Promise<Forwarding> {
  const { upstreams, clock, log } = await testUpstreams(parts);
  const spec: ForwardSpec = { kind: "forward", upstreams: addresses, proxyProtocol };
  const edge = await TestEdge.start({
    handlers: () => new ForwardHandler(spec, upstreams),
    ...wish,
  });
  return { edge, upstreams, clock, log };
}

export async function testUpstreams(
  parts: Partial<UpstreamsParts> = {},
): Promise<Omit<Forwarding, "edge">> {
  const clock = new ManualClock();
  const log: LogLine[] = [];
  const upstreams = new Upstreams({
    runtime: await thisRuntime(),
    clock,
    log: { event: (level, event, fields) => void log.push({ level, event, ...fields }) },
    ...parts,
  });
  onTestFinished(() => upstreams.stop());
  return { upstreams, clock, log };
}

export function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
