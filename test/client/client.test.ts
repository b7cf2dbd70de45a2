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
});

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
