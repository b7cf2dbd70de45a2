/**
 * What Bun serves by itself, to be measured beside sotto.
 *
 *     bun bun-native.ts listen|serve CERT KEY PAGE
 *
 * `listen` is TLS alone (Bun.listen), the closest to what sotto replaces; `serve` is Bun's web server.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import process from "node:process";

interface Handle {
  write(bytes: Uint8Array): number;
  end(): void;
}

interface Bun {
  listen(options: {
    hostname: string;
    port: number;
    tls: { cert: string; key: string };
    socket: {
      open(handle: Handle): void;
      data(handle: Handle): void;
      error(handle: Handle, error: Error): void;
    };
  }): { readonly port: number };
  serve(options: {
    hostname: string;
    port: number;
    idleTimeout: number;
    tls: { cert: string; key: string };
    fetch(): Response;
  }): { readonly port: number };
}

const { Bun } = globalThis as unknown as { readonly Bun: Bun };
const [kind, cert, key, page] = process.argv.slice(2);
const where = { hostname: "127.0.0.1", port: 0 };
const tls = { cert: readFileSync(cert!, "utf8"), key: readFileSync(key!, "utf8") };

const { port } = kind === "serve"
  ? Bun.serve({ ...where, tls, idleTimeout: 0, fetch: () => new Response(page) })
  : listen();
console.log(JSON.stringify({ pid: process.pid, port }));

function listen(): { readonly port: number } {
  const answer = Buffer.from(
    `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: ${page!.length}\r\n` +
      `Connection: close\r\n\r\n${page}`,
  );
  return Bun.listen({
    ...where,
    tls,
    socket: {
      open() {},
      data(handle) {
        handle.write(answer);
        handle.end();
      },
      error() {},
    },
  });
}
