/**
 * The load: the Go program of test/interop/go, or sotto's own client (own-client.ts) in a process of its own.
 * @module
 */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";

import { cacheFolder, CLIENT_CORE, CLIENT_CORES, nextLine, run, start, stop } from "./processes.ts";
import { NAME, type Server } from "./setup.ts";

export type ClientName = "go" | "own";

/** What one run of `load` says; of the Go program what both have in common. */
export interface LoadResult {
  readonly count: number;
  readonly ok: number;
  readonly resumed: number;
  readonly echAccepted: number;
  readonly rejected: number;
  /** Of the rejected: with retry configs. The Go program alone. */
  readonly withRetry?: number;
  readonly failed: number;
  readonly errors: Readonly<Record<string, number>>;
  readonly seconds: number;
  /** Of the client. */
  readonly cpuSeconds: number;
  /** The own client alone. */
  readonly grease?: number;
  readonly retried?: number;
  readonly body?: string;
}

/** What one run of the Go program's `get` says. */
export interface GetResult {
  readonly error?: string;
  readonly rejected: boolean;
  readonly version?: string;
  readonly cipherSuite?: string;
  readonly group?: string;
  readonly echAccepted: boolean;
  readonly resumed: boolean;
  readonly body?: string;
}

export class Clients {
  /** Path of the Go program; undefined: there is none. */
  readonly go: string | undefined;

  constructor(go: string | undefined) {
    this.go = go;
  }

  async load(client: ClientName, server: Server, flags: readonly string[]): Promise<LoadResult> {
    return await this.run<LoadResult>(client, "load", server, flags);
  }

  /** One line per connection; the Go program alone. */
  async get(server: Server, flags: readonly string[]): Promise<GetResult[]> {
    return await this.lines<GetResult>("go", "get", server, flags);
  }

  /** Runs a subcommand to its end; the result is its last line. `flags` may name another address or name than the server's. */
  async run<T>(
    client: ClientName,
    subcommand: string,
    server: Server,
    flags: readonly string[],
  ): Promise<T> {
    return (await this.lines<T>(client, subcommand, server, flags)).at(-1)!;
  }

  async lines<T>(
    client: ClientName,
    subcommand: string,
    server: Server,
    flags: readonly string[],
  ): Promise<T[]> {
    const command = [...this.#commandOf(client), subcommand, ...common(server), ...flags];
    const output = await run(CLIENT_CORES, command, import.meta.dirname);
    return output.trim().split("\n").map((line) => JSON.parse(line) as T);
  }

  /** As `run`, and hands on each line as it comes. */
  async follow<T>(
    client: ClientName,
    subcommand: string,
    server: Server,
    flags: readonly string[],
    take: (line: T) => void,
  ): Promise<T> {
    const command = [...this.#commandOf(client), subcommand, ...common(server), ...flags];
    const { child, errors } = start(CLIENT_CORES, command, import.meta.dirname);
    const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
    let last: T | undefined;
    for await (const line of createInterface({ input: child.stdout! })) {
      last = JSON.parse(line) as T;
      take(last);
    }
    if (await ended !== 0 || last === undefined) throw new Error(`${subcommand}: ${errors()}`);
    return last;
  }

  /** Opens connections and keeps them until `release`. */
  async hold(
    client: ClientName,
    server: Server,
    count: number,
  ): Promise<{ release(): Promise<void> }> {
    const program = start(
      CLIENT_CORE,
      [
        ...this.#commandOf(client),
        "hold",
        ...common(server),
        ...HELD,
        "-n",
        String(count),
      ],
      import.meta.dirname,
    );
    await nextLine(program, /"open"/, 120_000);
    return { release: () => stop(program) };
  }

  #commandOf(client: ClientName): string[] {
    if (client === "go") return [this.go!];
    return [process.execPath, ...runArguments(), join(import.meta.dirname, "own-client.ts")];
  }
}

const HELD = ["-groups", "X25519", "-seconds", "600"];

/** All that clients offer, unless they are told otherwise: what servers prefer differs. */
export const SUITE = "TLS_AES_128_GCM_SHA256";

function common(server: Server): string[] {
  return ["-addr", server.addr, "-name", NAME, "-root", server.root, "-suite", SUITE];
}

/** The own client runs on the runtime that runs the bench. */
function runArguments(): string[] {
  return "Deno" in globalThis ? ["run", "-A"] : [];
}

/** Builds the Go program into the user's cache folder. Undefined: Go is not installed. @throws {Error} it does not compile */
export function buildGoClient(): string | undefined {
  try {
    execFileSync("go", ["version"], { stdio: "ignore" });
  } catch {
    return undefined;
  }
  const program = join(cacheFolder(), "interop");
  execFileSync("go", ["build", "-o", program, "."], {
    cwd: join(import.meta.dirname, "../test/interop/go"),
    stdio: ["ignore", "ignore", "inherit"],
  });
  return program;
}
