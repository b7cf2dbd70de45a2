/**
 * What Deno serves by itself, to be measured beside sotto.
 *
 *     deno run -A deno-native.ts serve CERT KEY PAGE
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
    fetch: () => Response,
  ): unknown;
}

const { Deno } = globalThis as unknown as { readonly Deno: Deno };
const [, cert, key, page] = process.argv.slice(2);

Deno.serve({
  hostname: "127.0.0.1",
  port: 0,
  cert: readFileSync(cert!, "utf8"),
  key: readFileSync(key!, "utf8"),
  onListen: ({ port }) => console.log(JSON.stringify({ pid: process.pid, port })),
}, () => new Response(page));
