/**
 * node:http fed with decrypted streams: no port, so no stranger.
 * @module
 */
import http from "node:http";
import { Duplex } from "node:stream";
import { getRequestListener } from "@hono/node-server";
import type { AnswerHttp, HttpServer, Socket, SocketEvents } from "./runtime.ts";

export class NodeHttpServer<Tag extends object> implements HttpServer<Tag> {
  readonly strangers = 0;
  readonly #server: http.Server;
  readonly #tags = new WeakMap<object, Tag>();
  readonly #open = new Set<DecryptedStream>();

  constructor(answer: AnswerHttp<Tag>) {
    const listener = getRequestListener(
      (request, env) => {
        const tag = this.#tags.get((env as { incoming: http.IncomingMessage }).incoming.socket);
        if (tag === undefined) return new Response(null, { status: 403 });
        return answer(request, tag);
      },
      { overrideGlobalObjects: false },
    );
    // The edge has its own timeouts; only that for a request's head is left to node.
    this.#server = http.createServer(
      { keepAliveTimeout: 0, requestTimeout: 0 },
      (incoming, outgoing) => void listener(incoming, outgoing),
    );
    // A peer that has ended may still wait for its answer.
    Object.assign(this.#server, { httpAllowHalfOpen: true });
    // The check of headersTimeout starts with this event, which nothing else would raise.
    this.#server.emit("listening");
    // Deno destroys the socket after each response unless the server listens.
    Object.defineProperty(this.#server, "listening", { get: () => true });
  }

  connect(tag: Tag, events: SocketEvents): Promise<Socket> {
    const stream = new DecryptedStream(events);
    this.#tags.set(stream, tag);
    this.#open.add(stream);
    stream.once("close", () => this.#open.delete(stream));
    stream.on("error", () => {}); // `close` follows, with it
    this.#server.emit("connection", stream);
    return Promise.resolve(stream.socket);
  }

  stop(): Promise<void> {
    this.#server.close();
    for (const stream of this.#open) stream.destroy();
    return Promise.resolve();
  }
}

/** What node:http takes for a TLS socket. What it reads comes through `socket.write`. */
class DecryptedStream extends Duplex {
  /** So that the request's URL begins with https. */
  readonly encrypted = true;
  readonly socket: StreamSocket;
  readonly #events: SocketEvents;

  constructor(events: SocketEvents) {
    super({ allowHalfOpen: true, highWaterMark: 64 * 1024 });
    this.#events = events;
    this.socket = new StreamSocket(this);
  }

  override _read(): void {
    if (this.socket.wanted()) queueMicrotask(() => this.#events.drain());
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error) => void): void {
    this.#events.data(new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.length));
    this.socket.whenRunning(done);
  }

  /** Head and body of an answer come together; so they go on. */
  override _writev(
    chunks: readonly { readonly chunk: Buffer }[],
    done: (error?: Error) => void,
  ): void {
    this._write(Buffer.concat(chunks.map(({ chunk }) => chunk)), "buffer", done);
  }

  override _final(done: () => void): void {
    this.#events.end();
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    queueMicrotask(() => this.#events.close(error ?? undefined));
    done(error);
  }
}

class StreamSocket implements Socket {
  readonly remoteAddress = "";
  readonly remotePort = 0;
  readonly localAddress = "";
  readonly localPort = 0;
  readonly #stream: DecryptedStream;
  #full = false;
  #short = false;
  #paused = false;
  #waiting: (() => void) | undefined;

  constructor(stream: DecryptedStream) {
    this.#stream = stream;
  }

  write(bytes: Uint8Array, start: number, end: number): number {
    if (this.#stream.destroyed || this.#stream.readableEnded) return 0;
    if (this.#full) {
      this.#short = true;
      return 0;
    }
    this.#full = !this.#stream.push(Buffer.from(bytes.subarray(start, end)));
    return end - start;
  }

  /** The stream asks for more. True if a write was turned away since. */
  wanted(): boolean {
    const short = this.#short;
    this.#full = false;
    this.#short = false;
    return short;
  }

  whenRunning(next: () => void): void {
    if (this.#paused) this.#waiting = next;
    else next();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    const next = this.#waiting;
    this.#waiting = undefined;
    next?.();
  }

  shutdown(): void {
    if (!this.#stream.destroyed) this.#stream.push(null);
  }

  close(): void {
    this.shutdown();
  }

  terminate(): void {
    this.#stream.destroy();
  }
}
