/**
 * A client's transport over TCP, by node:net.
 * @module
 */
import { connect, type Socket } from "node:net";
import type { Transport } from "./transport.ts";

/** Resolves when connected. @throws the system's error: refused, unreachable, timed out */
export async function connectTcp(
  host: string,
  port: number,
  options: { readonly timeoutMs?: number } = {},
): Promise<Transport> {
  const socket = connect({ host, port, allowHalfOpen: true, noDelay: true });
  const { timeoutMs } = options;
  await new Promise<void>((resolve, reject) => {
    const timer = timeoutMs === undefined ? undefined : setTimeout(
      () => socket.destroy(new Error(`Cannot connect to ${host}:${port}: timed out`)),
      timeoutMs,
    );
    const settle = (done: () => void) => {
      clearTimeout(timer);
      done();
    };
    socket.once("connect", () => settle(resolve));
    socket.once("error", (error) => settle(() => reject(error)));
  });
  return new TcpTransport(socket);
}

class TcpTransport implements Transport {
  readonly #socket: Socket;
  readonly #chunks: Uint8Array[] = [];
  #isEnded = false;
  #error: Error | undefined;
  #wake: (() => void) | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk: Uint8Array) => {
      if (this.#isEnded) return;
      this.#chunks.push(chunk);
      if (this.#chunks.length >= MAX_WAITING_CHUNKS) socket.pause();
      this.#wake?.();
    });
    socket.on("end", () => this.#end());
    socket.on("close", () => this.#end());
    socket.on("error", (error) => {
      this.#error ??= error;
      this.#wake?.();
    });
  }

  write(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#socket.write(bytes, (error) => error ? reject(error) : resolve());
    });
  }

  async read(): Promise<Uint8Array | undefined> {
    while (this.#chunks.length === 0) {
      if (this.#isEnded) return undefined;
      if (this.#error !== undefined) throw this.#error;
      this.#socket.resume();
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    return this.#chunks.shift();
  }

  /** FIN behind what was written. Reads end; what still comes is dropped, lest a reset destroy our last alert. */
  close(): void {
    this.#chunks.splice(0);
    this.#end();
    const socket = this.#socket;
    const timer = setTimeout(() => socket.destroy(), LINGER_MS);
    timer.unref();
    socket.once("close", () => clearTimeout(timer));
    socket.end();
    socket.resume();
  }

  #end(): void {
    this.#isEnded = true;
    this.#wake?.();
  }
}

const MAX_WAITING_CHUNKS = 16;
const LINGER_MS = 1000;
