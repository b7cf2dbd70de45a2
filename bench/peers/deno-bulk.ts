/**
 * What Deno moves by itself, to be measured beside sotto: a body from memory for every GET, and POSTs that it takes in.
 *
 *     deno run -A deno-bulk.ts serve CERT KEY BYTES
 *
 * @module
 */
import { readFileSync } from "node:fs";
import process from "node:process";

interface Deno {
  serve(
    options: {
      hostname: string;
      port: number;
      cert: string;
      key: string;
      onListen(address: { readonly port: number }): void;
    },
    fetch: (request: Request) => Promise<Response>,
  ): unknown;
}

const { Deno } = globalThis as unknown as { readonly Deno: Deno };
const [, cert, key, bytes] = process.argv.slice(2);
const body = new Uint8Array(Number(bytes)).fill(0x78);

Deno.serve({
  hostname: "127.0.0.1",
  port: 0,
  cert: readFileSync(cert!, "utf8"),
  key: readFileSync(key!, "utf8"),
  onListen: ({ port }) => console.log(JSON.stringify({ pid: process.pid, port, rsaPort: port })),
}, async (request) => {
  if (request.method === "GET") return new Response(body);
  for await (const _ of request.body!);
  return new Response("taken");
});
