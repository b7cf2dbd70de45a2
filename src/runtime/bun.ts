/**
 * The runtime interface on Bun: Bun.listen, Bun.connect, Bun.serve.
 *
 * Bun takes what the kernel takes and keeps nothing (`write` tells how much), so no byte is copied here.
 *
 * @module
 */
import { closeSync, openSync, readFileSync } from "node:fs";
import net from "node:net";
import process from "node:process";
import { plainAddress } from "./address.ts";
import { leave } from "./collector.ts";
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

const bun = (globalThis as unknown as { Bun?: Bun }).Bun;

export function bunRuntime(): Runtime {
  if (bun === undefined) throw new TypeError("Cannot use the Bun runtime outside of Bun");
  return new BunRuntime(bun);
}

class BunRuntime implements Runtime {
  readonly name = "bun";
  readonly version: string;
  readonly reusesPorts = process.platform === "linux";
  readonly joinsFamilies = false;
  readonly #bun: Bun;

  constructor(bun: Bun) {
    this.#bun = bun;
    this.version = bun.version;
  }

  listen(options: ListenOptions, accept: (socket: Socket) => SocketEvents): Promise<Listener> {
    return Promise.try(() => this.#listen(options, accept));
  }

  #listen(options: ListenOptions, accept: (socket: Socket) => SocketEvents): Listener {
    const highestDescriptor = descriptorLimit() - RESERVED_DESCRIPTORS;
    const server = this.#bun.listen<BunSocket>({
      hostname: options.hostname,
      port: options.port,
      reusePort: options.reusePort ?? false,
      ipv6Only: options.hostname.includes(":"),
      allowHalfOpen: true,
      socket: {
        ...HANDLERS,
        open(handle) {
          const socket = new BunSocket(handle);
          handle.data = socket;
          leave(CONNECTION_GARBAGE);
          // Out of descriptors, Bun would spin on a listening socket that stays readable. Accepting and closing
          // while a few are left is what libuv does at that point.
          if (handle.fd > highestDescriptor) handle.terminate();
          else socket.events = accept(socket);
        },
      },
    });
    return {
      hostname: options.hostname,
      port: server.port,
      stop() {
        server.stop(false);
        return Promise.resolve();
      },
    };
  }

  async connect(
    target: ConnectTarget,
    events: SocketEvents,
    attempt?: ConnectAttempt,
  ): Promise<Socket> {
    try {
      return await this.#connect(target, events, attempt);
    } catch (error) {
      throw withReason(error as Error & { code?: string });
    }
  }

  async #connect(
    target: ConnectTarget,
    events: SocketEvents,
    attempt: ConnectAttempt | undefined,
  ): Promise<Socket> {
    // A path is connected to at once or not at all.
    if (attempt !== undefined && "port" in target) {
      return await connectWithin(target, events, attempt);
    }
    const handle = await this.#bun.connect<BunSocket>({
      ...("path" in target
        ? { unix: target.path }
        : { hostname: target.hostname, port: target.port }),
      allowHalfOpen: true,
      socket: {
        ...HANDLERS,
        open(handle) {
          const socket = new BunSocket(handle);
          socket.events = events;
          handle.data = socket;
        },
        connectError() {}, // the promise rejects with the same error
      },
    });
    return handle.data;
  }

  serveHttp<Tag extends object>(answer: AnswerHttp<Tag>): Promise<HttpServer<Tag>> {
    return HttpHop.start(this, answer, (fetch) => {
      const server = this.#bun.serve({
        hostname: "127.0.0.1",
        port: 0,
        idleTimeout: 0, // the edge has its own
        maxRequestBodySize: Number.MAX_SAFE_INTEGER,
        // Its own page has the stack and the paths of files.
        development: false,
        error: () => new Response(null, { status: 500 }),
        fetch: (request, server) => fetch(request, server.requestIP(request) ?? undefined),
      });
      return { port: server.port, stop: () => server.stop(true) };
    });
  }
}

/**
 * An attempt of Bun.connect cannot be given up, one of node:net can. Once connected, its socket is Bun's own kind: it is
 * taken over, and node:net hears no more of it.
 */
function connectWithin(
  { hostname, port }: { readonly hostname: string; readonly port: number },
  events: SocketEvents,
  attempt: ConnectAttempt,
): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const connecting = net.connect({ host: hostname, port, allowHalfOpen: true });
    const giveUp = attempt.giveUp = () => {
      isOver();
      connecting.destroy();
      reject(timedOut());
    };
    const timer = setTimeout(giveUp, attempt.timeoutMs);
    const isOver = () => {
      attempt.giveUp = undefined;
      clearTimeout(timer);
    };
    connecting.once("error", (error) => {
      isOver();
      reject(error);
    });
    connecting.once("connect", () => {
      isOver();
      const handle = (connecting as unknown as { readonly _handle: BunHandle<BunSocket> })._handle;
      const socket = new BunSocket(handle);
      socket.events = events;
      handle.reload({ socket: { ...HANDLERS, open() {} } });
      handle.data = socket;
      resolve(socket);
    });
  });
}

/** Without a descriptor for a new connection, Bun says that it was refused. */
function withReason(error: Error & { code?: string }): Error {
  if (error.code !== "ECONNREFUSED") return error;
  try {
    closeSync(openSync("/dev/null", "r"));
  } catch (failure) {
    const { code } = failure as { code?: string };
    if (code === "EMFILE" || code === "ENFILE") return Object.assign(error, { code });
  }
  return error;
}

/** Descriptors kept free for files, upstreams and the collector's delay. */
const RESERVED_DESCRIPTORS = 16;

function descriptorLimit(): number {
  try {
    const soft = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "latin1"))?.[1];
    return soft === undefined ? Infinity : Number(soft);
  } catch {
    return Infinity;
  }
}

/**
 * A class of its own: an object on Bun has room for each getter that its own class has, which would make each idle
 * connection 32 bytes larger.
 */
class BunEndpoints {
  protected readonly handle: BunHandle<BunSocket>;

  constructor(handle: BunHandle<BunSocket>) {
    this.handle = handle;
  }

  get remoteAddress(): string {
    return plainAddress(this.handle.remoteAddress ?? "");
  }
  get remotePort(): number {
    return this.handle.remotePort ?? 0;
  }
  get localAddress(): string {
    return plainAddress(this.handle.localAddress ?? "");
  }
  get localPort(): number {
    return this.handle.localPort ?? 0;
  }
}

class BunSocket extends BunEndpoints implements Socket {
  events: SocketEvents | undefined;

  write(bytes: Uint8Array, start: number, end: number): number {
    if (start === end) return 0;
    return Math.max(0, this.handle.write(bytes, start, end - start));
  }
  giveBack(bytes: Uint8Array): void {
    const buffer = bytes.buffer as ArrayBuffer;
    if (bytes.length < LONG_CHUNK || bytes.length !== buffer.byteLength) return;
    // One is kept: an allocator that has everything back returns it to the system.
    (lastChunk?.buffer as ArrayBuffer | undefined)?.transfer(0);
    lastChunk = bytes;
    leave(-bytes.length);
  }
  pause(): void {
    this.handle.pause();
  }
  resume(): void {
    this.handle.resume();
  }
  shutdown(): void {
    this.handle.shutdown();
  }
  close(): void {
    this.handle.close();
  }
  terminate(): void {
    this.handle.terminate();
  }
}

/**
 * More than a handshake leaves behind, so that the collector is told to look, every 512 handshakes, before it does so by
 * itself, every 550: that takes longer. Every 170 cost more than it saved.
 */
const CONNECTION_GARBAGE = 32 * 1024;
/** Shorter chunks may live among the collector's objects, and asking for their buffer would move them out. */
const LONG_CHUNK = 4096;
let lastChunk: Uint8Array | undefined;

const HANDLERS = {
  binaryType: "uint8array",
  data(handle: BunHandle<BunSocket>, bytes: Uint8Array) {
    leave(bytes.length);
    handle.data.events?.data(bytes);
  },
  drain(handle: BunHandle<BunSocket>) {
    handle.data.events?.drain();
  },
  end(handle: BunHandle<BunSocket>) {
    handle.data.events?.end();
  },
  close(handle: BunHandle<BunSocket>, error?: Error | null) {
    const socket = handle.data as BunSocket | undefined; // undefined where `open` was never reached
    const events = socket?.events;
    if (socket === undefined || events === undefined) return;
    socket.events = undefined;
    events.close(error ?? undefined);
  },
  error(_handle: BunHandle<BunSocket>, error: Error) {
    throw error; // a callback's own exception: not the socket's
  },
} as const;

/** What we use of Bun's globals. */
interface Bun {
  readonly version: string;
  listen<Data>(options: {
    hostname: string;
    port: number;
    reusePort: boolean;
    ipv6Only: boolean;
    allowHalfOpen: boolean;
    socket: BunHandlers<Data>;
  }): { readonly port: number; stop(closeConnections: boolean): void };
  connect<Data>(options: {
    hostname?: string;
    port?: number;
    unix?: string;
    allowHalfOpen: boolean;
    socket: BunHandlers<Data>;
  }): Promise<BunHandle<Data>>;
  serve(options: {
    hostname: string;
    port: number;
    idleTimeout: number;
    maxRequestBodySize: number;
    development: boolean;
    error(error: unknown): Response;
    fetch(
      request: Request,
      server: { requestIP(request: Request): { address: string; port: number } | null },
    ): Response | Promise<Response>;
  }): { readonly port: number; stop(closeConnections: boolean): Promise<void> };
}

interface BunHandlers<Data> {
  binaryType: "uint8array";
  open(handle: BunHandle<Data>): void;
  data(handle: BunHandle<Data>, bytes: Uint8Array): void;
  drain(handle: BunHandle<Data>): void;
  end(handle: BunHandle<Data>): void;
  close(handle: BunHandle<Data>, error?: Error | null): void;
  error(handle: BunHandle<Data>, error: Error): void;
  connectError?(handle: BunHandle<Data>, error: Error): void;
}

interface BunHandle<Data> {
  data: Data;
  readonly fd: number;
  reload(options: { socket: BunHandlers<Data> }): void;
  readonly remoteAddress: string | undefined;
  readonly remotePort: number | undefined;
  readonly localAddress: string | undefined;
  readonly localPort: number | undefined;
  write(bytes: Uint8Array, offset: number, length: number): number;
  pause(): void;
  resume(): void;
  shutdown(): void;
  close(): void;
  terminate(): void;
}
