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
  readonly #chunks: (Uint8Array | undefined)[] = [];
  #error: Error | undefined;
  #wake: (() => void) | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk: Uint8Array) => {
      socket.pause(); // one chunk at a time: a reader that does not read holds the server back
      this.#push(chunk);
    });
    socket.on("end", () => this.#push(undefined));
    socket.on("error", (error) => {
      this.#error = error;
      this.#wake?.();
    });
    socket.on("close", () => this.#push(undefined));
  }

  write(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#socket.write(bytes, (error) => error ? reject(error) : resolve());
    });
  }

  async read(): Promise<Uint8Array | undefined> {
    while (this.#chunks.length === 0) {
      if (this.#error !== undefined) throw this.#error;
      this.#socket.resume();
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    return this.#chunks[0] === undefined ? undefined : this.#chunks.shift();
  }

  /** FIN behind what was written; what comes after is of no interest. */
  close(): void {
    this.#socket.end();
    this.#socket.resume();
    this.#socket.removeAllListeners("data").on("data", () => undefined);
    this.#socket.destroySoon();
  }

  #push(chunk: Uint8Array | undefined): void {
    this.#chunks.push(chunk);
    this.#wake?.();
  }
}
