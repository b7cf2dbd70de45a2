/**
 * An edge on a real port, with time in the test's hands.
 * @module
 */
import net from "node:net";
import { onTestFinished } from "vitest";
import { type ClientConnection, type ClientOptions, connect } from "../../src/client/client.ts";
import { connectTcp } from "../../src/client/tcp-transport.ts";
import { type Clock, SWEEP_MS } from "../../src/edge/deadlines.ts";
import type {
  ConnectionFacts,
  Handler,
  HandlerConnection,
  Stream,
} from "../../src/edge/handlers/handler.ts";
import { RespondHandler } from "../../src/edge/handlers/respond.ts";
import { type EdgeParts, EdgeServer } from "../../src/edge/server.ts";
import { thisRuntime } from "../../src/runtime/detect.ts";
import { credentialFromPem, type CredentialPem } from "../../src/snapshot/credential.ts";
import {
  type HostRules,
  type Site,
  Snapshot,
  type SnapshotParts,
} from "../../src/snapshot/snapshot.ts";
import type { SiteConfig } from "../../src/tls/config.ts";
import { testCertificate } from "../support/certificates.ts";
import { testCrypto, testServer, type TestServerOptions } from "../support/server-config.ts";

export class ManualClock implements Clock {
  #nowMs = 1_000_000;
  readonly #ticks = new Set<() => void>();

  monotonicMs(): number {
    return this.#nowMs;
  }
  wallMs(): number {
    return Date.now();
  }
  every(_ms: number, tick: () => void): () => void {
    this.#ticks.add(tick);
    return () => this.#ticks.delete(tick);
  }

  /** Moves on as time does: tick by tick. */
  advance(ms: number): void {
    for (let left = ms; left > 0; left -= SWEEP_MS) {
      this.#nowMs += Math.min(left, SWEEP_MS);
      for (const tick of Array.from(this.#ticks)) tick();
    }
  }
}

export interface SiteWish {
  readonly names: readonly string[];
  /** Names in its certificate, where they are others. */
  readonly covers?: readonly string[];
  readonly text?: string;
  readonly publicNameOnly?: boolean;
  readonly requireEch?: boolean;
  readonly hosts?: HostRules;
  readonly clientAuth?: SiteConfig["clientAuth"];
  readonly tls?: Partial<SiteConfig>;
}

export interface EdgeWish extends Partial<Omit<EdgeParts, "clock" | "snapshot">> {
  readonly tls?: TestServerOptions;
  readonly sites?: readonly SiteWish[];
  readonly snapshot?: Partial<SnapshotParts>;
}

export interface LogLine {
  readonly level: string;
  readonly event: string;
  readonly [field: string]: unknown;
}

export class TestEdge {
  readonly server: EdgeServer;
  readonly clock: ManualClock;
  readonly port: number;
  readonly roots: readonly string[];
  readonly configList: Uint8Array | undefined;
  readonly log: LogLine[];
  readonly snapshot: Snapshot;

  static async start(wish: EdgeWish = {}): Promise<TestEdge> {
    const { tls, sites = [{ names: ["a.example"] }], snapshot: more, ...parts } = wish;
    const test = await testServer(tls);
    const built = await Promise.all(sites.map((site) => siteOf(site, test.site)));
    const snapshot = new Snapshot({ server: test.config, sites: built, ...more });
    const clock = new ManualClock();
    const log: LogLine[] = [];
    const server = new EdgeServer({
      runtime: await thisRuntime(),
      snapshot,
      handlers: (site) =>
        new RespondHandler(site.handler.kind === "respond" ? site.handler.text : ""),
      log: { event: (level, event, fields) => void log.push({ level, event, ...fields }) },
      rethrow: true,
      ...parts,
      clock,
    });
    const { port } = await server.listen("127.0.0.1", 0);
    onTestFinished(async () => {
      const stopped = server.stop();
      server.abort();
      while (server.liveConnections > 0) await turn();
      clock.advance(SWEEP_MS);
      await stopped;
    });
    return new TestEdge(server, clock, port, test.roots, test.configList, log, snapshot);
  }

  private constructor(
    server: EdgeServer,
    clock: ManualClock,
    port: number,
    roots: readonly string[],
    configList: Uint8Array | undefined,
    log: LogLine[],
    snapshot: Snapshot,
  ) {
    this.server = server;
    this.clock = clock;
    this.port = port;
    this.roots = roots;
    this.configList = configList;
    this.log = log;
    this.snapshot = snapshot;
  }

  async connect(options: Partial<ClientOptions> = {}): Promise<ClientConnection> {
    const transport = await connectTcp("127.0.0.1", this.port);
    return await connect(transport, {
      crypto: testCrypto,
      serverName: "a.example",
      roots: this.roots,
      ...options,
    });
  }

  /** The same, with its TCP connection in the test's hands. */
  async connectOver(): Promise<{ client: ClientConnection; socket: net.Socket }> {
    const { socket } = await this.raw();
    const chunks: (Uint8Array | undefined)[] = [];
    let wake: (() => void) | undefined;
    const push = (chunk: Uint8Array | undefined): void => {
      chunks.push(chunk);
      wake?.();
    };
    socket.on("data", push);
    socket.on("end", () => push(undefined));
    const client = await connect({
      write: (bytes) => void socket.write(bytes),
      async read() {
        while (chunks.length === 0) await new Promise<void>((resolve) => wake = resolve);
        return chunks.shift();
      },
      close: () => socket.end(),
    }, { crypto: testCrypto, serverName: "a.example", roots: this.roots });
    return { client, socket };
  }

  /** A TCP connection that says what the test says. */
  async raw(): Promise<RawClient> {
    const socket = net.connect({ port: this.port, host: "127.0.0.1", allowHalfOpen: true });
    const client = new RawClient(socket);
    await new Promise((resolve) => socket.once("connect", resolve));
    onTestFinished(() => void socket.destroy());
    return client;
  }
}

export class RawClient {
  readonly socket: net.Socket;
  received: Buffer = Buffer.alloc(0);
  ended = false;
  closed = false;
  error: string | undefined;

  constructor(socket: net.Socket) {
    this.socket = socket;
    socket.on("data", (chunk) => this.received = Buffer.concat([this.received, chunk]));
    socket.on("end", () => this.ended = true);
    socket.on("close", () => this.closed = true);
    socket.on("error", (error: Error & { code?: string }) => this.error = error.code);
  }

  get text(): string {
    return this.received.toString("latin1");
  }
}

async function siteOf(wish: SiteWish, base: SiteConfig): Promise<Site> {
  const certificate = await testCertificate({ names: wish.covers ?? wish.names });
  const pem: CredentialPem = {
    id: wish.names[0]!,
    certificatePem: certificate.chainPem,
    keyPem: certificate.keyPem,
  };
  return {
    names: wish.names,
    tls: {
      ...base,
      credentials: [credentialFromPem(testCrypto, pem)],
      clientAuth: wish.clientAuth ?? base.clientAuth,
      tickets: wish.clientAuth === undefined && base.tickets,
      ...wish.tls,
    },
    handler: { kind: "respond", text: wish.text ?? `this is ${wish.names[0]}` },
    publicNameOnly: wish.publicNameOnly ?? false,
    ...(wish.requireEch && { requireEch: true }),
    ...(wish.hosts && { hosts: wish.hosts }),
  };
}

/** A handler of functions, for tests that look at one thing. */
export function handler(
  open: (stream: Stream, facts: ConnectionFacts) => Partial<HandlerConnection>,
): () => Handler {
  return () => ({
    kind: "respond",
    alpn: [],
    open: (stream, facts) => ({
      data() {},
      end: () => stream.end(),
      drain() {},
      close() {},
      ...open(stream, facts),
    }),
  });
}

export function get(host: string, path = "/", ...fields: string[]): Uint8Array {
  const lines = [`GET ${path} HTTP/1.1`, `Host: ${host}`, ...fields, "", ""];
  return new TextEncoder().encode(lines.join("\r\n"));
}

/** All until close_notify. */
export async function readText(client: ClientConnection): Promise<string> {
  let text = "";
  for (let bytes = await client.read(); bytes; bytes = await client.read()) text += decode(bytes);
  return text;
}

/** Until `text` has come. */
export async function readUntil(client: ClientConnection, text: string): Promise<string> {
  let all = "";
  while (!all.includes(text)) {
    const bytes = await client.read();
    if (bytes === undefined) throw new Error(`ended after ${JSON.stringify(all)}`);
    all += decode(bytes);
  }
  return all;
}

export function decode(bytes: Uint8Array): string {
  return new TextDecoder("latin1").decode(bytes);
}

export function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 1));
}

export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turn();
}
