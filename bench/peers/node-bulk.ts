/**
 * What Node moves by itself, to be measured beside sotto: a body from memory for every GET, and POSTs that it takes in.
 *
 *     node node-bulk.ts https CERT KEY BYTES
 *
 * @module
 */
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import process from "node:process";

const [, cert, key, bytes] = process.argv.slice(2);
const body = Buffer.alloc(Number(bytes), "x");

const server = createServer(
  {
    cert: readFileSync(cert!, "utf8"),
    key: readFileSync(key!, "utf8"),
    ciphers: "TLS_AES_128_GCM_SHA256", // OpenSSL would take AES-256 whatever the client prefers
  },
  (request, response) => {
    if (request.method === "GET") response.end(body);
    else request.resume().once("end", () => response.end("taken"));
  },
);
server.listen(0, "127.0.0.1", () => {
  const { port } = server.address() as AddressInfo;
  console.log(JSON.stringify({ pid: process.pid, port, rsaPort: port }));
});
