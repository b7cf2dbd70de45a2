/** `edge.ts run` @module */
import { readFile, rm } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import process from "node:process";

import { type Config, MAX_WORKERS } from "../config/config.ts";
import type { BindWish } from "../edge/bind.ts";
import type { Log } from "../edge/log.ts";
import { type Running, start } from "../start.ts";
import { quoted } from "../trust/step.ts";
import type { RunArguments } from "./arguments.ts";
import { findDataFolder, warnOfContainer } from "./data-folder.ts";
import { configOfSite, findConfig } from "./find-config.ts";
import { installTrust } from "./install-trust.ts";
import { openKeyLog } from "./key-log.ts";
import { openLog } from "./log.ts";
import { clearReadyFile, writeReadyFile } from "./ready-file.ts";
import { Reloader } from "./reloader.ts";
import { programName, report } from "./report.ts";
import { withPlaces } from "./site-place.ts";
import { findStarter, onStopSignals } from "./stop-signals.ts";

/** Serves until it is told to stop. */
export async function run(args: RunArguments): Promise<void> {
  process.umask(0o077);
  // Deno's own `deno task` hands signals on, and Deno may not read every file or variable.
  const starter = "deno" in process.versions ? undefined : findStarter();
  const data = findDataFolder(args.data, process.env, process.cwd());
  const config = await configFor(args, data.path);
  // Whoever read what is said may be gone: that is no reason not to serve.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});
  const form = args.log ?? (process.stderr.isTTY ? "pretty" : "json");
  const write = (text: string) => void process.stderr.write(text);
  const log = openLog({ form, write, now: Date.now });
  log.adjust(config);
  if (args.readyFile !== undefined) await clearReadyFile(args.readyFile);

  // From now on: who finds this process by its data folder may send it at any time.
  const { promise: whenReloadable, resolve: setReloadable } = Promise.withResolvers<Reloader>();
  const reload = async () => await (await whenReloadable).reload();
  let serving: Running | undefined;
  const trustCommand = () =>
    `${programName(serving?.runtime.name ?? "node", process.argv[1])} trust --data ${
      quoted(data.path)
    }`;
  // It may ask for a password and take its time: nobody waits for it.
  const offerTrust = (command: string) => {
    if (process.stdout.isTTY && usesLocalCa(config)) {
      void installTrust({ data: data.path }, command, write);
    }
  };
  process.on("SIGHUP", () => void reload()); // while it starts, it may have read the configuration before it changed
  process.on("SIGUSR2", () => void (serving && replaceWorkers(serving, log)));
  const keyLog = args.keyLog === undefined ? undefined : openKeyLog(args.keyLog);
  const running = await withPlaces(config, () =>
    start({
      config,
      dataFolder: data.path,
      user: config.user,
      ...ports(args, config),
      log,
      takeover: args.takeover,
      workers: workersOf(args, config),
      onNewRoot: (root) => {
        const command = trustCommand();
        log.event("warn", "new_root", { root, what: aboutNewRoot(command) });
        offerTrust(command);
      },
      onReload: reload,
      ...(keyLog && { keyLog: keyLog.line, keyLogPath: resolve(args.keyLog!) }),
    }));
  if (keyLog) warnOfKeyLog(args.keyLog!, log);
  const warnings = [data.warning, warnOfContainer(data.path), ...running.warnings].filter((text) =>
    text !== undefined
  );
  for (const warning of warnings) log.event("warn", "warning", { what: warning });
  const program = programName(running.runtime.name, process.argv[1]);
  process.stdout.write(report(running, config, program, data.path));
  // Before the ready file: who waits for that may send a signal at once.
  const { promise: whenToStop, resolve: stopNow } = Promise.withResolvers<string | undefined>();
  const endAtOnce = () => {
    running.kill();
    process.exit(1);
  };
  onStopSignals({ first: stopNow, second: endAtOnce }, starter);
  running.keepWorkers();
  serving = running;
  const reloader = new Reloader({
    config,
    load: () => configFor(args, data.path),
    async reload(next) {
      const warnings = await withPlaces(next, () => running.reload(next));
      log.adjust(next);
      return warnings;
    },
    hasWorkers: running.workers !== undefined,
    needsRestart: (next, before) =>
      JSON.stringify(ports(args, next)) !== JSON.stringify(ports(args, before)),
    log,
  });
  if (args.readyFile !== undefined) {
    try {
      await announce(args.readyFile, running, config);
    } catch (error) {
      await running.stop(); // workers would serve on
      throw error;
    }
  }
  setReloadable(reloader);
  offerTrust(trustCommand());

  const why = await whenToStop;
  reloader.stop();
  log.event("info", "stopping", {
    live: running.counters.live,
    ...(why !== undefined && { why }),
  });
  // One that took over has put its own in the place.
  if (args.readyFile !== undefined && await isOurs(args.readyFile)) {
    await rm(args.readyFile).catch((error: Error) => {
      log.event("warn", "warning", { what: `the ready file stays: ${error.message}` });
    });
  }
  // Open connections may finish.
  await running.stop();
  keyLog?.close();
  process.exit(0);
}

async function configFor(args: RunArguments, dataFolder: string): Promise<Config> {
  return args.site === undefined
    ? await findConfig(args.config, dataFolder)
    : configOfSite(args.site);
}

/** Processes that serve; this one by itself where it is 1. */
function workersOf(args: RunArguments, config: Config): number {
  const wanted = args.workers ?? config.workers;
  return wanted === "auto" ? Math.min(availableParallelism(), MAX_WORKERS) : wanted;
}

/** SIGUSR2. What comes of it is in the log. */
async function replaceWorkers(running: Running, log: Log): Promise<void> {
  try {
    await running.replaceWorkers();
    if (running.workers !== undefined) {
      log.event("info", "workers_replaced", { workers: running.workers.length });
    }
  } catch (error) {
    const err = error instanceof Error ? error.message : String(error);
    log.event("error", "workers_not_replaced", { err });
  }
}

/** policy §3.1; without a configuration nobody but this machine is served (design §12). */
function ports(
  args: RunArguments,
  config: Config,
): { https: BindWish; http: BindWish | undefined } {
  const isDefault = config.file === undefined;
  const usual = isDefault ? ["127.0.0.1", "::1"] : ["::", "0.0.0.0"];
  const addresses = args.listen.length > 0 ? args.listen : config.listen ?? usual;
  const choose = (given: number | undefined, usual: number, otherwise: number) =>
    given !== undefined ? [given] : isDefault ? [usual, otherwise] : [usual];
  const https = choose(args.httpsPort ?? config.httpsPort, 443, 8443);
  const http = choose(args.httpPort ?? config.httpPort, 80, 8080);
  return {
    https: { addresses, ports: https, option: "https_port in sotto.toml or --https-port N" },
    http: config.redirects
      ? { addresses, ports: http, option: "http_port in sotto.toml or --http-port N" }
      : undefined,
  };
}

/** acme §12.4. */
function aboutNewRoot(command: string): string {
  return "the local CA issues under a new root from now on. Who trusts the one before accepts it as long as that one " +
    `is valid; have this machine trust the new one with: ${command}`;
}

/** acme §12.6. */
function usesLocalCa({ installTrust, sites }: Config): boolean {
  return installTrust &&
    sites.some((site) => site.certificates.length === 0 && site.handler.kind !== "passthrough");
}

/** policy §5: each hour, as long as it is on. */
function warnOfKeyLog(path: string, log: Log): void {
  const warn = () =>
    log.event("warn", "key_log", { what: `secrets of every connection are written to ${path}` });
  warn();
  setInterval(warn, 3600_000).unref();
}

async function announce(path: string, running: Running, config: Config): Promise<void> {
  await writeReadyFile(path, {
    pid: process.pid,
    workers: running.workers ?? null,
    runtime: running.runtime.name,
    https: running.https,
    http: running.http,
    root: running.root,
    health: running.health ?? null,
    ech: running.ech ?? null,
    sites: config.sites.map((site) => ({ names: site.names, handler: site.handler.kind })),
  });
}

async function isOurs(readyFile: string): Promise<boolean> {
  try {
    const { pid } = JSON.parse(await readFile(readyFile, "utf8")) as { pid: unknown };
    return pid === process.pid;
  } catch {
    return false; // gone, or somebody else's
  }
}
