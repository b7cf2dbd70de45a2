/**
 * The program in a folder that is new for each test, and ended after it.
 * @module
 */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import process from "node:process";

import { afterEach, beforeEach } from "vitest";

import type { Ready } from "../../src/cli/ready-file.ts";
import {
  curl,
  type Program,
  type ProgramOptions,
  startProgram,
  whenReady,
} from "../support/program.ts";

/** Free ports of 127.0.0.1. */
export const LOOPBACK: readonly string[] = portsOf("0", "0");

export function portsOf(https: string, http: string): readonly string[] {
  return ["--listen", "127.0.0.1", "--https-port", https, "--http-port", http];
}

export interface ServeOptions extends ProgramOptions {
  /** The data folder, from the test's folder. Default: "data". */
  readonly data?: string;
  /** Default: LOOPBACK. */
  readonly ports?: readonly string[];
  /** Arguments before all others. */
  readonly first?: readonly string[];
}

export interface Serving extends Program {
  readonly ready: Ready;
  /** Its ready file. */
  readonly file: string;
  /** The first port of each kind; "" where there is none. */
  readonly https: string;
  readonly http: string;
  /** SIGTERM. Not by child.kill: on Deno that hides how the program ends. */
  readonly kill: () => void;
  /** SIGTERM, and how it ends. */
  readonly stop: () => Promise<number | null>;
  /** The page of a name, whose certificate has to lead to its root. */
  readonly get: (name: string, ...more: string[]) => Promise<string>;
}

export class CliKit {
  folder = "";
  readonly #programs: Program[] = [];

  /** To be made at the top of a file: what it sets up and takes down is each test's. */
  constructor(name: string) {
    beforeEach(async () => {
      this.folder = await mkdtemp(join(tmpdir(), `sotto-${name}-`));
    });
    afterEach(async () => {
      await this.end();
      await rm(this.folder, { recursive: true });
    });
  }

  program(args: readonly string[], options: ProgramOptions = {}): Program {
    const started = startProgram(args, { cwd: this.folder, ...options });
    this.#programs.push(started);
    return started;
  }

  /** Resolves once it serves. */
  async serve(
    args: readonly string[] = [],
    { data = "data", ports = LOOPBACK, first = [], ...options }: ServeOptions = {},
  ): Promise<Serving> {
    const file = join(this.folder, `ready-${this.#programs.length}.json`);
    const started = this.program(
      [...first, ...ports, "--data", resolve(this.folder, data), "--ready-file", file, ...args],
      options,
    );
    const ready = await whenReady(started, file);
    const https = portOf(ready.https);
    const kill = () => void process.kill(started.child.pid!, "SIGTERM");
    return {
      ...started,
      ready,
      file,
      https,
      http: portOf(ready.http),
      kill,
      async stop() {
        kill();
        return (await started.ended).code;
      },
      get: (name, ...more) => {
        const place = ["--resolve", `${name}:${https}:127.0.0.1`];
        return curl("--cacert", ready.root, ...place, ...more, `https://${name}:${https}/`);
      },
    };
  }

  /** Ends all that run, workers too: they would serve on. */
  async end(): Promise<void> {
    for (const { child, ended } of this.#programs.splice(0)) {
      const workers = await childrenOf(child.pid!);
      child.kill("SIGKILL");
      for (const pid of workers) killHard(pid);
      await ended;
    }
  }
}

/** Processes that it has started; none where the system does not say. */
export async function childrenOf(pid: number): Promise<number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, "latin1").catch(() => "");
  return text.split(" ").filter(Boolean).map(Number);
}

function killHard(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended.
  }
}

function portOf(places: readonly string[]): string {
  return places[0]?.split(":").at(-1) ?? "";
}
