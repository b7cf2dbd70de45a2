import { existsSync, readFileSync } from "node:fs";
import { readFile, realpath, symlink } from "node:fs/promises";
import { join } from "node:path";
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

test("Two signals at once, as from a terminal and from who started it, are one wish", async () => {
  const serving = await cli.serve();
  const socket = await beginToAsk(serving);
  // Of the same signal there is but one at a time.
  for (const one of ["SIGTERM", "SIGINT"] as const) process.kill(serving.ready.pid, one);
  expect(await answerOf(socket)).toContain("It serves");
  expect((await serving.ended).code).toBe(0);
});

/** Deno has no part in it: `deno task` hands signals on. */
const follows = process.platform === "linux" && !("Deno" in globalThis);

describe.runIf(follows)("Who started it is gone", () => {
  /** Shells that stay between: npm, as it calls itself, and those it starts, as on Debian. */
  const shell = (command: string) => ["sh", "-c", command];
  const STAYS = '"$0" "$@"; exit $?';
  const npx = (...started: string[]) => [
    "env",
    "npm_lifecycle_event=npx",
    join(cli.folder, "npm exec bun run"),
    "-c",
    STAYS,
    ...started,
  ];
  const serve = async (...within: string[]) => {
    await symlink(await realpath("/bin/sh"), join(cli.folder, "npm exec bun run"));
    const serving = await cli.serve(["--log", "json"], { within });
    expect(serving.ready.pid).not.toBe(serving.child.pid);
    return serving;
  };
  const statOf = ({ ready }: Serving): string[] => {
    const stat = readFileSync(`/proc/${ready.pid}/stat`, "latin1");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  };
  const starterOf = (serving: Serving) => Number(statOf(serving)[1]);
  /** As npm does it on SIGTERM, where it is npm's. */
  const endStarter = async (serving: Serving) => {
    const starter = starterOf(serving);
    process.kill(starter, "SIGTERM");
    await until(() => !existsSync(`/proc/${starter}`));
  };
  const isAlive = ({ ready }: Serving) => existsSync(`/proc/${ready.pid}`);
  /** It does after several looks. Ends it. */
  const servesOn = async (serving: Serving) => {
    await delay(5 * LOOK_MS);
    const does = isAlive(serving) && !serving.stderr().includes("stopping");
    if (isAlive(serving)) process.kill(serving.ready.pid, "SIGKILL");
    return does;
  };
  const ends = async (serving: Serving) => {
    await until(() => serving.stderr().includes("stopping"));
    expect(serving.stderr()).toMatch(/"event":"stopping".*"why":"what started it is gone"/);
    await serving.ended; // whoever wrote there
    expect(existsSync(serving.file)).toBe(false);
  };

  test("and was npx: it is to end as by SIGTERM, and says why", async () => {
    const serving = await serve(...npx());
    const socket = await beginToAsk(serving);
    await endStarter(serving);
    await until(() => serving.stderr().includes("stopping"));
    expect(await answerOf(socket)).toContain("It serves");
    await ends(serving);
  });

  test("and was the shell of npx: it is to end too", async () => {
    const serving = await serve(...npx(...shell(STAYS)));
    await endStarter(serving);
    await ends(serving);
  });

  test("soon after a reload by SIGHUP: it is to end too", async () => {
    const serving = await serve(...npx(...shell(STAYS)));
    process.kill(serving.ready.pid, "SIGHUP");
    await until(() => serving.stderr().includes('"event":"reloaded"'));
    await endStarter(serving);
    await ends(serving);
  });

  test("and was another program: it serves on", async () => {
    const serving = await serve(...shell(STAYS));
    await endStarter(serving);
    expect(await servesOn(serving)).toBe(true);
  });

  test("and was a tool that npx had started, and ended by itself: it serves on", async () => {
    const letsGo = '"$0" "$@" & until [ -e ready-0.json ]; do sleep 0.05; done; sleep 0.5; exit 0';
    const serving = await serve(...npx(...shell(STAYS), ...shell(letsGo)));
    const starter = starterOf(serving);
    await until(() => !existsSync(`/proc/${starter}`));
    expect(await servesOn(serving)).toBe(true);
  });

  test("and its terminal with it, by a hangup: it serves on", async () => {
    // A folder's name may hold nothing that the shell minds: its own is of mkdtemp.
    const inTerminal = 'exec script -qec "$(printf "\'%s\' " "$@")" /dev/null';
    const serving = await serve("sh", "-c", inTerminal, "sh", ...npx(...shell(STAYS)));
    expect(statOf(serving)[4]).not.toBe("0");
    const starter = starterOf(serving);
    process.kill(serving.child.pid!, "SIGKILL"); // the terminal's other end
    await until(() => starterOf(serving) !== starter);
    expect(statOf(serving)[4]).toBe("0");
    expect(await servesOn(serving)).toBe(true);
  });

  test("and it has a session of its own: it serves on", async () => {
    const serving = await serve(...npx(...shell('setsid "$0" "$@"; exit $?')));
    await endStarter(serving);
    expect(await servesOn(serving)).toBe(true);
  });
});
