import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { connect, type TLSSocket } from "node:tls";

import { describe, expect, onTestFinished, test } from "vitest";

import { LOOK_MS, SAME_WISH_MS } from "../../src/cli/stop-signals.ts";
import { CliKit, type Serving } from "./cli-kit.ts";

const cli = new CliKit("stop");

/** A connection that is in the midst of a request. */
async function beginToAsk({ ready, https }: Serving): Promise<TLSSocket> {
  const ca = await readFile(ready.root);
  const socket = connect({ host: "127.0.0.1", port: Number(https), servername: "localhost", ca });
  socket.on("error", () => {});
  onTestFinished(() => void socket.destroy());
  await new Promise<void>((resolve) => socket.once("secureConnect", resolve));
  await new Promise<void>((resolve) =>
    socket.write("GET / HTTP/1.1\r\nHost: loc", () => resolve())
  );
  return socket;
}

async function answerOf(socket: TLSSocket): Promise<string> {
  let text = "";
  socket.on("data", (bytes: Buffer) => text += bytes.toString());
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  socket.write("alhost\r\nConnection: close\r\n\r\n");
  await closed;
  return text;
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await delay(10);
}

describe.each(["SIGTERM", "SIGINT"] as const)("%s", (signal) => {
  test("lets an open connection finish", async () => {
    const serving = await cli.serve();
    const socket = await beginToAsk(serving);
    process.kill(serving.ready.pid, signal);
    await until(() => serving.stderr().includes("stopping"));
    expect(await answerOf(socket)).toContain("It serves");
    expect((await serving.ended).code).toBe(0);
  });

  test("that comes twice at once, from a terminal and from who started it, is one", async () => {
    const serving = await cli.serve();
    const socket = await beginToAsk(serving);
    process.kill(serving.ready.pid, signal);
    await until(() => serving.stderr().includes("stopping"));
    process.kill(serving.ready.pid, signal);
    expect(await answerOf(socket)).toContain("It serves");
    expect((await serving.ended).code).toBe(0);
  });

  test("does not wait any longer the second time", async () => {
    const serving = await cli.serve();
    await beginToAsk(serving);
    process.kill(serving.ready.pid, signal);
    await until(() => serving.stderr().includes("stopping"));
    await delay(SAME_WISH_MS);
    process.kill(serving.ready.pid, signal);
    expect((await serving.ended).code).toBe(1);
  });
});

/** A shell that stays between, as npm's does on Debian. */
const SHELL = ["sh", "-c", '"$0" "$@"; exit $?'];
const NPX = ["env", "npm_lifecycle_event=npx"];

/** Ends the program's shell as npm does. */
async function endStarter(serving: Serving): Promise<void> {
  process.kill(serving.child.pid!, "SIGTERM");
  await new Promise((resolve) => serving.child.once("exit", resolve));
}

describe.runIf(process.platform === "linux")("Who started it is gone", () => {
  const serve = async (...within: string[]) => {
    const serving = await cli.serve([], { within });
    expect(serving.ready.pid).not.toBe(serving.child.pid);
    return serving;
  };
  const isAlive = ({ ready }: Serving) => existsSync(`/proc/${ready.pid}`);
  /** It does after several looks. Ends it. */
  const servesOn = async (serving: Serving) => {
    await endStarter(serving);
    await delay(3 * LOOK_MS);
    const does = isAlive(serving) && !serving.stderr().includes("stopping");
    if (isAlive(serving)) process.kill(serving.ready.pid, "SIGKILL");
    return does;
  };

  test.runIf(!("Deno" in globalThis))("and was npx: it is to end as by SIGTERM", async () => {
    const serving = await serve(...NPX, ...SHELL);
    const socket = await beginToAsk(serving);
    await endStarter(serving);
    await until(() => serving.stderr().includes("stopping"));
    expect(await answerOf(socket)).toContain("It serves");
    await serving.ended; // whoever wrote there
    expect(existsSync(serving.file)).toBe(false);
  });

  test("and was another program: it serves on", async () => {
    expect(await servesOn(await serve(...SHELL))).toBe(true);
  });

  test("after a hangup, as of nohup: it serves on", async () => {
    const serving = await serve(...NPX, ...SHELL);
    process.kill(serving.ready.pid, "SIGHUP");
    expect(await servesOn(serving)).toBe(true);
  });

  test("and it has a session of its own: it serves on", async () => {
    const serving = await serve(...NPX, "sh", "-c", 'setsid "$0" "$@"; exit $?');
    expect(await servesOn(serving)).toBe(true);
  });
});
