/**
 * What Bun serves by itself, to be measured beside sotto.
 *
 *     bun bun-native.ts listen|serve CERT KEY PAGE RSA_CERT RSA_KEY
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
    tls: { cert: string; key: string; ALPNProtocols: Uint8Array };
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
const [kind, cert, key, page, rsaCert, rsaKey] = process.argv.slice(2);
const start = kind === "serve" ? serve : listen;
console.log(JSON.stringify({
  pid: process.pid,
  port: start(cert!, key!).port,
  rsaPort: start(rsaCert!, rsaKey!).port,
}));

function serve(cert: string, key: string): { readonly port: number } {
  return Bun.serve({ ...where(cert, key), idleTimeout: 0, fetch: () => new Response(page) });
}

function listen(cert: string, key: string): { readonly port: number } {
  const answer = Buffer.from(
    `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: ${page!.length}\r\n` +
      `Connection: close\r\n\r\n${page}`,
  );
  const { tls, ...rest } = where(cert, key);
  return Bun.listen({
    ...rest,
    tls: { ...tls, ALPNProtocols: Buffer.from("\bhttp/1.1") }, // as all others do
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

function where(cert: string, key: string) {
  const tls = { cert: readFileSync(cert, "utf8"), key: readFileSync(key, "utf8") };
  return { hostname: "127.0.0.1", port: 0, tls };
}
