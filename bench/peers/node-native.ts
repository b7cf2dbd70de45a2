/**
 * What Node serves by itself, to be measured beside sotto.
 *
 *     node node-native.ts https CERT KEY PAGE
 *
 * @module
 */
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import process from "node:process";

const [, cert, key, page] = process.argv.slice(2);

const server = createServer(
  {
    cert: readFileSync(cert!, "utf8"),
    key: readFileSync(key!, "utf8"),
    ciphers: "TLS_AES_128_GCM_SHA256", // OpenSSL would take AES-256 whatever the client prefers
  },
  (_request, response) => response.end(page),
);
server.keepAliveTimeout = 600_000; // idle connections are held open for longer than its 5 s
server.listen(0, "127.0.0.1", () => {
  const { port } = server.address() as AddressInfo;
  console.log(JSON.stringify({ pid: process.pid, port }));
});
