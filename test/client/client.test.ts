import { createServer, type Server, type TlsOptions, type TLSSocket } from "node:tls";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { type ClientConnection, type ClientOptions, connect } from "../../src/client/client.ts";
import { connectTcp } from "../../src/client/tcp-transport.ts";
import { chooseCrypto } from "../../src/crypto/choose.ts";
import { testCertificate, testRoot } from "../support/certificates.ts";

const crypto = chooseCrypto();
const open: Server[] = [];

afterEach(() => {
  for (const server of open.splice(0)) server.close();
});

describe("against the runtime's own TLS server", () => {
  it("speaks to it and hears it", async () => {
    const { client } = await session({});
    await client.write(text("hello"));
    expect(show(await client.readExactly(5))).toBe("hello");
    expect(client.negotiated.ech).toBe("not-offered");
    await client.close();
  });

  it("agrees on a protocol", async () => {
    const { client } = await session({ alpn: ["x", "http/1.1"] }, { ALPNProtocols: ["http/1.1"] });
    expect(client.negotiated.alpn).toBe("http/1.1");
    await client.close();
  });

  it("carries a megabyte both ways", async () => {
    const { client } = await session({ recordSizeLimit: 16385 });
    const bytes = testBytes(1 << 20);
    void client.write(bytes);
    expect(show(await client.readExactly(bytes.length))).toBe(show(bytes));
    await client.close();
  });

  it("hears the end", async () => {
    const { client, socket } = await session({});
    (await socket).end();
    expect(await client.read()).toBeUndefined();
    await client.close();
  });

  it("refuses a strange root", async () => {
    const strange = await testCertificate({ issuer: "self", isCa: true, subject: "CN=Strange" });
    await expect(session({ roots: [strange.pem] })).rejects.toMatchObject({
      reason: "no trusted root",
      alertSent: "unknown_ca",
    });
  });
});

function testBytes(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => 32 + (i * 7) % 90);
}

async function session(
  clientOptions: Partial<ClientOptions>,
  serverOptions: TlsOptions = {},
): Promise<{ client: ClientConnection; socket: Promise<TLSSocket> }> {
  const certificate = await testCertificate({ names: ["a.example"] });
  const server = createServer({
    cert: certificate.chainPem,
    key: certificate.keyPem,
    minVersion: "TLSv1.3",
    ...serverOptions,
  });
  open.push(server);
  server.on("tlsClientError", () => undefined);
  const socket = new Promise<TLSSocket>((resolve) => server.once("secureConnection", resolve));
  server.on("secureConnection", (s) => {
    s.on("error", () => undefined);
    s.pipe(s);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const client = await connect(await connectTcp("127.0.0.1", port), {
    crypto,
    serverName: "a.example",
    roots: [(await testRoot()).pem],
    ...clientOptions,
  });
  return { client, socket };
}

function text(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}

function show(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
