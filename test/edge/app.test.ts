import { Hono } from "hono";
import { describe, expect, it, onTestFinished } from "vitest";
import { type App, AppHandler } from "../../src/edge/handlers/app.ts";
import type { ConnectionFacts } from "../../src/edge/handlers/handler.ts";
import { thisRuntime } from "../../src/runtime/detect.ts";
import { type EdgeWish, get, readText, readUntil, TestEdge, turn, until } from "./edge-kit.ts";

describe("app", () => {
  it("sees https URLs and the facts of its own connection", async () => {
    const edge = await serve((request, facts) =>
      new Response(`${request.url} over ${facts.serverName} from ${facts.remotePort}`)
    );
    const clients = await Promise.all(Array.from({ length: 10 }, () => edge.connect()));
    const answers = await Promise.all(clients.map(async (client, i) => {
      await client.write(get("a.example", `/${i}`));
      return await readUntil(client, "from ");
    }));
    answers.forEach((answer, i) => {
      expect(answer).toContain(`https://a.example/${i} over a.example from `);
    });
    expect(new Set(answers.map((answer) => answer.split("from ")[1])).size).toBe(10);
    for (const client of clients) await client.close();
    await until(() => edge.server.liveConnections === 0);
  });

  it("is a hono app's fetch, with the facts as its env", async () => {
    const app = new Hono<{ Bindings: ConnectionFacts }>();
    app.get("/who/:name", (c) => c.text(`${c.req.param("name")} ${c.env.ech.outcome}`));
    const edge = await serve(app.fetch);
    const client = await edge.connect();
    await client.write(get("a.example", "/who/me"));
    expect(await readUntil(client, "me not-offered")).toContain("200");
    await client.write(get("a.example", "/nothing"));
    expect(await readUntil(client, "404 Not Found\r\n")).toContain("404");
    await client.close();
  });

  it("takes an upload and gives it back, 5 MB both ways", async () => {
    const edge = await serve(async (request) => new Response(await request.arrayBuffer()));
    const client = await edge.connect();
    const body = new Uint8Array(5 * 1024 * 1024).map((_, i) => i ^ (i >>> 8));
    await client.write(new TextEncoder().encode(
      `POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: ${body.length}\r\n\r\n`,
    ));
    for (let at = 0; at < body.length; at += 65536) {
      await client.write(body.subarray(at, at + 65536));
    }
    let head = new Uint8Array(0);
    while (Buffer.from(head).indexOf("\r\n\r\n") < 0) {
      head = new Uint8Array(Buffer.concat([head, (await client.read())!]));
    }
    const inHead = head.subarray(Buffer.from(head).indexOf("\r\n\r\n") + 4);
    const rest = await client.readExactly(body.length - inHead.length);
    expect(Buffer.compare(Buffer.concat([inHead, rest]), body)).toBe(0);
    await client.close();
  });

  it("holds a slow reader's answer back", async () => {
    let pulled = 0;
    const edge = await serve(() =>
      new Response(
        new ReadableStream({
          pull(controller) {
            pulled += 65536;
            controller.enqueue(new Uint8Array(65536));
            if (pulled >= 256 * 1024 * 1024) controller.close();
          },
        }),
      )
    );
    const client = await edge.connect();
    await client.write(get("a.example"));
    await readUntil(client, "200");
    let before = -1;
    for (let quiet = 0; quiet < 20; quiet = before === pulled ? quiet + 1 : 0) {
      before = pulled;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    expect(pulled).toBeLessThan(96 * 1024 * 1024);
  });

  it("answers a peer that has ended, however late, and then closes", async () => {
    const gate = Promise.withResolvers<void>();
    const edge = await serve(async () => (await gate.promise, new Response("late answer")));
    const client = await edge.connect();
    await client.write(get("a.example"));
    await client.closeWrite();
    await new Promise((resolve) => setTimeout(resolve, 1_200));
    gate.resolve();
    expect(await readUntil(client, "late answer")).toContain("200");
    await client.close();
    await until(() => edge.server.liveConnections === 0);
  });

  it("closes at once when a peer leaves after its answer", async () => {
    const edge = await serve(() => new Response("hello"));
    const client = await edge.connect();
    await client.write(get("a.example"));
    await readUntil(client, "hello");
    const start = performance.now();
    await client.close();
    await until(() => edge.server.liveConnections === 0);
    expect(performance.now() - start).toBeLessThan(500);
  });

  it("is not asked where Host is not to be served: 421 and the end (policy 8.5)", async () => {
    let asked = 0;
    const edge = await serve(() => (asked++, new Response("secret")), {
      sites: [{ names: ["a.example"] }, { names: ["b.example"] }],
    });
    const client = await edge.connect();
    await client.write(get("b.example"));
    expect(await readText(client)).toMatch(/^HTTP\/1\.1 421 /);
    await client.close();
    expect(asked).toBe(0);
  });

  it("policy 8.3: is not asked on the public name: 421, empty, and the end", async () => {
    let asked = 0;
    const edge = await serve(() => (asked++, new Response("secret")), {
      sites: [{ names: ["public.example"], publicNameOnly: true }],
    });
    const client = await edge.connect({ serverName: "public.example" });
    await client.write(get("public.example"));
    expect(await readText(client)).toMatch(/^HTTP\/1\.1 421 [^]*\r\n\r\n$/);
    await client.close();
    expect(asked).toBe(0);
  });

  it("gives 500 when it throws, and goes on", async () => {
    let calls = 0;
    const edge = await serve(() => {
      if (calls++ === 0) throw new Error("secret");
      return new Response("fine");
    });
    const client = await edge.connect();
    await client.write(get("a.example"));
    expect(await readUntil(client, "\r\n\r\n")).toMatch(/^HTTP\/1\.1 500 /);
    await client.write(get("a.example"));
    expect(await readUntil(client, "fine")).toContain("200");
    expect(edge.log.filter(({ event }) => event === "app_failed")).toHaveLength(1);
    expect(JSON.stringify(edge.log)).not.toContain("secret");
    await client.close();
  });

  it("ends where it answers Connection: close", async () => {
    const edge = await serve(() => new Response("bye", { headers: { connection: "close" } }));
    const client = await edge.connect();
    await client.write(get("a.example"));
    expect(await readText(client)).toMatch(/\r\n\r\nbye$/);
    await client.close();
  });

  it("hears of a peer that goes away", async () => {
    const aborted = Promise.withResolvers<void>();
    const asked = Promise.withResolvers<void>();
    const edge = await serve(async (request) => {
      request.signal.addEventListener("abort", () => aborted.resolve());
      asked.resolve();
      await aborted.promise;
      return new Response("never seen");
    });
    const { client, socket } = await edge.connectOver();
    await client.write(get("a.example"));
    await asked.promise;
    socket.resetAndDestroy();
    await aborted.promise;
    await until(() => edge.server.liveConnections === 0);
    await turn();
  });
});

async function serve(app: App, wish: EdgeWish = {}): Promise<TestEdge> {
  const lines: TestEdge["log"] = [];
  const handler = await AppHandler.start(await thisRuntime(), app, {
    event: (level, event, fields) => void lines.push({ level, event, ...fields }),
  });
  onTestFinished(() => handler.stop());
  const edge = await TestEdge.start({ ...wish, handlers: () => handler });
  Object.defineProperty(edge, "log", { value: lines });
  return edge;
}
