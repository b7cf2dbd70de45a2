/**
 * What Node serves by itself, to be measured beside sotto.
 *
 *     node node-native.ts https CERT KEY PAGE RSA_CERT RSA_KEY
 *
 * @module
 */
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import process from "node:process";

const [, cert, key, page, rsaCert, rsaKey] = process.argv.slice(2);
console.log(JSON.stringify({
  pid: process.pid,
  port: await serve(cert!, key!),
  rsaPort: await serve(rsaCert!, rsaKey!),
}));

function serve(cert: string, key: string): Promise<number> {
  const server = createServer(
    {
      cert: readFileSync(cert, "utf8"),
      key: readFileSync(key, "utf8"),
      ciphers: "TLS_AES_128_GCM_SHA256", // OpenSSL would take AES-256 whatever the client prefers
    },
    (_request, response) => response.end(page),
  );
  server.keepAliveTimeout = 600_000; // idle connections are held open for longer than its 5 s
  return new Promise((resolve) =>
    server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port))
  );
}
