/**
 * The runtime interface on node:net and node:http.
 *
 * A write that the kernel does not take at once keeps a reference to its bytes, so they are copied first.
 *
 * @module
 */
import net from "node:net";
import { plainAddress } from "./address.ts";
import { NodeHttpServer } from "./node-http.ts";
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

export function nodeRuntime(): Runtime {
  return new NodeRuntime();
}

class NodeRuntime implements Runtime {
  readonly name = "node";
  readonly version = process.versions.node;
  readonly reusesPorts = process.platform === "linux";
  readonly joinsFamilies = false;

  async listen(
    options: ListenOptions,
    accept: (socket: Socket) => SocketEvents,
  ): Promise<Listener> {
    const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (handle) => {
      const socket = new NodeSocket(handle);
      watch(handle, socket, accept(socket));
    });
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(
        {
          host: options.hostname,
          port: options.port,
          reusePort: options.reusePort ?? false,
          ipv6Only: options.hostname.includes(":"),
        },
        resolve,
      );
    });
    server.removeAllListeners("error");
    // Out of descriptors, libuv accepts and closes with one it keeps in reserve; then it goes on.
    server.on("error", () => {});
    const { port } = server.address() as net.AddressInfo;
    return {
      hostname: options.hostname,
      port,
      stop() {
        server.close(); // its callback waits for open connections: not ours to wait for
        return Promise.resolve();
      },
    };
  }

  async connect(
    target: ConnectTarget,
    events: SocketEvents,
    attempt?: ConnectAttempt,
  ): Promise<Socket> {
    const handle = net.connect(
      "path" in target ? { path: target.path, allowHalfOpen: true } : {
        host: target.hostname,
        port: target.port,
        allowHalfOpen: true,
        noDelay: true,
        ...(target.localAddress === undefined ? {} : { localAddress: target.localAddress }),
      },
    );
    let timer: ReturnType<typeof setTimeout> | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        handle.once("connect", resolve);
        handle.once("error", reject);
        if (attempt === undefined) return;
        const giveUp = attempt.giveUp = () => void handle.destroy(timedOut());
        timer = setTimeout(giveUp, attempt.timeoutMs);
      });
    } finally {
      clearTimeout(timer);
      if (attempt !== undefined) attempt.giveUp = undefined;
    }
    handle.removeAllListeners("error");
    const socket = new NodeSocket(handle);
    watch(handle, socket, events);
    return socket;
  }

  serveHttp<Tag extends object>(answer: AnswerHttp<Tag>): Promise<HttpServer<Tag>> {
    return Promise.resolve(new NodeHttpServer(answer));
  }
}

/** What may wait in a socket's queue. Above node's own mark, so that a full queue is followed by "drain". */
const MAX_QUEUED = 128 * 1024;

class NodeSocket implements Socket {
  readonly handle: net.Socket;
  events: SocketEvents | undefined;
  error: Error | undefined;
  /** A write was cut short. */
  short = false;

  constructor(handle: net.Socket) {
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

  write(bytes: Uint8Array, start: number, end: number): number {
    const handle = this.handle;
    let at = start;
    // As long as the kernel takes all at once there is room, and no "drain" would ever follow.
    while (at < end && handle.writable) {
      const room = MAX_QUEUED - handle.writableLength;
      if (room <= 0) {
        this.short = true;
        break;
      }
      const piece = Math.min(end - at, room);
      handle.write(Buffer.from(bytes.subarray(at, at + piece)));
      at += piece;
    }
    return at - start;
  }
  pause(): void {
    this.handle.pause();
  }
  resume(): void {
    this.handle.resume();
  }
  shutdown(): void {
    this.handle.end();
  }
  close(): void {
    // With nothing left to write, closing the descriptor sends FIN too: no shutdown, and no turn of the loop for its end.
    if (this.handle.writableLength === 0) this.handle.destroy();
    else this.handle.destroySoon();
  }
  terminate(): void {
    this.handle.destroy();
  }
}

// One function per event for all sockets: `this` is the handle.
type Watched = net.Socket & { sotto: NodeSocket };

function watch(handle: net.Socket, socket: NodeSocket, events: SocketEvents): void {
  socket.events = events;
  (handle as Watched).sotto = socket;
  handle.on("error", onError);
  handle.on("close", onClose);
  handle.on("drain", onDrain);
  handle.on("end", onEnd);
  handle.on("data", onData);
}

function onData(this: net.Socket, chunk: Buffer): void {
  const plain = new Uint8Array(chunk.buffer as ArrayBuffer, chunk.byteOffset, chunk.length);
  (this as Watched).sotto.events?.data(plain);
}

function onEnd(this: net.Socket): void {
  (this as Watched).sotto.events?.end();
}

function onDrain(this: net.Socket): void {
  const socket = (this as Watched).sotto;
  if (!socket.short) return;
  socket.short = false;
  socket.events?.drain();
}

function onError(this: net.Socket, error: Error): void {
  (this as Watched).sotto.error = error;
}

function onClose(this: net.Socket): void {
  const socket = (this as Watched).sotto;
  const events = socket.events;
  socket.events = undefined;
  events?.close(socket.error);
}
