import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { connectTcp } from "../../src/client/tcp-transport.ts";

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

describe("connectTcp", () => {
  it("carries bytes both ways and ends at FIN", async () => {
    const { port } = await listen((socket) => {
      socket.on("data", (chunk) => socket.end(chunk));
    });
    const transport = await connectTcp("127.0.0.1", port);
    await transport.write(Uint8Array.of(1, 2, 3));
    expect([...(await transport.read())!]).toEqual([1, 2, 3]);
    expect(await transport.read()).toBeUndefined();
    expect(await transport.read()).toBeUndefined();
    transport.close();
  });

  it("ends a read that waits when it is closed", async () => {
    const { port } = await listen(() => undefined);
    const transport = await connectTcp("127.0.0.1", port);
    const reading = transport.read();
    transport.close();
    expect(await reading).toBeUndefined();
  });

  it("says FIN to the server behind what was written", async () => {
    let heard = "";
    const ended = new Promise<void>((resolve) => {
      void listen((socket) => {
        socket.on("data", (chunk) => heard += String(chunk));
        socket.on("end", () => resolve());
        socket.write("never read");
      }).then(async ({ port }) => {
        const transport = await connectTcp("127.0.0.1", port);
        void transport.write(new TextEncoder().encode("last words"));
        transport.close();
      });
    });
    await ended;
    expect(heard).toBe("last words");
  });

  it("rejects where nobody listens", async () => {
    const { server, port } = await listen(() => undefined);
    await new Promise((resolve) => server.close(resolve));
    await expect(connectTcp("127.0.0.1", port)).rejects.toMatchObject({ code: "ECONNREFUSED" });
  });
});

async function listen(serve: (socket: Socket) => void): Promise<{ server: Server; port: number }> {
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    serve(socket);
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { server, port: (server.address() as AddressInfo).port };
}
