/**
 * The runtime's own HTTP server behind loopback TCP, one connection for each TLS connection (Bun and Deno).
 *
 * Who a request belongs to is told by the source port of its connection: entered before the first byte is written,
 * removed when the connection closes. A port we do not know gets 403, so no other process on this host and no header
 * can borrow somebody's facts.
 *
 * @module
 */
import type { AnswerHttp, HttpServer, Runtime, Socket, SocketEvents } from "./runtime.ts";

export type HopFetch = (
  request: Request,
  peer: { readonly address: string; readonly port: number } | undefined,
) => Response | Promise<Response>;

export type StartHop = (fetch: HopFetch) => {
  readonly port: number;
  stop(): Promise<void>;
};

export class HttpHop<Tag extends object> implements HttpServer<Tag> {
  strangers = 0;
  readonly #runtime: Pick<Runtime, "connect">;
  readonly #answer: AnswerHttp<Tag>;
  readonly #serve: StartHop;
  readonly #ports: HopPort<Tag>[] = [];

  static start<Tag extends object>(
    runtime: Pick<Runtime, "connect">,
    answer: AnswerHttp<Tag>,
    serve: StartHop,
  ): Promise<HttpHop<Tag>> {
    const hop = new HttpHop<Tag>(runtime, answer, serve);
    hop.#listen();
    return Promise.resolve(hop);
  }

  private constructor(
    runtime: Pick<Runtime, "connect">,
    answer: AnswerHttp<Tag>,
    serve: StartHop,
  ) {
    this.#runtime = runtime;
    this.#answer = answer;
    this.#serve = serve;
  }

  /** Where it listens, on 127.0.0.1. */
  get ports(): readonly number[] {
    return this.#ports.map(({ port }) => port);
  }

  async connect(tag: Tag, events: SocketEvents): Promise<Socket> {
    const hop = this.#ports.find((port) => port.connections < MAX_CONNECTIONS_PER_PORT) ??
      this.#listen();
    hop.connections++;
    const forwarding = new ForwardingEvents(hop, events);
    try {
      const target = { hostname: LOOPBACK, port: hop.port };
      const socket = await this.#runtime.connect(target, forwarding);
      hop.tags.set(socket.localPort, tag);
      forwarding.sourcePort = socket.localPort;
      return socket;
    } catch (error) {
      hop.connections--;
      throw error;
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.#ports.splice(0).map((port) => port.stop()));
  }

  /** Opens one more port: there are only so many source ports to one. */
  #listen(): HopPort<Tag> {
    const tags = new Map<number, Tag>();
    const server = this.#serve((request, peer) => {
      const tag = peer?.address === LOOPBACK ? tags.get(peer.port) : undefined;
      if (tag === undefined) {
        this.strangers++;
        return refusal(403);
      }
      const https = withHttps(request);
      return https === undefined ? refusal(400) : this.#answer(https, tag);
    });
    const port = { port: server.port, tags, connections: 0, stop: () => server.stop() };
    this.#ports.push(port);
    return port;
  }
}

const LOOPBACK = "127.0.0.1";
/** Linux gives about 28,000 source ports to one destination; the rest is for those in TIME_WAIT. */
const MAX_CONNECTIONS_PER_PORT = 20_000;

interface HopPort<Tag> {
  readonly port: number;
  /** By source port. */
  readonly tags: Map<number, Tag>;
  connections: number;
  stop(): Promise<void>;
}

/** Passes all on, and takes the connection out of the books at its close. */
class ForwardingEvents implements SocketEvents {
  sourcePort: number | undefined;
  readonly #hop: HopPort<object>;
  readonly #to: SocketEvents;

  constructor(hop: HopPort<object>, to: SocketEvents) {
    this.#hop = hop;
    this.#to = to;
  }

  data(bytes: Uint8Array): void {
    this.#to.data(bytes);
  }
  drain(): void {
    this.#to.drain();
  }
  end(): void {
    this.#to.end();
  }
  close(error: Error | undefined): void {
    if (this.sourcePort !== undefined) this.#hop.tags.delete(this.sourcePort);
    this.#hop.connections--;
    this.#to.close(error);
  }
}

/**
 * The server behind the hop believes it speaks plain HTTP; the app must not. Undefined: no request that an app could be
 * given, as where Host is none (some servers let those through) or for CONNECT.
 */
function withHttps(request: Request): Request | undefined {
  const url = `https${request.url.slice("http".length)}`;
  if (!request.url.startsWith("http:") || !URL.canParse(url)) return undefined;
  try {
    return new Request(url, request);
  } catch {
    return undefined;
  }
}

function refusal(status: number): Response {
  return new Response(null, { status, headers: { connection: "close" } });
}
