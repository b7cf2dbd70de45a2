import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

import { Hono } from "hono";
import { afterEach, beforeEach, expect, onTestFinished, test } from "vitest";

import { BindError, ConfigError, type ConnectionFacts, serve, type Server } from "../src/mod.ts";
import { holdLock } from "./support/held-lock.ts";
import { curl } from "./support/program.ts";

let data: string;
let server: Server | undefined;
beforeEach(async () => {
  data = await mkdtemp(join(tmpdir(), "sotto-mod-"));
});
afterEach(async () => {
  await server?.stop();
  server = undefined;
  await rm(data, { recursive: true });
});

test("serve() answers with a hono app that knows its connection", async () => {
  const app = new Hono<{ Bindings: ConnectionFacts }>();
  app.get("/", (c) => c.text(`${c.req.url} ${c.env.serverName} ${c.env.ech.outcome}`));
  server = await serve({ app, port: 0, data });
  expect(server.url).toBe(`https://localhost:${server.port}/`);
  expect(server.http).toEqual([]);
  expect(server.ech!.publicName).toBe("cover.localhost");
  expect(await curl("--cacert", server.root, server.url)).toBe(
    `${server.url} localhost not-offered`,
  );
});

test("serve() takes a bare function, names and a redirect", async () => {
  server = await serve({
    fetch: (request) => new Response(request.method),
    names: ["App.localhost"],
    listen: ["127.0.0.1"],
    port: 0,
    httpPort: 0,
    ech: { enabled: false },
    data,
  });
  expect(server.ech).toBeUndefined();
  expect(server.https).toEqual([`127.0.0.1:${server.port}`]);
  const to = ["--resolve", `app.localhost:${server.port}:127.0.0.1`, "--cacert", server.root];
  expect(await curl(...to, "-X", "PUT", server.url)).toBe("PUT");
  const http = server.http[0]!;
  const head = await curl("-I", "-H", `Host: app.localhost:1`, `http://${http}/x`);
  expect(head).toContain(`Location: https://app.localhost:${server.port}/x`);
});

test("serve() refuses what it cannot serve, and says why", async () => {
  const fetch = () => new Response();
  await expect(serve({ data })).rejects.toThrow(TypeError);
  await expect(serve({ fetch, app: { fetch }, data })).rejects.toThrow(TypeError);
  await expect(serve({ fetch, names: ["no name"], data })).rejects.toThrow(ConfigError);
  await expect(serve({ fetch, certificate: "c.pem", data })).rejects.toThrow(
    "site[0].certificate: a certificate without its key",
  );
  const holder = createServer();
  await new Promise<void>((resolve) => holder.listen(0, "127.0.0.1", resolve));
  const { port } = holder.address() as { port: number };
  await expect(serve({ fetch, listen: ["127.0.0.1"], port, data })).rejects.toThrow(BindError);
  holder.close();
});

test.runIf(process.platform === "linux")(
  "design 12: serve() does not name an option of the program's where another sotto serves from the same folder",
  async () => {
    const other = spawn("sleep", ["60"], { stdio: "ignore" });
    onTestFinished(() => void other.kill("SIGKILL"));
    const free = createServer();
    await new Promise<void>((resolve) => free.listen(0, "127.0.0.1", resolve));
    const { port } = free.address() as { port: number };
    await holdLock(data, `127.0.0.1:${port}`, other.pid!);
    const fetch = () => new Response();
    await expect(serve({ fetch, listen: ["127.0.0.1"], port, data })).rejects.toThrow(
      `sotto with process id ${other.pid} serves there from the same data folder. Stop it with: kill ${other.pid}`,
    );
    await new Promise((resolve) => free.close(resolve));
  },
);
