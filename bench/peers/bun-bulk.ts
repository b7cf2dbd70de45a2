/**
 * What Bun moves by itself, to be measured beside sotto: a body from memory for every GET, and POSTs that it takes in.
 *
 *     bun bun-bulk.ts listen|serve CERT KEY BYTES
 *
 * `listen` writes 64 KiB at a time and waits where the socket takes no more.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import process from "node:process";

interface Handle {
  data: Connection;
  write(bytes: Uint8Array): number;
}

interface Bun {
  listen(options: {
    hostname: string;
    port: number;
    tls: { cert: string; key: string };
    socket: {
      open(handle: Handle): void;
      data(handle: Handle, bytes: Uint8Array): void;
      drain(handle: Handle): void;
      error(handle: Handle, error: Error): void;
    };
  }): { readonly port: number };
  serve(options: {
    hostname: string;
    port: number;
    idleTimeout: number;
    tls: { cert: string; key: string };
    fetch(request: Request): Promise<Response>;
  }): { readonly port: number };
}

const { Bun } = globalThis as unknown as { readonly Bun: Bun };
const [kind, cert, key, bytes] = process.argv.slice(2);
const body = Buffer.alloc(Number(bytes), "x");
const where = {
  hostname: "127.0.0.1",
  port: 0,
  tls: { cert: readFileSync(cert!, "utf8"), key: readFileSync(key!, "utf8") },
};
const PIECE_BYTES = 65_536;

const { port } = kind === "serve" ? serve() : listen();
console.log(JSON.stringify({ pid: process.pid, port, rsaPort: port }));

function serve(): { readonly port: number } {
  return Bun.serve({
    ...where,
    idleTimeout: 0,
    async fetch(request) {
      if (request.method === "GET") return new Response(body);
      for await (const _ of request.body!);
      return new Response("taken");
    },
  });
}

/** One connection: heads are short and come whole, as the bench's client sends them. */
class Connection {
  #toTake = 0;
  #toSend: Uint8Array[] = [];

  take(handle: Handle, bytes: Uint8Array): void {
    const taken = Math.min(this.#toTake, bytes.length);
    this.#toTake -= taken;
    if (taken === 0) {
      const head = Buffer.from(bytes).toString("latin1");
      const end = head.indexOf("\r\n\r\n") + 4;
      if (head.startsWith("GET")) {
        this.#say(handle, body.length, body);
        return;
      }
      this.#toTake = Number(/^content-length: (\d+)/im.exec(head)![1]) - (bytes.length - end);
    }
    if (this.#toTake === 0) this.#say(handle, 5, Buffer.from("taken"));
  }

  #say(handle: Handle, length: number, body: Uint8Array): void {
    const head = `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: ${length}\r\n\r\n`;
    this.#toSend.push(Buffer.from(head), body);
    this.send(handle);
  }

  send(handle: Handle): void {
    for (;;) {
      const [next] = this.#toSend;
      if (next === undefined) return;
      const piece = next.subarray(0, PIECE_BYTES);
      const written = handle.write(piece);
      if (written === next.length) this.#toSend.shift();
      else this.#toSend[0] = next.subarray(Math.max(0, written));
      if (written < piece.length) return;
    }
  }
}

function listen(): { readonly port: number } {
  return Bun.listen({
    ...where,
    socket: {
      open(handle) {
        handle.data = new Connection();
      },
      data(handle, bytes) {
        handle.data.take(handle, bytes);
      },
      drain(handle) {
        handle.data.send(handle);
      },
      error() {},
    },
  });
}
