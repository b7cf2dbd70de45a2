/** What a start and a run make of what breaks around them: readers of the log, the ready file, signals that are early. */
import { mkdirSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";

import { describe, expect, test } from "vitest";

import type { Program } from "../support/program.ts";
import { childrenOf, CliKit, LOOPBACK, portsOf } from "./cli-kit.ts";

const cli = new CliKit("broken-ends");
const isLinux = process.platform === "linux";

async function site(text: string): Promise<void> {
  await writeFile(
    join(cli.folder, "sotto.toml"),
    `[[site]]\nnames = ["localhost"]\nrespond = "${text}"\n`,
  );
}

async function until(what: () => boolean | Promise<boolean>, withinMs = 15_000): Promise<void> {
  const deadline = Date.now() + withinMs;
  while (!await what()) {
    if (Date.now() > deadline) throw new Error(`in vain: ${String(what)}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

const status = (pid: number) => readFile(`/proc/${pid}/status`, "latin1").catch(() => "");

async function isAlive(pid: number): Promise<boolean> {
  return /^State:\s[^ZX]/m.test(await status(pid));
}

describe.runIf(isLinux).for([["1"], ["2"]])("with %s workers", ([workers]) => {
  const args = ["--log", "json", "--workers", workers!];

  test("it serves on when whoever read its log has gone", async () => {
    await site("first");
    const serving = await cli.serve(args);
    serving.child.stdout!.destroy();
    serving.child.stderr!.destroy();
    for (const text of ["second", "third"]) {
      await site(text);
      process.kill(serving.child.pid!, "SIGHUP"); // which is logged
      await until(async () => await serving.get("localhost") === text);
    }
    expect(await isAlive(serving.child.pid!)).toBe(true);
    const gone = new Promise((resolve) => void serving.child.once("exit", resolve));
    serving.kill();
    expect(await gone).toBe(0);
  });

  test("a ready file that cannot be written is the end, of workers as well", async () => {
    await site("served");
    const file = join(cli.folder, "ready.json");
    const started = cli.program([
      ...LOOPBACK,
      ...args,
      "--data",
      join(cli.folder, "data"),
      "--ready-file",
      file,
    ]);
    // Where it is about to be written to first.
    mkdirSync(`${file}.${started.child.pid}.tmp`);
    const children = new Set<number>();
    let isOver = false;
    void started.ended.then(() => isOver = true);
    while (!isOver) {
      for (const pid of await childrenOf(started.child.pid!)) children.add(pid);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    const { code, stderr } = await started.ended;
    expect(code).toBe(1);
    expect(stderr).toContain(`sotto: Cannot write the ready file ${file}: it is a folder. `);
    expect(stderr).not.toContain("    at ");
    expect(children.size).toBe(workers === "1" ? 0 : 2);
    for (const pid of children) await until(async () => !await isAlive(pid));
  });

  test("a ready file that has no folder is told of before another sotto is ended for it", async () => {
    await site("served");
    const first = await cli.serve(args);
    const file = join(cli.folder, "nowhere/ready.json");
    const { code, stderr } = await cli.program([
      ...portsOf(first.https, first.http),
      ...args,
      "--data",
      join(cli.folder, "data"),
      "--takeover",
      "--ready-file",
      file,
    ]).ended;
    expect(code).toBe(1);
    expect(stderr).toBe(
      `sotto: Cannot write the ready file ${file}: there is no such folder. ` +
        "Name another file with --ready-file\n",
    );
    expect(await first.get("localhost")).toBe("served");
    expect(await first.stop()).toBe(0);
  });

  test("a reload that is asked for while it starts is made once it serves", async () => {
    await site("first");
    const file = join(cli.folder, "ready.json");
    const started = cli.program(
      [...LOOPBACK, ...args, "--data", join(cli.folder, "data"), "--ready-file", file],
    );
    await until(() => catches(started, SIGHUP)); // it has read its configuration
    await site("second");
    process.kill(started.child.pid!, "SIGHUP");
    await until(() => started.stderr().includes('"event":"reloaded"'));
    process.kill(started.child.pid!, "SIGTERM");
    expect((await started.ended).code).toBe(0);
  });
});

describe.runIf(isLinux)("A supervisor that ends while it starts", { timeout: 120_000 }, () => {
  test.for(["SIGKILL", "SIGTERM"] as const)("by %s leaves no worker behind", async (signal) => {
    await site("served");
    const data = ["--data", join(cli.folder, "data"), "--workers", "2", "--log", "json"];
    for (const delayMs of [0, 150, 400]) {
      const started = cli.program([...LOOPBACK, ...data]);
      const pid = started.child.pid!;
      const seen = new Set<number>();
      await until(async () => {
        for (const child of await childrenOf(pid)) seen.add(child);
        return seen.size > 0;
      });
      // Before they connect, while they start, when they serve: whatever comes first on this machine.
      await new Promise((resolve) => setTimeout(resolve, delayMs));
      for (const child of await childrenOf(pid)) seen.add(child);
      process.kill(pid, signal);
      for (const child of seen) {
        // Where it was no start any more, they serve on, and say so.
        const isOrphan = () => signal === "SIGKILL" && started.stderr().includes("orphaned");
        // On Deno some notice by a limit of 20 s alone.
        await until(async () => isOrphan() || !await isAlive(child), 30_000);
        if (await isAlive(child)) process.kill(child, "SIGTERM");
        await until(async () => !await isAlive(child));
      }
      await started.ended;
    }
    const served = await cli.serve(data);
    expect(await served.get("localhost")).toBe("served");
    expect(await served.stop()).toBe(0);
  });
});

describe.runIf(isLinux)(
  "Where a supervisor dies once all workers serve",
  { timeout: 60_000 },
  () => {
    const script = join(import.meta.dirname, "fixtures/supervisor-that-dies.ts");
    const workersOf = ({ stdout }: Program) => JSON.parse(stdout()) as number[];
    const dies = async (...more: string[]) => {
      await site("served");
      const started = cli.program([cli.folder, ...more], { script });
      await until(() => started.stdout().endsWith("\n"));
      return started;
    };

    test("before it hears of signals, which could be what ends it, they end too", async () => {
      const started = await dies();
      expect(workersOf(started)).toHaveLength(2);
      // On Deno some notice by a limit of 20 s alone.
      for (const pid of workersOf(started)) await until(async () => !await isAlive(pid), 30_000);
      expect((await started.ended).stderr).not.toContain("orphaned");
    });

    test("later, they serve on", async () => {
      const started = await dies("keep");
      await until(() => started.stderr().split('"event":"orphaned"').length === 3);
      for (const pid of workersOf(started)) {
        expect(await isAlive(pid)).toBe(true);
        process.kill(pid, "SIGTERM");
      }
      await started.ended;
    });
  },
);

const SIGHUP = 1;

async function catches({ child }: Program, signal: number): Promise<boolean> {
  const mask = /^SigCgt:\s*(\w+)$/m.exec(await status(child.pid!))?.[1] ?? "0";
  return (BigInt(`0x${mask}`) >> BigInt(signal - 1) & 1n) === 1n;
}
