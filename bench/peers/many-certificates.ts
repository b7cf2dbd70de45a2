/**
 * The TLS server of Bun or Node with the certificates that sotto's local CA has stored: `many-certificates.ts FOLDER`.
 * @module
 */
import { Buffer } from "node:buffer";
import { readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { createSecureContext, type SecureContext } from "node:tls";

interface Stored {
  readonly sans: readonly string[];
  readonly certificate: string;
  readonly key: string;
}

interface BunRuntime {
  serve(options: {
    readonly hostname: string;
    readonly port: number;
    readonly tls: readonly {
      readonly serverName: string;
      readonly cert: string;
      readonly key: string;
    }[];
    fetch(): Response;
  }): { readonly port: number };
}

const folder = join(process.argv[2]!, "certificates/local");
const all = readdirSync(folder).map((name) =>
  JSON.parse(readFileSync(join(folder, name), "utf8")) as Stored
);
const { Bun } = globalThis as { Bun?: BunRuntime };
if (Bun !== undefined) {
  const tls = all.map(({ sans, certificate: cert, key }) => ({ serverName: sans[0]!, cert, key }));
  const { port } = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    tls,
    fetch: () => new Response(""),
  });
  process.stdout.write(`ready ${port}\n`);
} else {
  const contexts = new Map<string, SecureContext>();
  for (const { sans, certificate: cert, key } of all) {
    contexts.set(sans[0]!, createSecureContext({ cert, key }));
  }
  const [{ certificate: cert, key }] = all as [Stored];
  const server = createServer({
    cert: Buffer.from(cert),
    key: Buffer.from(key),
    SNICallback: (name, done) => done(null, contexts.get(name)),
  }, (_request, response) => void response.end());
  server.listen(0, "127.0.0.1", () => {
    process.stdout.write(`ready ${(server.address() as AddressInfo).port}\n`);
  });
}
