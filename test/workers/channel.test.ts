import { connect, createServer, type Server, type Socket } from "node:net";

import { afterEach, beforeEach, expect, test } from "vitest";

import { Channel } from "../../src/workers/channel.ts";

let server: Server;
let raw: Socket;
let channel: Channel<string, string>;
let heard: string[];
let ended: Promise<string | undefined>;
beforeEach(async () => {
  heard = [];
  server = createServer();
  const accepted = new Promise<Socket>((resolve) => void server.once("connection", resolve));
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  raw = connect((server.address() as { port: number }).port, "127.0.0.1");
  raw.on("error", () => {});
  const end = Promise.withResolvers<string | undefined>();
  ended = end.promise;
  channel = new Channel({
    socket: await accepted,
    maxBytes: 1_000_000,
    parse(value) {
      if (typeof value !== "string") throw new TypeError("no text");
      return value;
    },
    onMessage: (message) => heard.push(message),
    onClose: end.resolve,
  });
});
afterEach(() => {
  raw.destroy();
  channel.close();
  server.close();
});

function frame(text: string, length = Buffer.byteLength(text)): Buffer {
  const header = Buffer.alloc(4);
  header.writeUInt32BE(length);
  return Buffer.concat([header, Buffer.from(text)]);
}

async function until(what: () => boolean): Promise<void> {
  while (!what()) await new Promise((resolve) => setTimeout(resolve, 5));
}

test("Messages come whole, however they were cut", async () => {
  const bytes = Buffer.concat(
    ["one", "zwölf", "x".repeat(100_000)].map((text) => frame(JSON.stringify(text))),
  );
  for (const byte of bytes.subarray(0, 12)) {
    raw.write(Uint8Array.of(byte));
    await new Promise((resolve) => setImmediate(resolve));
  }
  raw.write(bytes.subarray(12));
  await until(() => heard.length === 3);
  expect(heard.map((text) => text.length)).toEqual([3, 5, 100_000]);
});

test("What is sent comes as it was", async () => {
  const parts: Buffer[] = [];
  raw.on("data", (part: Buffer) => parts.push(part));
  channel.send("one");
  channel.send("two");
  await channel.flushed();
  await until(() => Buffer.concat(parts).length >= 18);
  expect(Buffer.concat(parts)).toEqual(Buffer.concat([frame('"one"'), frame('"two"')]));
});

test.for(
  [
    ["no JSON", frame("{")],
    ["another shape", frame("{}")],
    ["a message that is too long", frame('"x"', 1_000_001)],
    ["4 GB to come", frame('"x"', 0xffffffff)],
    ["HTTP", Buffer.from("GET / HTTP/1.1\r\n\r\n")],
    ["zeroes", Buffer.alloc(64)],
  ] as const,
)("%s ends the channel, and nothing behind it is heard", async ([, garbage]) => {
  raw.write(Buffer.concat([frame('"before"'), garbage, frame('"behind"')]));
  expect(await ended).toMatch(/^no message: /);
  expect(heard).toEqual(["before"]);
  channel.send("to nobody");
  expect(channel.isOpen).toBe(false);
});

test("What is said of garbage shows nothing of it: there may be keys in it", async () => {
  raw.write(frame('{"key":"c2VjcmV0"'));
  const why = await ended;
  expect(why).toBe("no message: it is no JSON");
});

test("A message that never becomes whole is the end of nothing", async () => {
  raw.write(frame('"half"', 100));
  raw.end();
  expect(await ended).toBeUndefined();
  expect(heard).toEqual([]);
});
