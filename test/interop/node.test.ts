import { readFileSync } from "node:fs";
import { once } from "node:events";
import * as tls from "node:tls";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { SERVER } from "./support/server.ts";
import { requestOf } from "./support/openssl.ts";
import { authName, greeting } from "./support/names.ts";
import { type InteropServer, startInteropServer } from "./support/site.ts";

let server: InteropServer;
let ca: Buffer;
beforeAll(async () => {
  server = await startInteropServer();
  ca = readFileSync(server.caFile);
});
afterAll(() => server?.stop());

interface Answer {
  readonly text: string;
  readonly protocol: string | null;
  readonly alpn: string | false | null;
  readonly cipher: string;
  readonly resumed: boolean;
  readonly group: string | undefined;
  readonly session: Buffer | undefined;
  readonly exported: string;
}

/** One request, and all that is known of its connection. */
async function ask(name: string, options: tls.ConnectionOptions = {}): Promise<Answer> {
  const socket = tls.connect({
    host: "127.0.0.1",
    port: server.port,
    servername: name,
    ca,
    minVersion: "TLSv1.3",
    ALPNProtocols: ["http/1.1"],
    ...options,
  });
  try {
    let session: Buffer | undefined;
    socket.on("session", (ticket: Buffer) => session = ticket);
    const ended = once(socket, "end");
    await Promise.race([once(socket, "secureConnect"), ended]);
    const group = socket.getEphemeralKeyInfo() as { name?: string } | null;
    const facts = {
      protocol: socket.getProtocol(),
      alpn: socket.alpnProtocol,
      cipher: socket.getCipher().standardName,
      resumed: socket.isSessionReused(),
      group: group?.name,
      exported: socket.exportKeyingMaterial(32, "EXPERIMENTAL sotto", Buffer.alloc(0)).toString(
        "hex",
      ),
    };
    const chunks: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.write(requestOf(name));
    await ended;
    return { ...facts, session, text: Buffer.concat(chunks).toString() };
  } finally {
    socket.destroy();
  }
}

describe(`Node's tls client is answered by ${SERVER}`, () => {
  test("over TLS 1.3, with ALPN", async () => {
    const answer = await ask("a.test");
    expect(answer).toMatchObject({ protocol: "TLSv1.3", alpn: "http/1.1", resumed: false });
    expect(answer.text).toContain(greeting("a.test"));
  });

  test("with X25519MLKEM768", async () => {
    const answer = await ask("a.test", { ecdhCurve: "X25519MLKEM768" });
    expect(answer.text).toContain(greeting("a.test"));
  });

  test("after a HelloRetryRequest from X25519 to X25519MLKEM768, or without", async () => {
    const answer = await ask("a.test", { ecdhCurve: "X25519:X25519MLKEM768" });
    expect(answer.text).toContain(greeting("a.test"));
  });

  test("again, by its session", async () => {
    const first = await ask("a.test");
    expect(first.session, "a ticket came with the reply").toBeDefined();
    const second = await ask("a.test", { session: first.session });
    expect(second.resumed).toBe(true);
    expect(second.text).toContain(greeting("a.test"));
    expect(second.exported).not.toBe(first.exported);
  });

  test("but not by the session of another site", async () => {
    const first = await ask("a.test");
    expect(first.session).toBeDefined();
    const second = await ask("b.test", { session: first.session });
    expect(second.resumed).toBe(false);
    expect(second.text).toContain(greeting("b.test"));
  });

  test("with a client certificate", async () => {
    const { good } = server.clients;
    const name = authName("require_and_verify");
    const answer = await ask(name, {
      cert: readFileSync(good.certificate),
      key: readFileSync(good.key),
    });
    expect(answer.text).toContain(greeting(name));
  });

  test("that it has no protocol in common", async () => {
    await expect(ask("a.test", { ALPNProtocols: ["imap"] })).rejects.toMatchObject({
      code: "ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL",
    });
  });
});
