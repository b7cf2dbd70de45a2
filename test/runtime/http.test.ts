/** The runtime's own HTTP server for decrypted streams, on whichever runtime executes this. */
import net from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { thisRuntime } from "../../src/runtime/detect.ts";
import { HttpHop } from "../../src/runtime/http-hop.ts";
import type { AnswerHttp, HttpServer, Socket, SocketEvents } from "../../src/runtime/runtime.ts";

const runtime = await thisRuntime();
const servers: HttpServer<Tag>[] = [];

afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop();
});

describe(`the HTTP server of ${runtime.name}`, () => {
  it("hands each request to the answer with its connection's tag and an https URL", async () => {
    const server = await serve((request, tag) => new Response(`${tag.name} ${request.url}`));
    const a = await open(server, "a");
    const b = await open(server, "b");
    a.send("GET /1?x=1 HTTP/1.1\r\nHost: a.example:8443\r\n\r\n");
    b.send("GET /2 HTTP/1.1\r\nHost: b.example\r\n\r\n");
    await a.until("a https://a.example:8443/1?x=1");
    await b.until("b https://b.example/2");
    a.send("GET /3 HTTP/1.1\r\nHost: a.example\r\n\r\n");
    await a.until("a https://a.example/3");
    a.socket.terminate();
    b.socket.terminate();
    await a.whenClosed;
    await b.whenClosed;
  });

  it("carries bodies both ways, headers and status", async () => {
    const server = await serve(async (request) => {
      const body = await request.text();
      return new Response(`${request.method} ${request.headers.get("x-in")} ${body.length}`, {
        status: 201,
        headers: { "x-out": "yes" },
      });
    });
    const client = await open(server, "a");
    client.send(
      `POST / HTTP/1.1\r\nHost: a\r\nX-In: in\r\nContent-Length: 100000\r\n\r\n` +
        "x".repeat(100_000),
    );
    await client.until("POST in 100000");
    expect(client.text).toMatch(/^HTTP\/1\.1 201 /);
    expect(client.text).toMatch(/\r\nx-out: yes\r\n/i);
    client.socket.terminate();
  });

  it("streams what it is given in pieces", async () => {
    const gate = Promise.withResolvers<void>();
    const server = await serve(() => {
      const encoder = new TextEncoder();
      return new Response(
        new ReadableStream({
          async start(controller) {
            controller.enqueue(encoder.encode("first"));
            await gate.promise;
            controller.enqueue(encoder.encode("second"));
            controller.close();
          },
        }),
      );
    });
    const client = await open(server, "a");
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    await client.until("first");
    expect(client.text).not.toContain("second");
    gate.resolve();
    await client.until("second");
    client.socket.terminate();
  });

  it("holds back what nobody takes", async () => {
    let pulled = 0;
    const server = await serve(() =>
      new Response(
        new ReadableStream({
          async pull(controller) {
            pulled += 65536;
            controller.enqueue(new Uint8Array(65536));
            await turn();
            if (pulled > 256 * 1024 * 1024) controller.close();
          },
        }),
      )
    );
    const client = await open(server, "a");
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    await client.until("200");
    client.socket.pause();
    let before = -1;
    for (let quiet = 0; quiet < 20; quiet = before === pulled ? quiet + 1 : 0) {
      before = pulled;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    expect(pulled).toBeLessThan(64 * 1024 * 1024);
    client.socket.terminate();
  });
});

describe.runIf(runtime.name !== "node")("the hop", () => {
  it("answers 403 to a connection that did not come through it, and counts it", async () => {
    let asked = 0;
    const server = await serve(() => (asked++, new Response("secret")));
    const [port] = (server as HttpHop<Tag>).ports;
    const text = await requestFrom({ port: port!, host: "127.0.0.1" });
    expect(text).toMatch(/^HTTP\/1\.1 403 /);
    expect(server.strangers).toBe(1);
    expect(asked).toBe(0);
  });

  it("answers 403 to another address that has the source port of a connection", async () => {
    let asked = 0;
    const server = await serve(() => (asked++, new Response("secret")));
    const client = await open(server, "a");
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    await client.until("secret");
    const [port] = (server as HttpHop<Tag>).ports;
    const text = await requestFrom({
      port: port!,
      host: "127.0.0.1",
      localAddress: "127.0.0.2",
      localPort: client.socket.localPort,
    });
    expect(text).toMatch(/^HTTP\/1\.1 403 /);
    expect(server.strangers).toBe(1);
    expect(asked).toBe(1);
    client.socket.terminate();
  });
});

interface Tag {
  readonly name: string;
}

async function serve(answer: AnswerHttp<Tag>): Promise<HttpServer<Tag>> {
  const server = await runtime.serveHttp<Tag>(answer);
  servers.push(server);
  return server;
}

class Client implements SocketEvents {
  socket!: Socket;
  text = "";
  readonly #ended = Promise.withResolvers<void>();
  readonly #closed = Promise.withResolvers<void>();

  data(bytes: Uint8Array): void {
    this.text += new TextDecoder().decode(bytes);
  }
  drain(): void {}
  end(): void {
    this.#ended.resolve();
  }
  close(): void {
    this.#ended.resolve();
    this.#closed.resolve();
  }
  send(text: string): void {
    const bytes = new TextEncoder().encode(text);
    for (let at = 0; at < bytes.length;) at += this.socket.write(bytes, at, bytes.length);
  }
  async until(text: string): Promise<void> {
    while (!this.text.includes(text)) await turn();
  }
  get whenEnded(): Promise<void> {
    return this.#ended.promise;
  }
  get whenClosed(): Promise<void> {
    return this.#closed.promise;
  }
}

async function open(server: HttpServer<Tag>, name: string): Promise<Client> {
  const client = new Client();
  client.socket = await server.connect({ name }, client);
  return client;
}

async function requestFrom(options: net.TcpNetConnectOpts): Promise<string> {
  const socket = net.connect(options);
  let text = "";
  socket.on("data", (chunk) => text += chunk);
  socket.write("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  await new Promise((resolve, reject) => {
    socket.once("end", resolve);
    socket.once("error", reject);
  });
  return text;
}

function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 1));
}
