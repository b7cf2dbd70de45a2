/**
 * Child processes that are measured: pinned to a core, their CPU time and memory read from /proc.
 * @module
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import net from "node:net";
import { availableParallelism, homedir } from "node:os";
import { join } from "node:path";
import process from "node:process";

/** Servers have the first core, clients the second. */
export const SERVER_CORE = 0;
export const CLIENT_CORE = 1;
/** All but the server's: for a load that one core may not be enough for. */
export const CLIENT_CORES = availableParallelism() > 2
  ? `${CLIENT_CORE}-${availableParallelism() - 1}`
  : CLIENT_CORE;

let pinning: string | undefined | null = null;

/** Undefined: processes are pinned. Else a sentence that says why not. */
export function whyNotPinned(): string | undefined {
  if (pinning !== null) return pinning;
  try {
    execFileSync("taskset", ["-c", `${SERVER_CORE},${CLIENT_CORE}`, "true"], { stdio: "ignore" });
    pinning = undefined;
  } catch {
    pinning = "Not pinned: taskset is missing or there are not two cores, so figures scatter more.";
  }
  return pinning;
}

export interface Program {
  readonly child: ChildProcess;
  /** What it has written to standard error. */
  readonly errors: () => string;
}

/** Starts a program on one core, or on those of a list; its standard error is kept for the day it fails. */
export function start(core: number | string, command: readonly string[], cwd: string): Program {
  const [program, ...args] = whyNotPinned() === undefined
    ? ["taskset", "-c", String(core), ...command]
    : command;
  const child = spawn(program!, args, { cwd, stdio: ["pipe", "pipe", "pipe"] });
  let errors = "";
  child.stderr!.setEncoding("utf8").on("data", (text: string) => {
    errors = (errors + text).slice(-8192);
  });
  child.on("error", (error) => errors += String(error));
  children.add(child);
  child.once("exit", () => children.delete(child));
  return { child, errors: () => errors };
}

const children = new Set<ChildProcess>();

/** Whoever stops the bench, or whatever it dies of, stops what it has started. */
process.once("exit", () => {
  for (const child of children) child.kill("SIGKILL");
});
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.once(signal, () => process.exit(130));
}

/** Runs a program to its end. @throws {Error} with what it said, unless it ends well */
export async function run(
  core: number | string,
  command: readonly string[],
  cwd: string,
): Promise<string> {
  const { child, errors } = start(core, command, cwd);
  child.stdin!.end();
  let output = "";
  child.stdout!.setEncoding("utf8").on("data", (text: string) => output += text);
  const code = await new Promise<number | null>((resolve) => {
    child.once("close", resolve);
    child.once("error", () => resolve(null));
  });
  if (code !== 0) throw new Error(`${command.join(" ")}: ended with ${code}\n${errors()}`);
  return output;
}

/** The next line of a program's standard output that fits. @throws {Error} it ends before, or says nothing in time */
export function nextLine(program: Program, pattern: RegExp, timeoutMs: number): Promise<string> {
  const { child, errors } = program;
  const output = child.stdout!.setEncoding("utf8");
  return new Promise((resolve, reject) => {
    let text = "";
    const settle = (done: () => void): void => {
      clearTimeout(timer);
      output.off("data", take);
      child.off("exit", ended);
      done();
    };
    const take = (more: string): void => {
      const lines = (text + more).split("\n");
      text = lines.pop()!;
      const line = lines.find((line) => pattern.test(line));
      if (line !== undefined) settle(() => resolve(line));
    };
    const ended = (): void => settle(() => reject(new Error(`It ended: ${errors()}`)));
    const timer = setTimeout(
      () => settle(() => reject(new Error(`No word in ${timeoutMs} ms: ${errors()}`))),
      timeoutMs,
    );
    output.on("data", take);
    child.once("exit", ended);
  });
}

/** Somebody listens there. */
export function takesConnections(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

/** Ends it, and comes back when it is gone. */
export async function stop({ child }: Program): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await gone;
}

/**
 * CPU time of a process in ns, over all of its threads and those of the processes that it has started. The scheduler counts
 * in ns; where the kernel does not tell (no CONFIG_SCHED_INFO), in ticks of 10 ms, and of the process alone.
 */
export class CpuClock {
  readonly #pid: number;
  /** By thread: what a thread that has ended used stays counted. */
  readonly #threads = new Map<string, number>();

  constructor(pid: number) {
    this.#pid = pid;
  }

  read(): number {
    const pids = [String(this.#pid)];
    for (const pid of pids) pids.push(...this.#readThreads(pid));
    let total = 0;
    for (const used of this.#threads.values()) total += used;
    return total > 0 ? total : ticksOf(this.#pid);
  }

  /** The processes that its threads have started. */
  #readThreads(pid: string): string[] {
    const tasks = `/proc/${pid}/task`;
    const started: string[] = [];
    for (const thread of threadsOf(pid, this.#pid)) {
      try {
        const [used] = readFileSync(`${tasks}/${thread}/schedstat`, "latin1").split(" ");
        this.#threads.set(thread, Number(used));
        const text = readFileSync(`${tasks}/${thread}/children`, "latin1").trim();
        if (text !== "") started.push(...text.split(" "));
      } catch {
        // It has ended meanwhile, or the kernel does not tell.
      }
    }
    return started;
  }

  /** Reads once the process has come to rest: what it does behind the last connection belongs to the connections. */
  async readAtRest(): Promise<number> {
    let last = this.read();
    for (let i = 0; i < 50; i++) {
      await new Promise((resolve) => setTimeout(resolve, 5));
      const now = this.read();
      if (now - last < AT_REST_NS) return now;
      last = now;
    }
    return last;
  }
}

/** A process at rest wakes up for a timer now and then. */
const AT_REST_NS = 100_000;

/** @throws {Error} the server itself is gone; a process that it has started may be */
function threadsOf(pid: string, server: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch (error) {
    if (pid === String(server)) throw error;
    return [];
  }
}

function ticksOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const ticks = Number(fields[11]) + Number(fields[12]); // utime, stime: fields 14 and 15, counted from 1
  return ticks * (1e9 / Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "latin1" })));
}

/** Resident memory in bytes. */
export function residentBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "latin1");
  const kilobytes = /^VmRSS:\s+(\d+) kB/m.exec(status)?.[1];
  if (kilobytes === undefined) throw new Error(`Process ${pid} is gone`);
  return Number(kilobytes) * 1024;
}

/** Where programs are built: the user's cache. */
export function cacheFolder(): string {
  const folder = join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "sotto-bench");
  mkdirSync(folder, { recursive: true });
  return folder;
}
