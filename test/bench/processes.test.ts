import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";

import { expect, test } from "vitest";

import { CpuClock, nextLine, start, stop } from "../../bench/processes.ts";

const ROOT_FOLDER = join(import.meta.dirname, "../..");
/** Nothing is compiled for it: whatever runs these tests runs it. */
const RUN = "Deno" in globalThis ? [process.execPath, "run", "-A"] : [process.execPath];

test("What a server's children use is the server's", async () => {
  // The shell waits; the loop runs in a process that it has started.
  const busy = "(i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; echo done; sleep 3) & wait";
  const program = start("0,1", ["sh", "-c", `echo up; read go; ${busy}`], "/");
  try {
    await nextLine(program, /^up/, 10_000);
    const clock = new CpuClock(program.child.pid!);
    const before = clock.read();
    const done = nextLine(program, /^done/, 60_000);
    program.child.stdin!.write("go\n");
    await done;
    expect(clock.read() - before).toBeGreaterThan(20e6);
  } finally {
    await stop(program);
  }
});

test.each(["SIGINT", "SIGTERM", "SIGHUP", "an exception"])(
  "A bench that ends by %s leaves no server behind",
  async (how) => {
    const script = join(import.meta.dirname, "fixtures/holds-a-server.ts");
    const bench = spawn(RUN[0]!, [...RUN.slice(1), script, how], {
      cwd: ROOT_FOLDER,
      stdio: ["ignore", "pipe", "ignore"],
    });
    const ended = new Promise((resolve) => bench.once("exit", resolve));
    const server = await new Promise<number>((resolve) => {
      bench.stdout.setEncoding("utf8").once("data", (text: string) => resolve(Number(text)));
    });
    expect(isAlive(server)).toBe(true);
    if (how.startsWith("SIG")) bench.kill(how as NodeJS.Signals);
    await ended;
    await expect.poll(() => isAlive(server), { timeout: 10_000 }).toBe(false);
  },
);

/** A process that has ended and waits for somebody to ask how is not. */
function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    return stat.slice(stat.lastIndexOf(")") + 2)[0] !== "Z";
  } catch {
    return false;
  }
}
