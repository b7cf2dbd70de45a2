/**
 * The servers that are compared: sotto and each runtime's own TLS server, with the same certificate and the same page.
 * @module
 */
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { testCertificate, testRoot } from "../test/support/certificates.ts";
import { nextLine, type Program, SERVER_CORE, start, stop } from "./processes.ts";
import { type BenchOptions, type RuntimeName, RUNTIMES } from "./options.ts";

export const NAME = "bench.localhost";
export const PAGE = "the same page from everyone";
const PUBLIC_NAME = "cover.localhost";
const ROOT_FOLDER = join(import.meta.dirname, "..");

export interface Subject {
  /** `ours-bun`, `bun-listen`, … */
  readonly id: string;
  readonly runtime: RuntimeName;
  /** `ours`, or the argument that the runtime's peer program takes. */
  readonly kind: "ours" | "listen" | "serve" | "https";
  /** What people call it. */
  readonly label: string;
  /** Path of what is run. */
  readonly program: string;
}

export function ours(runtime: RuntimeName, { program }: BenchOptions): Subject {
  return {
    id: `ours-${runtime}`,
    runtime,
    kind: "ours",
    label: "sotto",
    program: program === undefined ? join(ROOT_FOLDER, "edge.ts") : resolve(program),
  };
}

/** What ours is compared with: the runtime's own server, or another sotto. */
export function reference(runtime: RuntimeName, { against }: BenchOptions): Subject {
  if (against === undefined) return NATIVE[runtime];
  const program = resolve(against);
  return { id: `other-${runtime}`, runtime, kind: "ours", label: "other", program };
}

const NATIVE: Record<RuntimeName, Subject> = {
  bun: peer("bun", "listen", "Bun.listen"),
  deno: peer("deno", "serve", "Deno.serve"),
  node: peer("node", "https", "node:https"),
};

function peer(runtime: RuntimeName, kind: Subject["kind"], label: string): Subject {
  const program = join(import.meta.dirname, "peers", `${runtime}-native.ts`);
  return { id: `${runtime}-${kind}`, runtime, kind, label, program };
}

/** What all servers are given; in a folder that goes when the bench ends. */
export interface Setup {
  readonly folder: string;
  readonly cert: string;
  readonly key: string;
  readonly root: string;
}

export async function makeSetup(): Promise<Setup> {
  const folder = await mkdtemp(join(tmpdir(), "sotto-bench-"));
  const certificate = await testCertificate({ kind: "p256", names: [NAME] });
  const root = await testRoot();
  const setup = {
    folder,
    cert: join(folder, "cert.pem"),
    key: join(folder, "key.pem"),
    root: join(folder, "root.pem"),
  };
  await writeFile(setup.cert, certificate.chainPem);
  await writeFile(setup.key, certificate.keyPem, { mode: 0o600 });
  await writeFile(setup.root, root.pem);
  return setup;
}

export async function removeSetup(setup: Setup): Promise<void> {
  await rm(setup.folder, { recursive: true, force: true });
}

export interface Server {
  readonly subject: Subject;
  readonly pid: number;
  /** `127.0.0.1:PORT` */
  readonly addr: string;
  /** PEM file with all roots that a client needs. */
  readonly root: string;
  /** Base64 of the ECHConfigList; undefined: it has no ECH. */
  readonly ech: string | undefined;
  /** A full collection now. */
  collect(): Promise<void>;
  stop(): Promise<void>;
}

/** @throws {Error} it does not come up; with what it said */
export async function startServer(subject: Subject, setup: Setup): Promise<Server> {
  return await (subject.kind === "ours" ? startOurs : startPeer)(subject, setup);
}

async function startPeer(subject: Subject, setup: Setup): Promise<Server> {
  const { kind } = subject;
  const command = [...commandOf(subject), kind, setup.cert, setup.key, PAGE];
  const program = start(SERVER_CORE, command, ROOT_FOLDER);
  const line = await nextLine(program, /^\{/, START_TIMEOUT_MS);
  const { pid, port } = JSON.parse(line) as { pid: number; port: number };
  return {
    subject,
    pid,
    addr: `127.0.0.1:${port}`,
    root: setup.root,
    ech: undefined,
    collect: () => collect(program),
    stop: () => stop(program),
  };
}

async function startOurs(subject: Subject, setup: Setup): Promise<Server> {
  const base = join(setup.folder, subject.id);
  await writeFile(`${base}.toml`, configuration(setup));
  const files = ["--config", `${base}.toml`, "--data", `${base}-data`];
  const ready = `${base}.json`;
  await rm(ready, { force: true }); // an earlier round's
  const command = [...commandOf(subject), ...files, "--ready-file", ready, ...WHERE];
  const program = start(SERVER_CORE, command, ROOT_FOLDER);
  const facts = await whenReady(ready, program);
  const roots = `${base}-roots.pem`;
  const both = await Promise.all([setup.root, facts.root].map((file) => readFile(file, "utf8")));
  await writeFile(roots, both.join("\n"));
  return {
    subject,
    pid: facts.pid,
    addr: facts.https[0]!,
    root: roots,
    ech: facts.ech?.configList,
    collect: () => collect(program),
    stop: () => stop(program),
  };
}

const WHERE = "--listen 127.0.0.1 --https-port 0 --http-port 0 --log json".split(" ");

/** As people run it, but for what a load from one address and idling for minutes ask for. */
function configuration(setup: Setup): string {
  return `
[ech]
public_name = "${PUBLIC_NAME}"

[limits]
idleTimeoutMs = 600000
maxConnectionsPerSource = 100000
maxPendingHandshakesPerSource = 1000

[[site]]
names = ["${NAME}"]
certificate = ${JSON.stringify(setup.cert)}
key = ${JSON.stringify(setup.key)}
respond = "${PAGE}"
`;
}

async function whenReady(path: string, program: Program): Promise<{
  readonly pid: number;
  readonly https: readonly string[];
  readonly root: string;
  readonly ech: { readonly configList: string } | null;
}> {
  const end = performance.now() + START_TIMEOUT_MS;
  while (!existsSync(path)) {
    if (program.child.exitCode !== null || performance.now() > end) {
      await stop(program);
      throw new Error(`sotto does not come up: ${program.errors()}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return JSON.parse(await readFile(path, "utf8"));
}

async function collect(program: Program): Promise<void> {
  const done = nextLine(program, /^collected$/, 30_000);
  program.child.kill("SIGUSR2");
  await done;
}

/** The program with a collector before it that a signal starts (collector.ts). */
function commandOf({ runtime, program }: Subject): string[] {
  const collector = join(import.meta.dirname, "collector.ts");
  const binary = runtimeBinary(runtime);
  switch (runtime) {
    case "bun":
      return [binary, "--preload", collector, program];
    case "deno":
      return [binary, "run", "-A", "--v8-flags=--expose-gc", "--preload", collector, program];
    case "node":
      return [binary, "--expose-gc", "--import", collector, program];
  }
}

export function runtimeBinary(runtime: RuntimeName): string {
  return join(ROOT_FOLDER, "node_modules", ".bin", runtime);
}

export function installedRuntimes(): RuntimeName[] {
  return RUNTIMES.filter((runtime) => existsSync(runtimeBinary(runtime)));
}

const START_TIMEOUT_MS = 20_000;
