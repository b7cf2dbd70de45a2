/**
 * The servers that are compared: sotto and each runtime's own TLS server, with the same certificate and the same page.
 * @module
 */
import { Buffer } from "node:buffer";
import { existsSync } from "node:fs";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";

import { saveEchKey } from "../src/control/ech/ech-key-store.ts";
import { type EchKeyRecord, generateEchKey } from "../src/control/ech/ech-keys.ts";
import { openFileStorage } from "../src/control/storage/files.ts";
import { chooseCrypto } from "../src/crypto/choose.ts";
import { encodeEchConfigList } from "../src/tls/wire/ech-config.ts";
import { startOther } from "./peers/peers.ts";
import { nextLine, type Program, SERVER_CORE, start, stop } from "./processes.ts";
import { type BenchOptions, type RuntimeName, RUNTIMES } from "./options.ts";
import {
  type Extra,
  NAME,
  PAGE,
  PUBLIC_NAME,
  RSA_NAME,
  type Server,
  type Setup,
  type Subject,
} from "./setup.ts";

const ROOT_FOLDER = join(import.meta.dirname, "..");

export function ours(
  runtime: RuntimeName,
  { program }: Pick<BenchOptions, "program">,
  extra?: Extra,
): Subject {
  return {
    id: `ours-${runtime}`,
    runtime,
    kind: "ours",
    label: "sotto",
    program: program === undefined ? join(ROOT_FOLDER, "edge.ts") : resolve(program),
    ...(extra && { extra }),
  };
}

/** What ours is compared with: the runtime's own server, or another sotto. */
export function reference(
  runtime: RuntimeName,
  { against }: Pick<BenchOptions, "against">,
): Subject {
  if (against === undefined) return NATIVE[runtime];
  const program = resolve(against);
  return { id: `other-${runtime}`, runtime, kind: "ours", label: "other", program };
}

const NATIVE: Record<RuntimeName, Subject> = {
  bun: peer("bun", "listen", "Bun.listen"),
  deno: peer("deno", "serve", "Deno.serve"),
  node: peer("node", "https", "node:https"),
};

/** Bun's web server, which serves a body from memory faster than Bun.listen does. */
export const BUN_SERVE = peer("bun", "serve", "Bun.serve");

function peer(runtime: RuntimeName, kind: Subject["kind"], label: string): Subject {
  const program = join(import.meta.dirname, "peers", `${runtime}-native.ts`);
  return { id: `${runtime}-${kind}`, runtime, kind, label, program };
}

/** @throws {Error} it does not come up; with what it said */
export async function startServer(subject: Subject, setup: Setup): Promise<Server> {
  switch (subject.kind) {
    case "ours":
      return await startOurs(subject, setup);
    case "go":
    case "caddy":
    case "nginx":
    case "haproxy":
      return await startOther(subject, setup);
    case "listen":
    case "serve":
    case "https":
      return await startPeer(subject, setup);
  }
}

async function startPeer(subject: Subject, setup: Setup): Promise<Server> {
  const { cert, key, rsa } = setup;
  const page = subject.page ?? PAGE;
  const command = [...commandOf(subject), subject.kind, cert, key, page, rsa.cert, rsa.key];
  const program = start(SERVER_CORE, command, ROOT_FOLDER);
  const line = await nextLine(program, /^\{/, START_TIMEOUT_MS);
  const { pid, port, rsaPort } = JSON.parse(line) as Record<"pid" | "port" | "rsaPort", number>;
  return {
    subject,
    pid,
    addr: `127.0.0.1:${port}`,
    rsaAddr: `127.0.0.1:${rsaPort}`,
    root: setup.root,
    ech: undefined,
    collect: (givesBack) => collect(program, givesBack),
    stop: () => stop(program),
  };
}

async function startOurs(subject: Subject, setup: Setup): Promise<Server> {
  const base = join(setup.folder, subject.id);
  await writeFile(`${base}.toml`, configuration(setup, subject.extra));
  const files = ["--config", `${base}.toml`, "--data", `${base}-data`];
  const oldest = subject.echKeys && await makeEchKeys(subject.echKeys, `${base}-data`);
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
    rsaAddr: facts.https[0]!,
    root: roots,
    ech: oldest || facts.ech?.configList,
    collect: (givesBack) => collect(program, givesBack),
    stop: () => stop(program),
  };
}

const WHERE = "--listen 127.0.0.1 --https-port 0 --http-port 0 --log json".split(" ");

/** As people run it, but for what a load from one address and idling for minutes ask for. */
function configuration(setup: Setup, { limits = "", sites = "" }: Extra = {}): string {
  return `
[ech]
public_name = "${PUBLIC_NAME}"

[limits]
idleTimeoutMs = 600000
maxConnectionsPerSource = 100000
maxPendingHandshakesPerSource = 5000
maxPendingHandshakes = 5000
${limits}

[[site]]
names = ["${NAME}"]
certificate = ${JSON.stringify(setup.cert)}
key = ${JSON.stringify(setup.key)}
respond = "${PAGE}"

[[site]]
names = ["${RSA_NAME}"]
certificate = ${JSON.stringify(setup.rsa.cert)}
key = ${JSON.stringify(setup.rsa.key)}
respond = "${PAGE}"
${sites}
`;
}

/**
 * Keys as an operator has them who has often made a new one: the newest is handed out. The result is the list with the
 * oldest, as a client has it that has not asked for long.
 */
async function makeEchKeys(count: number, dataFolder: string): Promise<string> {
  const crypto = chooseCrypto();
  const storage = await openFileStorage(dataFolder);
  const knownIds = new Set<number>();
  let oldest: EchKeyRecord | undefined;
  for (let age = 0; age < count; age++) {
    const nowMs = Date.now() - age * 60_000;
    const wish = { publicName: PUBLIC_NAME, maximumNameLength: 16, knownIds, nowMs };
    oldest = { ...generateEchKey(crypto, wish), retry: age === 0 };
    knownIds.add(oldest.config[4]!); // behind version and length
    await saveEchKey(storage, oldest);
  }
  return Buffer.from(encodeEchConfigList([oldest!.config])).toString("base64");
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

async function collect(program: Program, givesBack: boolean = false): Promise<void> {
  const done = nextLine(program, /^collected$/, 30_000);
  program.child.kill(givesBack ? "SIGWINCH" : "SIGUSR2");
  await done;
}

/** The program with a collector before it that a signal starts (collector.ts). */
function commandOf({ runtime, program, kind, narrow }: Subject): string[] {
  const collector = join(import.meta.dirname, "collector.ts");
  const binary = runtimeBinary(runtime);
  switch (runtime) {
    case "bun":
      return [binary, "--preload", collector, program];
    case "deno": {
      const wide = kind === "ours" && narrow !== true;
      const flags = ["--expose-gc", ...(wide ? ["--experimental-wasm-wide-arithmetic"] : [])];
      return [
        binary,
        "run",
        "-A",
        `--v8-flags=${flags.join(",")}`,
        "--preload",
        collector,
        program,
      ];
    }
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
