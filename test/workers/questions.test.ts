/** Questions from real workers to the control plane of this process. */
import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { DEFAULT_CONFIG } from "../../src/config/config.ts";
import { SILENT } from "../../src/edge/log.ts";
import { type Running, start } from "../../src/start.ts";
import { Channel } from "../../src/workers/channel.ts";
import {
  type DownMessage,
  downMessage,
  MAX_DOWN_BYTES,
  type UpMessage,
} from "../../src/workers/messages.ts";
import { Uplink } from "../../src/workers/uplink.ts";
import { curl } from "../support/program.ts";

describe.runIf(process.platform === "linux")("across processes", { timeout: 60_000 }, () => {
  let folder: string;
  let running: Running;
  let asked: string[];
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "sotto-questions-"));
    asked = [];
    running = await start({
      config: DEFAULT_CONFIG,
      dataFolder: join(folder, "data"),
      https: { addresses: ["127.0.0.1"], ports: [0], option: "" },
      http: { addresses: ["127.0.0.1"], ports: [0], option: "" },
      log: SILENT,
      workers: 2,
      answers: {
        onDemand: () => Promise.resolve(false),
        challenge(challenge) {
          asked.push(Object.values(challenge).join(" "));
          const isKnown = challenge.kind === "http-01" && challenge.token === "known";
          return Promise.resolve(isKnown ? "known.thumbprint" : undefined);
        },
      },
    });
  }, 60_000);
  afterEach(async () => {
    await running.stop();
    await rm(folder, { recursive: true });
  });

  test("acme 7a: every worker's port 80 answers what the control plane knows", async () => {
    const url = `http://${running.http[0]}/.well-known/acme-challenge`;
    for (let i = 0; i < 8; i++) expect(await curl(`${url}/known`)).toBe("known.thumbprint");
    const unknown = await curl("-w", "%{http_code}", `${url}/unknown`);
    expect(unknown).toBe("404");
    const host = ["-H", "Host: a.example"];
    expect(await curl(...host, `${url}/known`)).toBe("known.thumbprint");
    expect(new Set(asked)).toEqual(
      new Set([
        "http-01 known 127.0.0.1",
        "http-01 unknown 127.0.0.1",
        "http-01 known a.example",
      ]),
    );
  });
});

const TOKEN = { kind: "http-01", token: "token", host: "a.example" } as const;

describe("without a supervisor that answers", () => {
  let sockets: Socket[];
  let server: ReturnType<typeof createServer>;
  let channel: Channel<DownMessage, UpMessage>;
  let uplink: Uplink;
  let said: string[];
  beforeEach(async () => {
    [sockets, said] = [[], []];
    server = createServer((socket) => void sockets.push(socket.on("error", () => {}).pause()));
    await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
    channel = new Channel({
      socket: connect((server.address() as { port: number }).port, "127.0.0.1"),
      maxBytes: MAX_DOWN_BYTES,
      parse: (value) => downMessage.parse(value),
      onMessage: () => {},
      onClose: () => uplink.lost(),
    });
    uplink = new Uplink({ channel, ownLog: { event: (_level, event) => void said.push(event) } });
    while (sockets.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  });
  afterEach(() => {
    channel.close();
    for (const socket of sockets) socket.destroy();
    server.close();
  });

  test("design 2: a dead control plane answers no at once, to those who wait as well", async () => {
    const waiting = [uplink.onDemand("a.example", "::1"), uplink.challenge(TOKEN)];
    sockets[0]!.destroy();
    expect(await Promise.all(waiting)).toEqual([false, undefined]);
    expect(await uplink.onDemand("b.example", "::1")).toBe(false);
    expect(await uplink.challenge(TOKEN)).toBeUndefined();
    uplink.log({ debug: false, names: false }).event("warn", "alone", {});
    expect(said).toEqual(["alone"]);
  });

  test("design 2: one that hangs is asked no more once enough piles up, and events are let go", async () => {
    const log = uplink.log({ debug: false, names: false });
    let events = 0;
    while (!channel.isCrowded && events < 50_000) {
      log.event("warn", `event ${events++ % 100}`, { what: "x".repeat(10_000) });
      if (events % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    expect(channel.isCrowded).toBe(true);
    expect(await uplink.onDemand("a.example", "::1")).toBe(false);
    for (let i = 0; i < 1_000; i++) {
      log.event("warn", `late ${i % 100}`, { what: "x".repeat(10_000) });
    }
    expect(channel.unsentBytes).toBeLessThan(2 * 1024 * 1024);
  });

  test("Of one event only so many a second go up", async () => {
    let bytes = 0;
    sockets[0]!.on("data", (part: Uint8Array) => bytes += part.length).resume();
    const log = uplink.log({ debug: false, names: false });
    for (let i = 0; i < 10_000; i++) log.event("warn", "the same", {});
    await channel.flushed();
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(bytes).toBeGreaterThan(0);
    expect(bytes).toBeLessThan(10_000);
  });
});
