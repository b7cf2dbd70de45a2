/**
 * The runtime interface on Deno: Deno.listen, Deno.connect, Deno.serve.
 *
 * Reads and writes are promises here: a read waits with a buffer of its own, small while the connection is idle, and
 * what is written is copied, into a short queue where the write before it is under way. A buffer, a promise and an
 * error with its stack are each dear beside a read: none is made in vain.
 *
 * @module
 */
import { plainAddress } from "./address.ts";
import { HttpHop } from "./http-hop.ts";
import type {
  AnswerHttp,
  ConnectAttempt,
  ConnectTarget,
  HttpServer,
  Listener,
  ListenOptions,
  Runtime,
  Socket,
  SocketEvents,
} from "./runtime.ts";
import { timedOut } from "./timed-out.ts";

export function denoRuntime(): Runtime {
  const deno = (globalThis as unknown as { Deno?: Deno }).Deno;
  if (deno === undefined) throw new TypeError("Cannot use the Deno runtime outside of Deno");
  return new DenoRuntime(deno);
}

class DenoRuntime implements Runtime {
  readonly name = "deno";
  readonly version: string;
  readonly reusesPorts: boolean;
  readonly joinsFamilies = true;
  readonly #deno: Deno;

  constructor(deno: Deno) {
    this.#deno = deno;
    this.version = deno.version.deno;
    // Without --unstable-net, asking for it would end the process; this function is there with it alone.
    this.reusesPorts = deno.build.os === "linux" && deno.listenDatagram !== undefined;
  }

  listen(options: ListenOptions, accept: (socket: Socket) => SocketEvents): Promise<Listener> {
    return Promise.try(() => this.#listen(options, accept));
  }

  #listen(options: ListenOptions, accept: (socket: Socket) => SocketEvents): Listener {
    let server: DenoListener;
    try {
      server = this.#deno.listen({
        hostname: options.hostname,
        port: options.port,
        ...(options.reusePort === true ? { reusePort: true } : {}),
      });
    } catch (error) {
      throw withCode(error);
    }
    const accepting = acceptAll(server, accept);
    let stopped = false;
    return {
      hostname: options.hostname,
      port: server.addr.port,
      async stop() {
        if (!stopped) server.close();
        stopped = true;
        await accepting;
      },
    };
  }

  async connect(
    target: ConnectTarget,
    events: SocketEvents,
    attempt?: ConnectAttempt,
  ): Promise<Socket> {
    let ending: AbortController | undefined;
    let timer: ReturnType<typeof setTimeout> | undefined;
    if (attempt !== undefined && "port" in target) {
      const aborts = ending = new AbortController();
      const giveUp = attempt.giveUp = () => aborts.abort();
      timer = setTimeout(giveUp, attempt.timeoutMs);
    }
    try {
      const conn = "path" in target
        ? await this.#deno.connect({ transport: "unix", path: target.path })
        : await this.#deno.connect({
          hostname: target.hostname,
          port: target.port,
          ...(ending && { signal: ending.signal }),
        });
      const socket = new DenoSocket(conn);
      socket.start(events);
      return socket;
    } catch (error) {
      throw ending?.signal.aborted === true ? timedOut() : withCode(error);
    } finally {
      clearTimeout(timer);
      if (attempt !== undefined) attempt.giveUp = undefined;
    }
  }

  serveHttp<Tag extends object>(answer: AnswerHttp<Tag>): Promise<HttpServer<Tag>> {
    return HttpHop.start(this, answer, (fetch) => {
      const server = this.#deno.serve(
        {
          hostname: "127.0.0.1",
          port: 0,
          onListen() {},
          // Its own way is to print it.
          onError: () => new Response(null, { status: 500 }),
        },
        (request, info) =>
          fetch(request, { address: info.remoteAddr.hostname, port: info.remoteAddr.port }),
      );
      return { port: server.addr.port, stop: () => server.shutdown() };
    });
  }
}

/** How long accepting rests when the process is out of descriptors. */
const ACCEPT_REST_MS = 100;

async function acceptAll(
  server: DenoListener,
  accept: (socket: Socket) => SocketEvents,
): Promise<void> {
  for (;;) {
    let conn: DenoConn;
    try {
      conn = await server.accept();
    } catch (error) {
      const { name, code } = error as { name?: string; code?: string };
      if (name === "BadResource" || name === "Interrupted") return; // stopped
      // A connection that died in the backlog is nothing; without descriptors, waiting is all that helps.
      if (code !== "ECONNABORTED" && code !== "ECONNRESET") await rest(ACCEPT_REST_MS);
      continue;
    }
    const socket = new DenoSocket(conn);
    socket.start(accept(socket));
  }
}

function rest(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

const CODE_BY_NAME: Record<string, string> = {
  AddrInUse: "EADDRINUSE",
  AddrNotAvailable: "EADDRNOTAVAIL",
  PermissionDenied: "EACCES",
  ConnectionRefused: "ECONNREFUSED",
  ConnectionReset: "ECONNRESET",
  BrokenPipe: "EPIPE",
};

function withCode(error: unknown): Error {
  const known = error as Error & { code?: string };
  const code = CODE_BY_NAME[known.name];
  return code === undefined || known.code !== undefined ? known : Object.assign(known, { code });
}

const IDLE_READ = 2 * 1024;
const BUSY_READ = 64 * 1024;
/** What is left of a small buffer is read into next, down to this: all that a handshake says fits into one. */
const LEAST_READ = 1024;
/** What may wait in a socket's queue. */
const MAX_QUEUED = 128 * 1024;

class DenoSocket implements Socket {
  readonly #conn: DenoConn;
  #events: SocketEvents | undefined;
  #queue: Uint8Array[] | undefined;
  #queued = 0;
  #writing = false;
  #short = false;
  #paused = false;
  #wake: (() => void) | undefined;
  #readEnded = false;
  #shutdown: "no" | "asked" | "done" = "no";
  #closeWhenWritten = false;

  constructor(conn: DenoConn) {
    this.#conn = conn;
  }

  start(events: SocketEvents): void {
    this.#events = events;
    try {
      this.#conn.setNoDelay?.(true);
    } catch {
      // already closed by the peer: reading tells
    }
    void this.#read();
  }

  get remoteAddress(): string {
    return plainAddress(this.#conn.remoteAddr.hostname ?? "");
  }
  get remotePort(): number {
    return this.#conn.remoteAddr.port ?? 0;
  }
  get localAddress(): string {
    return plainAddress(this.#conn.localAddr.hostname ?? "");
  }
  get localPort(): number {
    return this.#conn.localAddr.port ?? 0;
  }

  write(bytes: Uint8Array, start: number, end: number): number {
    if (this.#closed || this.#shutdown !== "no") return 0;
    const taken = Math.min(end - start, MAX_QUEUED - this.#queued);
    if (taken < end - start) this.#short = true;
    if (taken <= 0) return 0;
    const copy = bytes.slice(start, start + taken);
    this.#queued += taken;
    if (this.#writing) (this.#queue ??= []).push(copy);
    else void this.#write(copy);
    return taken;
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#wake?.();
  }

  shutdown(): void {
    if (this.#closed || this.#shutdown !== "no") return;
    this.#shutdown = "asked";
    if (!this.#writing) void this.#write(undefined);
  }

  close(): void {
    if (this.#writing) this.#closeWhenWritten = true;
    else this.terminate();
  }

  terminate(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#close(undefined);
  }

  #closed = false;

  async #read(): Promise<void> {
    let buffer: Uint8Array | undefined;
    try {
      while (!this.#isClosing) {
        buffer ??= new Uint8Array(IDLE_READ);
        const length = await this.#conn.read(buffer);
        if (this.#paused) await this.#resumed();
        if (this.#isClosing) return;
        if (length === null) break;
        const bytes = buffer.subarray(0, length);
        buffer = next(buffer, length);
        this.#events?.data(bytes);
        if (this.#paused) await this.#resumed();
      }
    } catch (error) {
      this.#fail(error);
      return;
    }
    if (this.#isClosing) return;
    this.#readEnded = true;
    this.#events?.end();
    this.#closeWhenBothEnded();
  }

  /** Nobody wants more. A read begun now would be cut short, by an exception that takes as long as accepting. */
  get #isClosing(): boolean {
    return this.#closed || this.#closeWhenWritten;
  }

  #resumed(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#wake = undefined;
        resolve();
      };
    });
  }

  /** Writes this, and then what has come into the queue meanwhile. */
  async #write(first: Uint8Array | undefined): Promise<void> {
    this.#writing = true;
    try {
      for (let chunk = first; chunk !== undefined; chunk = this.#queue?.shift()) {
        for (let at = 0; at < chunk.length;) {
          at += await this.#conn.write(at === 0 ? chunk : chunk.subarray(at));
          if (this.#closed) return;
        }
        this.#queued -= chunk.length;
        if (this.#short && this.#queued <= MAX_QUEUED / 2) {
          this.#short = false;
          this.#events?.drain();
        }
      }
      this.#queue = undefined;
      if (this.#shutdown === "asked") {
        await this.#conn.closeWrite();
        this.#shutdown = "done";
        this.#closeWhenBothEnded();
      }
      if (this.#closeWhenWritten) this.terminate();
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#writing = false;
    }
  }

  #closeWhenBothEnded(): void {
    if (this.#readEnded && this.#shutdown === "done") this.terminate();
  }

  #fail(error: unknown): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#close(withCode(error));
  }

  #close(error: Error | undefined): void {
    const events = this.#events;
    this.#events = undefined;
    this.#queue = undefined;
    this.#wake?.();
    try {
      this.#conn.close();
    } catch {
      // closed already
    }
    if (events !== undefined) queueMicrotask(() => events.close(error));
  }
}

/** Where to read next, once `length` bytes of `buffer` have been handed over; undefined: a new one of the small size. */
function next(buffer: Uint8Array, length: number): Uint8Array | undefined {
  if (length >= IDLE_READ) return new Uint8Array(BUSY_READ);
  return buffer.length <= IDLE_READ && buffer.length - length >= LEAST_READ
    ? buffer.subarray(length)
    : undefined;
}

/** What we use of Deno's globals. */
interface Deno {
  readonly version: { readonly deno: string };
  readonly build: { readonly os: string };
  readonly listenDatagram?: unknown;
  listen(options: { hostname: string; port: number; reusePort?: boolean }): DenoListener;
  connect(
    options:
      | { hostname: string; port: number; signal?: AbortSignal }
      | { transport: "unix"; path: string },
  ): Promise<DenoConn>;
  serve(
    options: {
      hostname: string;
      port: number;
      onListen(): void;
      onError(error: unknown): Response;
    },
    handler: (
      request: Request,
      info: { readonly remoteAddr: { readonly hostname: string; readonly port: number } },
    ) => Response | Promise<Response>,
  ): { readonly addr: { readonly port: number }; shutdown(): Promise<void> };
}

interface DenoListener {
  readonly addr: { readonly port: number };
  accept(): Promise<DenoConn>;
  close(): void;
}

interface DenoConn {
  readonly remoteAddr: { readonly hostname?: string; readonly port?: number };
  readonly localAddr: { readonly hostname?: string; readonly port?: number };
  read(buffer: Uint8Array): Promise<number | null>;
  write(bytes: Uint8Array): Promise<number>;
  closeWrite(): Promise<void>;
  close(): void;
  setNoDelay?(on: boolean): void;
}
