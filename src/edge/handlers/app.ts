/**
 * `app`: a fetch function, served by the runtime's own HTTP server. Decrypted bytes are passed on, not parsed.
 * @module
 */
import { parseHost } from "../../http/host.ts";
import { endsResponse } from "../../http/response-head.ts";
import type { HttpServer, Runtime, Socket, SocketEvents } from "../../runtime/runtime.ts";
import { describeException } from "../exception.ts";
import type { Log } from "../log.ts";
import { gather, GATHERED, isToGather, takeGathered } from "./gather.ts";
import type { ConnectionFacts, Handler, HandlerConnection, Stream } from "./handler.ts";
import { RespondHandler } from "./respond.ts";

/** A hono app's `fetch` is one: the facts are its env. */
export type App = (request: Request, facts: ConnectionFacts) => Response | Promise<Response>;

export class AppHandler implements Handler {
  readonly kind = "app";
  readonly alpn = ["http/1.1"];
  readonly log: Log;
  readonly server: HttpServer<AppConnection>;
  readonly #app: App;
  readonly #misdirected = new RespondHandler("");

  static async start(runtime: Runtime, app: App, log: Log): Promise<AppHandler> {
    const server = await runtime.serveHttp<AppConnection>((request, connection) =>
      connection.answer(request)
    );
    return new AppHandler(server, app, log);
  }

  private constructor(server: HttpServer<AppConnection>, app: App, log: Log) {
    this.server = server;
    this.#app = app;
    this.log = log;
  }

  open(stream: Stream, facts: ConnectionFacts): HandlerConnection {
    if (facts.publicNameOnly) return this.#misdirected.open(stream, facts);
    return new AppConnection(this, stream, facts);
  }

  /** Host is judged before the app sees the request (policy §7.5, §8.5). */
  async answer(request: Request, facts: ConnectionFacts): Promise<Response> {
    try {
      const host = askedHost(request);
      if (host === undefined) return refusal(400);
      // Of another site that is no app, the client is to come again.
      const handler = facts.handlerOf(host);
      if (!(handler instanceof AppHandler)) return refusal(421);
      return await handler.#app(request, facts);
    } catch (error) {
      this.log.event("error", "app_failed", describeException(error));
      return new Response(null, { status: 500 });
    }
  }

  stop(): Promise<void> {
    return this.server.stop();
  }
}

function refusal(status: number): Response {
  return new Response(null, { status, headers: { connection: "close" } });
}

/** The host of the URL that the app will see; undefined if that is no URL, or the Host field names another. */
function askedHost(request: Request): string | undefined {
  if (!URL.canParse(request.url)) return undefined;
  const field = request.headers.get("host");
  const fromField = field === null ? undefined : parseHost(field)?.host;
  const fromUrl = parseHost(new URL(request.url).host)?.host;
  return fromField === fromUrl ? fromUrl : undefined;
}

/** One connection into the HTTP server for one TLS connection, opened at its first byte. */
export class AppConnection implements HandlerConnection {
  readonly facts: ConnectionFacts;
  readonly #handler: AppHandler;
  readonly #stream: Stream;
  #server: Socket | undefined;
  /** For the server, and not taken yet. */
  #waiting: Uint8Array | undefined;
  #connecting = false;
  #gone = false;
  /** As far as the bytes tell, the server owes nothing. */
  #answered = true;
  /** Requests that the app has and has not answered. */
  #answering = 0;
  /** An answer says Connection: close. Deno's server does not act on it. */
  #endsAfterAnswer = false;
  /** The peer has ended: time until the next look whether all is answered. */
  #look: ReturnType<typeof setTimeout> | undefined;
  #moved = false;

  constructor(handler: AppHandler, stream: Stream, facts: ConnectionFacts) {
    this.#handler = handler;
    this.#stream = stream;
    this.facts = facts;
    void facts.remoteAddress; // asked while it is open: an app may want it when it is not
  }

  /** A request has come out of the server. */
  async answer(request: Request): Promise<Response> {
    this.#answering++;
    try {
      const response = await this.#handler.answer(request, this.facts);
      if (response.headers.get("connection")?.toLowerCase() === "close") {
        this.#endsAfterAnswer = true;
      }
      return response;
    } finally {
      this.#answering--;
    }
  }

  data(bytes: Uint8Array, start: number, end: number): void {
    if (this.#gone) return;
    this.#answered = false;
    if (this.#waiting === undefined && isToGather(end - start)) {
      return gather(this, bytes, start, end);
    }
    this.flush();
    this.#pass(bytes, start, end);
  }

  flush(): void {
    const length = takeGathered(this);
    if (length > 0) this.#pass(GATHERED, 0, length);
  }

  /** What the server does not take is kept, and the client waits meanwhile. */
  #pass(bytes: Uint8Array, start: number, end: number): void {
    let at = start;
    if (this.#waiting === undefined) at += this.#server?.write(bytes, start, end) ?? 0;
    if (at === end) return;
    this.#waiting = joined(this.#waiting, bytes, at, end);
    this.#stream.pause();
    if (this.#server === undefined && !this.#connecting) void this.#connect();
  }

  /**
   * The peer sends nothing more, but may still wait for an answer. Servers take the end of their connection for a
   * reason to drop it (Bun and Deno both do), so they are not told before all is answered.
   */
  end(): void {
    if (this.#answered && this.#answering === 0) return this.#finish();
    this.#moved = false;
    this.#look ??= setTimeout(() => {
      this.#look = undefined;
      if (this.#gone) return;
      if (this.#moved || this.#answering > 0 || this.#connecting) this.end();
      else this.#finish();
    }, QUIET_MS);
  }

  drain(): void {
    this.#server?.resume();
  }

  close(): void {
    takeGathered(this); // dropped: it was to be written to what ends here
    this.#gone = true;
    this.#waiting = undefined;
    clearTimeout(this.#look);
    this.#server?.terminate();
    this.#server = undefined;
  }

  // The server's side of it

  fromServer(bytes: Uint8Array): void {
    if (this.#gone) return;
    this.#moved = true;
    this.#answered = endsResponse(bytes);
    if (!this.#stream.write(bytes, 0, bytes.length)) this.#server?.pause();
    this.#server?.giveBack?.(bytes);
    if (this.#endsAfterAnswer && this.#answered) this.#finish();
  }

  serverDrained(): void {
    const waiting = this.#waiting;
    if (waiting === undefined || this.#server === undefined) return;
    const taken = this.#server.write(waiting, 0, waiting.length);
    this.#waiting = taken < waiting.length ? waiting.subarray(taken) : undefined;
    if (this.#waiting === undefined) this.#stream.resume();
  }

  serverEnded(): void {
    this.#finish();
  }

  async #connect(): Promise<void> {
    this.#connecting = true;
    try {
      const server = await this.#handler.server.connect(this, new ServerEvents(this));
      this.#connecting = false;
      if (this.#gone) return server.terminate();
      this.#server = server;
      this.serverDrained();
    } catch (error) {
      this.#connecting = false;
      this.#handler.log.event("error", "app_not_reached", describeException(error));
      this.#stream.abort();
    }
  }

  #finish(): void {
    if (this.#gone) return;
    this.close();
    this.#stream.end();
  }
}

/** So long must a server have been quiet to have nothing more to say to a peer that has ended. */
const QUIET_MS = 1_000;

class ServerEvents implements SocketEvents {
  readonly #connection: AppConnection;

  constructor(connection: AppConnection) {
    this.#connection = connection;
  }

  data(bytes: Uint8Array): void {
    this.#connection.fromServer(bytes);
  }
  drain(): void {
    this.#connection.serverDrained();
  }
  end(): void {
    this.#connection.serverEnded();
  }
  close(): void {
    this.#connection.serverEnded();
  }
}

function joined(
  before: Uint8Array | undefined,
  bytes: Uint8Array,
  start: number,
  end: number,
): Uint8Array {
  if (before === undefined) return bytes.slice(start, end);
  const all = new Uint8Array(before.length + end - start);
  all.set(before);
  all.set(bytes.subarray(start, end), before.length);
  return all;
}
