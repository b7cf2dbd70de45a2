/**
 * The program under test as a child process: `edge.ts`, or another script that takes the same options.
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import type { Ready } from "../../../src/cli/ready-file.ts";
import { words } from "./run.ts";

export type RuntimeName = Ready["runtime"];

/** The runtime that serves. */
export const SERVER: RuntimeName = readServer();

export const PROJECT = resolve(import.meta.dirname, "../../..");

const BIN = join(PROJECT, "node_modules/.bin");

/** With the collector within reach of the script. */
export const RUN: Record<RuntimeName, readonly string[]> = {
  bun: [join(BIN, "bun"), "run"],
  deno: [join(BIN, "deno"), "run", "-A", "--v8-flags=--expose-gc"],
  node: [join(BIN, "node"), "--expose-gc"],
};

export interface ServerOptions {
  /** Contents of the configuration; relative paths in it are relative to `folder`. */
  readonly toml: string;
  /** Holds configuration and data; default: a new one that goes with the server. */
  readonly folder?: string;
  /** Default: edge.ts */
  readonly script?: string;
  readonly args?: readonly string[];
  /** What starts the runtime: words before the command. */
  readonly within?: readonly string[];
  readonly readyWithinMs?: number;
}

export interface RunningServer {
  readonly ready: Ready;
  readonly folder: string;
  /** Of 127.0.0.1. */
  readonly port: number;
  readonly httpPort: number;
  readonly child: ChildProcess;
  /** What it logged, a JSON object a line; and what it said beside. */
  output(): string;
  /** The logged events of one name. */
  events(name: string): Record<string, unknown>[];
  stop(): Promise<void>;
}

/** None outlives the tests, however they end. */
const running = new Set<ChildProcess>();
process.once("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

/** @throws {Error} with all that the server said, where it does not become ready in time */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const ownsFolder = options.folder === undefined;
  const folder = options.folder ?? mkdtempSync(join(tmpdir(), "sotto-interop-"));
  const config = join(folder, "sotto.toml");
  const readyFile = join(folder, "ready.json");
  rmSync(readyFile, { force: true });
  writeFileSync(config, options.toml);

  const [command, ...before] = [...options.within ?? [], ...RUN[SERVER]];
  const args = words`${before} ${options.script ?? join(PROJECT, "edge.ts")}
    --config ${config} --data ${join(folder, "data")} --listen 127.0.0.1 --https-port 0
    --http-port 0 --ready-file ${readyFile} --log json ${options.args ?? []}`;
  const child = spawn(command!, args, {
    cwd: PROJECT,
    stdio: "pipe",
    env: { ...process.env, SOTTO_DATA: undefined },
  });
  running.add(child);
  let said = "";
  child.stdout.on("data", (chunk: Buffer) => said += chunk);
  child.stderr.on("data", (chunk: Buffer) => said += chunk);
  child.stdin.on("error", () => {});
  const ended = new Promise<void>((done) =>
    child.once("close", () => {
      running.delete(child);
      done();
    })
  );
  let failedToStart: Error | undefined;
  child.once("error", (error) => failedToStart = error);

  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill("SIGTERM");
      const late = setTimeout(() => child.kill("SIGKILL"), 3_000);
      await ended;
      clearTimeout(late);
    }
    if (ownsFolder) rmSync(folder, { recursive: true, force: true });
  };

  try {
    const ready = await untilReady(readyFile, options.readyWithinMs ?? 30_000, () => {
      if (failedToStart !== undefined) return failedToStart.message;
      return child.exitCode === null && child.signalCode === null ? undefined : "it ended";
    });
    return {
      ready,
      folder,
      port: portOf(ready.https),
      httpPort: portOf(ready.http),
      child,
      output: () => said,
      events: (name) => jsonLines(said).filter((line) => line["event"] === name),
      stop,
    };
  } catch (cause) {
    await stop();
    throw new Error(`${SERVER} does not serve: ${(cause as Error).message}\n${said}`, { cause });
  }
}

/** Polls for the ready file. */
async function untilReady(
  file: string,
  withinMs: number,
  gaveUp: () => string | undefined,
): Promise<Ready> {
  const deadline = Date.now() + withinMs;
  for (;;) {
    try {
      return JSON.parse(readFileSync(file, "utf8")) as Ready;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
    const reason = gaveUp() ?? (Date.now() > deadline ? `not within ${withinMs} ms` : undefined);
    if (reason !== undefined) throw new Error(reason);
    await delay(50);
  }
}

function portOf(addresses: readonly string[]): number {
  const address = addresses.find((each) => each.startsWith("127.0.0.1:"));
  if (address === undefined) throw new Error(`no 127.0.0.1 among ${addresses.join(", ")}`);
  return Number(address.slice("127.0.0.1:".length));
}

export function jsonLines(text: string): Record<string, unknown>[] {
  const lines: Record<string, unknown>[] = [];
  for (const line of text.split("\n")) {
    if (!line.startsWith("{")) continue;
    try {
      lines.push(JSON.parse(line) as Record<string, unknown>);
    } catch {
      // The last line may still be on its way.
    }
  }
  return lines;
}

function readServer(): RuntimeName {
  const name = process.env["SOTTO_SERVER"] ?? "bun";
  if (name === "bun" || name === "deno" || name === "node") return name;
  throw new Error(`SOTTO_SERVER=${name}; accepted: bun, deno, node`);
}
