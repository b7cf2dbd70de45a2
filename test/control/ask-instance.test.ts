import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, expect, test } from "vitest";

import { postToInstance } from "../../src/control/ask-instance.ts";

let folder: string;
let path: string;
let server: Server | undefined;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "sotto-ask-"));
  path = join(folder, "a.sock");
});
afterEach(async () => {
  await new Promise((resolve) => server === undefined ? resolve(0) : server.close(resolve));
  server = undefined;
  await rm(folder, { recursive: true });
});

/** Somebody who answers the first bytes. */
async function listen(answer: (socket: Socket) => void): Promise<void> {
  server = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", () => answer(socket));
  });
  await new Promise<void>((resolve) => void server!.listen(path, resolve));
}

test("Nobody listens: the system's error says how", async () => {
  await expect(postToInstance(path, "/reload", 5000)).rejects.toMatchObject({ code: "ENOENT" });
  await writeFile(path, "");
  await expect(postToInstance(path, "/reload", 5000)).rejects.toMatchObject({
    code: "ECONNREFUSED",
  });
});

test("An answer comes as it is, whatever its status", async () => {
  await listen((socket) =>
    socket.end("HTTP/1.1 422 No\r\nContent-Length: 4\r\nConnection: close\r\n\r\ntext")
  );
  expect(await postToInstance(path, "/reload", 5000)).toEqual({ status: 422, text: "text" });
});

test("Who goes away, before the answer or in it, has not answered", async () => {
  for (const half of ["", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nte"]) {
    await listen((socket) => socket.end(half));
    await expect(postToInstance(path, "/reload", 5000)).rejects.toThrow();
    await new Promise((resolve) => server!.close(resolve));
    server = undefined;
  }
});

test("Who does not answer in time is left alone", async () => {
  let hasLeft: (() => void) | undefined;
  const left = new Promise<void>((resolve) => hasLeft = resolve);
  await listen((socket) => void socket.once("close", () => hasLeft!()));
  await expect(postToInstance(path, "/reload", 50)).rejects.toMatchObject({ code: "ETIMEDOUT" });
  await left;
});

test("An answer without an end is not kept", async () => {
  await listen((socket) => {
    socket.write("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
    const more = () => {
      while (!socket.destroyed && socket.write("x".repeat(65_536)));
    };
    socket.on("drain", more);
    more();
  });
  await expect(postToInstance(path, "/reload", 30_000)).rejects.toThrow("its answer is too long");
});
