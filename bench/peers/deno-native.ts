/**
 * What Deno serves by itself, to be measured beside sotto.
 *
 *     deno run -A deno-native.ts serve CERT KEY PAGE RSA_CERT RSA_KEY
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
const [, cert, key, page, rsaCert, rsaKey] = process.argv.slice(2);
console.log(JSON.stringify({
  pid: process.pid,
  port: await serve(cert!, key!),
  rsaPort: await serve(rsaCert!, rsaKey!),
}));

function serve(cert: string, key: string): Promise<number> {
  return new Promise((resolve) =>
    Deno.serve({
      hostname: "127.0.0.1",
      port: 0,
      cert: readFileSync(cert, "utf8"),
      key: readFileSync(key, "utf8"),
      onListen: ({ port }) => resolve(port),
    }, () => new Response(page))
  );
}
