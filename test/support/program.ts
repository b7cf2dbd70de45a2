/**
 * The real program as a child process, under the runtime that executes the test.
 * @module
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";

import type { Ready } from "../../src/cli/ready-file.ts";

export const EDGE = join(import.meta.dirname, "../../edge.ts");

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Program {
  readonly child: ChildProcess;
  readonly stdout: () => string;
  readonly stderr: () => string;
  readonly ended: Promise<Ended>;
}

export interface ProgramOptions {
  readonly cwd?: string;
  /** Default: edge.ts */
  readonly script?: string;
  /** What starts the runtime: words before the command. */
  readonly within?: readonly string[];
}

export function startProgram(
  args: readonly string[],
  { cwd, script = EDGE, within = [] }: ProgramOptions = {},
): Program {
  const before = "Deno" in globalThis ? ["run", "-A"] : [];
  const [command, ...rest] = [...within, process.execPath, ...before, script, ...args];
  const child = spawn(command!, rest, {
    ...(cwd !== undefined && { cwd }),
    env: { ...withoutNpm(process.env), SOTTO_DATA: "", NO_COLOR: "1" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let [stdout, stderr] = ["", ""];
  child.stdout!.on("data", (text: Buffer) => void (stdout += text.toString()));
  child.stderr!.on("data", (text: Buffer) => void (stderr += text.toString()));
  const ended = new Promise<Ended>((resolve) => {
    child.on("close", (code) => resolve({ code, stdout, stderr }));
  });
  return { child, stdout: () => stdout, stderr: () => stderr, ended };
}

/** It is none of npm's, whatever started the tests. */
function withoutNpm(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith("npm_")));
}

/** What the ready file says, as soon as it is there. Rejects where the program ends before. */
export async function whenReady(program: Program, file: string): Promise<Ready> {
  let end: Ended | undefined;
  void program.ended.then((ended) => end = ended);
  while (!existsSync(file)) {
    if (end !== undefined) throw new Error(`ended with ${end.code}: ${end.stderr}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return JSON.parse(await readFile(file, "utf8")) as Ready;
}

/** Rejects where curl fails. */
export function curl(...args: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile("curl", ["-sS", "--max-time", "10", ...args], (error, stdout, stderr) => {
      if (error) reject(new Error(`curl: ${stderr}`, { cause: error }));
      else resolve(stdout);
    });
  });
}
