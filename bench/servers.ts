/**
 * The servers that are compared: sotto and each runtime's own TLS server, with the same certificate and the same page.
 * @module
 */
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { testCertificate, testRoot } from "../test/support/certificates.ts";
import { nextLine, type Program, SERVER_CORE, start, stop } from "./processes.ts";
import { type RuntimeName, RUNTIMES } from "./options.ts";

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
}

export function ours(runtime: RuntimeName): Subject {
  return { id: `ours-${runtime}`, runtime, kind: "ours", label: "sotto" };
}

/** The runtime's own, that ours is compared with. */
export function native(runtime: RuntimeName): Subject {
  return NATIVE[runtime];
}

const NATIVE: Record<RuntimeName, Subject> = {
  bun: { id: "bun-listen", runtime: "bun", kind: "listen", label: "Bun.listen" },
  deno: { id: "deno-serve", runtime: "deno", kind: "serve", label: "Deno.serve" },
  node: { id: "node-https", runtime: "node", kind: "https", label: "node:https" },
};

/** What all servers are given; in a folder that goes when the bench ends. */
export interface Setup {
  readonly folder: string;
  readonly cert: string;
  readonly key: string;
  readonly root: string;
  readonly program: string;
}

export async function makeSetup(program: string | undefined): Promise<Setup> {
  const folder = await mkdtemp(join(tmpdir(), "sotto-bench-"));
  const certificate = await testCertificate({ kind: "p256", names: [NAME] });
  const root = await testRoot();
  const setup = {
    folder,
    cert: join(folder, "cert.pem"),
    key: join(folder, "key.pem"),
    root: join(folder, "root.pem"),
    program: program ?? join(ROOT_FOLDER, "edge.ts"),
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
  const { kind, runtime } = subject;
  return kind === "ours" ? await startOurs(subject, setup) : await startPeer(
    subject,
    start(
      SERVER_CORE,
      [
        ...commandOf(runtime),
        join(import.meta.dirname, "peers", `${runtime}-native.ts`),
        kind,
        setup.cert,
        setup.key,
        PAGE,
      ],
      ROOT_FOLDER,
    ),
    setup,
  );
}

async function startPeer(subject: Subject, program: Program, setup: Setup): Promise<Server> {
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
  const command = [...commandOf(subject.runtime), setup.program, ...files, ...WHERE].concat(
    ["--ready-file", `${base}.json`],
  );
  const program = start(SERVER_CORE, command, ROOT_FOLDER);
  const ready = await readyFile(`${base}.json`, program);
  const roots = `${base}-roots.pem`;
  const both = await Promise.all([setup.root, ready.root].map((file) => readFile(file, "utf8")));
  await writeFile(roots, both.join("\n"));
  return {
    subject,
    pid: ready.pid,
    addr: ready.https[0]!,
    root: roots,
    ech: ready.ech?.configList,
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

async function readyFile(path: string, program: Program): Promise<{
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

/** Up to the program's name; with a collector that a signal starts (collector.ts). */
function commandOf(runtime: RuntimeName): string[] {
  const collector = join(import.meta.dirname, "collector.ts");
  const binary = runtimeBinary(runtime);
  switch (runtime) {
    case "bun":
      return [binary, "--preload", collector];
    case "deno":
      return [binary, "run", "-A", "--v8-flags=--expose-gc", "--preload", collector];
    case "node":
      return [binary, "--expose-gc", "--import", collector];
  }
}

export function runtimeBinary(runtime: RuntimeName): string {
  return join(ROOT_FOLDER, "node_modules", ".bin", runtime);
}

export function installedRuntimes(): RuntimeName[] {
  return RUNTIMES.filter((runtime) => existsSync(runtimeBinary(runtime)));
}

const START_TIMEOUT_MS = 20_000;
