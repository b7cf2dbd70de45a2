/** One suite for all three runtimes: whichever executes it is the one that is tested. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readlinkSync } from "node:fs";
import net from "node:net";
import { fileURLToPath } from "node:url";

import { expect, it, onTestFinished } from "vitest";

import { thisRuntime } from "../../src/runtime/detect.ts";
import type { ConnectAttempt, SocketEvents } from "../../src/runtime/runtime.ts";

const runtime = await thisRuntime();
/** Longer than its queue, whatever the runtime makes of `backlog`. */
const MOST_TO_FILL = 600;
const TIMEOUT_MS = 300;

it(`connecting on ${runtime.name} ends at its deadline, and leaves no descriptor`, async () => {
  const port = await deafPort();
  const before = sockets();
  const began = performance.now();
  const attempts = Array.from(
    { length: 20 },
    () => runtime.connect({ hostname: "127.0.0.1", port }, NO_EVENTS, { timeoutMs: TIMEOUT_MS }),
  );
  for (const attempt of attempts) {
    await expect(attempt).rejects.toMatchObject({ code: "ETIMEDOUT" });
  }
  expect(performance.now() - began).toBeGreaterThanOrEqual(TIMEOUT_MS - 5);
  const end = performance.now() + 5_000;
  while (sockets() > before && performance.now() < end) await turn();
  expect(sockets()).toBeLessThanOrEqual(before);
}, 30_000);

it(`connecting on ${runtime.name} is given up at once, and leaves no descriptor`, async () => {
  const port = await deafPort();
  const before = sockets();
  const began = performance.now();
  const attempt: ConnectAttempt = { timeoutMs: 60_000 };
  const connecting = runtime.connect({ hostname: "127.0.0.1", port }, NO_EVENTS, attempt);
  await turn();
  attempt.giveUp!();
  await expect(connecting).rejects.toMatchObject({ code: "ETIMEDOUT" });
  expect(attempt.giveUp).toBe(undefined);
  const end = performance.now() + 5_000;
  while (sockets() > before && performance.now() < end) await turn();
  expect(sockets()).toBeLessThanOrEqual(before);
  expect(performance.now() - began).toBeLessThan(10_000);
}, 30_000);

it(`connecting on ${runtime.name} in time goes as without a deadline`, async () => {
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    socket.write("first word, ");
    socket.on("data", (bytes) => setTimeout(() => socket.end(bytes), TIMEOUT_MS + 100));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close());
  const { port } = server.address() as net.AddressInfo;
  let said = "";
  const ended = Promise.withResolvers<void>();
  const closed = Promise.withResolvers<Error | undefined>();
  const socket = await runtime.connect({ hostname: "127.0.0.1", port }, {
    data: (bytes) => void (said += new TextDecoder().decode(bytes)),
    drain() {},
    end: ended.resolve,
    close: closed.resolve,
  }, { timeoutMs: TIMEOUT_MS });
  expect(socket.remotePort).toBe(port);
  const words = new TextEncoder().encode("then an echo");
  expect(socket.write(words, 0, words.length)).toBe(words.length);
  // The deadline was for connecting, not for what comes after it.
  await ended.promise;
  expect(said).toBe("first word, then an echo");
  socket.shutdown();
  expect(await closed.promise).toBe(undefined);
});

it(`connecting on ${runtime.name} with a deadline says ECONNREFUSED where nobody listens`, async () => {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as net.AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  await expect(
    runtime.connect({ hostname: "127.0.0.1", port }, NO_EVENTS, { timeoutMs: TIMEOUT_MS }),
  )
    .rejects.toMatchObject({ code: "ECONNREFUSED" });
});

/** Where connections are neither accepted nor refused any more. */
async function deafPort(): Promise<number> {
  const script = fileURLToPath(new URL("./fixtures/deaf-server.ts", import.meta.url));
  const flags = runtime.name === "deno" ? ["run", "-A"] : [];
  const server = spawn(process.execPath, [...flags, script], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, DENO_NO_UPDATE_CHECK: "1" },
  });
  onTestFinished(() => void server.kill("SIGKILL"));
  const [line] = await once(server.stdout, "data");
  const port = Number(String(line));
  for (let filled = 0; filled < MOST_TO_FILL; filled++) {
    const filling = net.connect(port, "127.0.0.1");
    filling.on("error", () => {});
    onTestFinished(() => void filling.destroy());
    const isIn = await Promise.race([
      new Promise<boolean>((resolve) => filling.once("connect", () => resolve(true))),
      new Promise<boolean>((resolve) => setTimeout(resolve, 500, false)),
    ]);
    if (!isIn) return port;
  }
  throw new Error("its queue does not fill");
}

function sockets(): number {
  return readdirSync("/proc/self/fd").filter((descriptor) => {
    try {
      return readlinkSync(`/proc/self/fd/${descriptor}`).startsWith("socket:");
    } catch {
      return false; // of this very listing
    }
  }).length;
}

function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 10));
}

const NO_EVENTS: SocketEvents = {
  data() {},
  drain() {},
  end() {},
  close() {},
};
