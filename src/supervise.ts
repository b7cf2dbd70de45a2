/**
 * The control plane in a process of its own, which starts workers and hands them what to serve. It touches no client's
 * socket.
 * @module
 */
import { spawn } from "node:child_process";
import { availableParallelism } from "node:os";
import { join } from "node:path";

import type { Config } from "./config/config.ts";
import { edgeLimits, upstreamLimits } from "./config/limits.ts";
import { instancesFolder } from "./control/instance-lock.ts";
import { thisProcess } from "./control/process-identity.ts";
import type { TicketKeys } from "./tls/tickets.ts";
import { BindError } from "./edge/bind.ts";
import { Counters } from "./edge/counters.ts";
import { NO_ANSWERS, Questions } from "./edge/questions.ts";
import {
  cryptoOfProcess,
  hasPublicNameCertificate,
  messageOf,
  openControl,
  passCryptoOn,
  publishedEch,
} from "./open-control.ts";
import { placeOf, Ports } from "./ports.ts";
import { thisRuntime } from "./runtime/detect.ts";
import { assumeUser, UserError } from "./runtime/privileges.ts";
import type { Listener } from "./runtime/runtime.ts";
import { sameRuntime } from "./runtime/same-runtime.ts";
import type { UnixHttpServer } from "./runtime/unix-http.ts";
import {
  bindHttp,
  type CounterValues,
  type Running,
  serveHealth,
  type StartOptions,
  troubleOf,
} from "./start.ts";
import { Gate } from "./workers/gate.ts";
import { WorkerError } from "./workers/member.ts";
import type { WorkerState } from "./workers/messages.ts";
import { Pool } from "./workers/pool.ts";
import { StateFiles } from "./control/state-files.ts";

/** @throws as `start` */
export async function supervise(options: StartOptions): Promise<Running> {
  const { config, dataFolder, log, workers = 1 } = options;
  if (Object.keys(options.apps ?? {}).length > 0) {
    throw new RangeError(
      "Cannot serve an app of one's own from several processes: leave workers out",
    );
  }
  const runtime = await thisRuntime();
  if (!runtime.reusesPorts) {
    throw new RangeError(
      `Cannot serve from ${workers} processes: they cannot share a port here. That takes Linux, ` +
        "and with Deno the flag --unstable-net. Set workers = 1",
    );
  }
  const crypto = cryptoOfProcess(config);
  passCryptoOn(config);
  const line = sameRuntime(join(import.meta.dirname, "worker.ts"), []);
  const privileges = options.user === undefined ? undefined : assumeUser(options.user);
  privileges?.makeFolder(dataFolder);
  const instances = instancesFolder(dataFolder);
  await StateFiles.sweep(instances);
  const files = new StateFiles(dataFolder, StateFiles.folderIn(instances), crypto);
  const { control, warnings } = await openControl(options, crypto, files);
  let current = config;
  const stateOf = async (): Promise<WorkerState> => {
    await control.written();
    return {
      snapshot: await files.newest(),
      tickets: ticketsOf(control.snapshot.server.tickets),
      ech: current.ech,
      limits: current.limits,
      handlers: handlersOf(current),
    };
  };

  const ports = new Ports({
    runtime,
    dataFolder,
    takeover: options.takeover,
    privileges,
  });
  await control.written();
  const https = await ports.bindHttps(options.https, reserve);
  const { http, httpTrouble } = await bindHttp(ports, options.http, reserve);
  // Whoever is to bind a low port must be able to become root for it, the tenth time as well as the first.
  const isLow = [...https, ...http].some(({ port }) => port < FIRST_FREE_PORT);
  if (!isLow) privileges?.drop();

  const gate = await Gate.open(instances);
  const pool = new Pool({
    gate,
    spawn: () =>
      spawn(line.command, [...line.args, gate.path], { stdio: ["ignore", "ignore", "inherit"] }),
    start: {
      kind: "start",
      supervisor: await thisProcess(),
      dataFolder,
      https: https.map(({ hostname, port }) => ({ hostname, port })),
      http: http.map(({ hostname, port }) => ({ hostname, port })),
      options: { https: options.https.option, http: options.http?.option ?? "" },
      user: options.user,
      keyLog: options.keyLogPath,
      debug: log.debug !== false,
      names: log.names === true,
      slowSignatures: config.slowSignatures,
    },
    state: await stateOf(),
    answers: new Questions(options.answers ?? NO_ANSWERS),
    log,
    startsAtOnce: availableParallelism(),
    drainTimeoutMs: ({ limits }) => edgeLimits(limits).drainTimeoutMs,
  });
  let health: UnixHttpServer | Error | undefined;
  let isStopping = false;
  let isReloading = false;
  let retry: ReturnType<typeof setTimeout> | undefined;
  async function stop(): Promise<void> {
    isStopping = true;
    control.stop();
    clearTimeout(retry);
    const stopped = pool.stop();
    await ports.release();
    await stopped;
    if (!(health instanceof Error)) await health?.stop();
    await gate.close();
    await control.written();
    await files.stop();
  }

  /** What the control plane has now, to all. One after the other. */
  let pushing: Promise<void> = Promise.resolve();
  function push(): Promise<void> {
    const pushed = pushing.then(async () => {
      if (isStopping) return;
      const state = await stateOf();
      await pool.adopt(state);
      await files.keepOnly(new Set([state.snapshot, ...pool.snapshots]));
    });
    pushing = pushed.catch(() => {});
    return pushed;
  }
  function pushInBackground(): void {
    clearTimeout(retry);
    if (isReloading) return; // which ends with all that is new
    push().catch((error: unknown) => {
      log.event("error", "snapshot_failed", { err: messageOf(error) });
      if (isStopping || error instanceof WorkerError) return;
      retry = setTimeout(pushInBackground, RETRY_MS);
      retry.unref();
    });
  }

  /** All of it or nothing, and no push in between: workers get a snapshot and what else is of its configuration. */
  async function take(next: Config): Promise<readonly string[]> {
    isReloading = true;
    try {
      const warnings = await control.reload(next);
      current = next;
      return warnings;
    } finally {
      isReloading = false;
    }
  }

  /** The workers could not be told of another configuration, and serve by this one. */
  async function takeBack(config: Config): Promise<void> {
    await take(config).catch((error: unknown) => {
      log.event("error", "snapshot_failed", { err: messageOf(error) });
    });
    pushInBackground(); // which says it again until they can be told
  }

  let workersTrouble: BindError | undefined;
  try {
    const trouble = await pool.start(workers);
    workersTrouble = trouble && new BindError(trouble.code, trouble.message);
    await ports.claim(https);
    health = await serveHealth(dataFolder, https[0]!, {
      health: () => ({
        isListening: !isStopping && pool.serving.length > 0,
        hasSnapshot: true,
        hasPublicNameCertificate: hasPublicNameCertificate(current, control.snapshot),
        workers: { serving: pool.serving.length, wanted: pool.wanted },
      }),
      counters: () => pool.counters,
      reload: options.onReload,
    });
  } catch (error) {
    await stop();
    throw ofWorker(error);
  }
  control.keepFresh(pushInBackground);

  return {
    runtime,
    crypto,
    https: https.map(placeOf),
    http: workersTrouble === undefined ? http.map(placeOf) : [],
    httpTrouble: httpTrouble ?? workersTrouble,
    get root() {
      return join(dataFolder, control.rootKey);
    },
    get ech() {
      return publishedEch(current, control.ech);
    },
    health: health instanceof Error ? undefined : health.path,
    warnings: [...config.warnings, ...warnings, ...troubleOf(health)],
    get workers() {
      return pool.serving;
    },
    get counters() {
      return Object.assign(new Counters(), pool.counters) satisfies CounterValues;
    },
    async reload(next) {
      const before = current;
      const warnings: string[] = [];
      try {
        warnings.push(...await take(next));
      } catch (error) {
        pushInBackground(); // something else may have become new meanwhile
        throw error;
      }
      try {
        await push();
      } catch (error) {
        // Who has not taken it is replaced by one that has. Any other error leaves all of them with the old one.
        if (!(error instanceof WorkerError)) {
          await takeBack(before);
          throw error;
        }
        log.event("error", "snapshot_failed", { err: error.message });
        warnings.push(error.message);
      }
      if (limitsOf(next) !== limitsOf(before)) {
        // By now the configuration is served.
        await pool.replaceAll().catch((error: unknown) => {
          const what = `Old workers serve on, by the limits of before: ${messageOf(error)}`;
          log.event("warn", "warning", { what });
          warnings.push(what);
        });
      }
      return warnings;
    },
    keepWorkers: () => pool.keep(),
    stop,
    replaceWorkers: () => pool.replaceAll(),
    kill: () => pool.kill(),
  };
}

/** From here on no user's right is needed to bind. */
const FIRST_FREE_PORT = 1024;
const RETRY_MS = 60_000;

/** The port is free: workers bind it. */
function reserve(hostname: string, port: number): Promise<Listener> {
  return Promise.resolve({ hostname, port, stop: () => Promise.resolve() });
}

function ticketsOf(tickets: TicketKeys | undefined): WorkerState["tickets"] {
  const { keys = [], lifetimeSeconds = 0 } = tickets ?? {};
  return {
    lifetimeSeconds,
    keys: keys.map(({ name, key, createdMs }) => ({
      name: Buffer.from(name).toString("base64"),
      key: Buffer.from(key).toString("base64"),
      createdMs,
    })),
  };
}

/** Each once, and only those that something has to be prepared for. */
function handlersOf({ sites }: Config): WorkerState["handlers"] {
  const specs = new Map<string, WorkerState["handlers"][number]>();
  for (const { handler } of sites) {
    if (handler.kind === "app" || "upstreams" in handler) {
      specs.set(JSON.stringify(handler), handler);
    }
  }
  return [...specs.values()];
}

function limitsOf({ limits }: Config): string {
  return JSON.stringify([edgeLimits(limits), upstreamLimits(limits)]);
}

/** What a worker says of its start is for the operator as it stands, where it is for people. */
function ofWorker(error: unknown): unknown {
  if (!(error instanceof WorkerError)) return error;
  const message = error.message.replace(/^worker \d+: /, "");
  if (error.kind === "BindError") return new BindError(error.code, message);
  if (error.kind === "UserError") return new UserError(message);
  return new WorkerError(`Cannot start ${error.message}`);
}
