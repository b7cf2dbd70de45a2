/**
 * Starts both planes: in one process, or the control plane here and the data plane in workers.
 * @module
 */
import { join } from "node:path";
import process from "node:process";

import { healthApp, type HealthParts } from "./admin/health.ts";
import type { Config } from "./config/config.ts";
import { instanceSocket } from "./control/instance-lock.ts";
import type { ReloadOutcome } from "./control/reload-answer.ts";
import { SnapshotFile } from "./control/snapshot-file.ts";
import type { Crypto } from "./crypto/crypto.ts";
import { warmUp } from "./crypto/warm-up.ts";
import { DataPlane } from "./data-plane.ts";
import { BindError, type BindWish, type Listen } from "./edge/bind.ts";
import type { Counters } from "./edge/counters.ts";
import type { App } from "./edge/handlers/app.ts";
import type { Log } from "./edge/log.ts";
import { type ControlAnswers, NO_ANSWERS, Questions } from "./edge/questions.ts";
import {
  cryptoOfProcess,
  hasPublicNameCertificate,
  openControl,
  publishedEch,
} from "./open-control.ts";
import { placeOf, Ports } from "./ports.ts";
import { thisRuntime } from "./runtime/detect.ts";
import { assumeUser } from "./runtime/privileges.ts";
import type { Listener, Runtime } from "./runtime/runtime.ts";
import { serveUnix, type UnixHttpServer } from "./runtime/unix-http.ts";
import { SigningKeys } from "./snapshot/signing-keys.ts";

/** Label → count, and tallies of those. */
export type CounterValues = Pick<Counters, CounterName>;
type CounterName = {
  [K in keyof Counters]: Counters[K] extends (...args: never[]) => unknown ? never : K;
}[keyof Counters];

export interface StartOptions {
  readonly config: Config;
  readonly dataFolder: string;
  readonly https: BindWish;
  /** Undefined: no redirect from HTTP. */
  readonly http: BindWish | undefined;
  /** Who to be once the ports are bound; undefined: whoever started it. */
  readonly user?: string | undefined;
  /** Follow the sotto that serves there from the same data folder, and end it. Default: no, nor can that be asked for. */
  readonly takeover?: boolean;
  /** By the names that handlers give; "welcome" is there anyway. */
  readonly apps?: Readonly<Record<string, App>>;
  readonly log: Log;
  /** The local CA has come to issue under another root while it serves: path of its certificate. */
  readonly onNewRoot?: (path: string) => void;
  /** It is asked to take its configuration anew, by its socket. Default: that cannot be asked for. */
  readonly onReload?: () => Promise<ReloadOutcome>;
  readonly keyLog?: (line: string) => void;
  /** Where that writes to: each worker opens the file for itself. */
  readonly keyLogPath?: string | undefined;
  /**
   * Processes that serve. Default: this one. With more this one holds the control plane, and `apps` must be empty: no
   * function gets from one process into another.
   */
  readonly workers?: number;
  /** What the control plane answers the data plane's questions. Default: no, as long as it obtains nothing from a CA. */
  readonly answers?: ControlAnswers;
}

export interface Running {
  readonly runtime: Runtime;
  readonly crypto: Crypto;
  /** `127.0.0.1:8443`, `[::1]:8443` */
  readonly https: readonly string[];
  readonly http: readonly string[];
  /** Why there is no HTTP although it was wished for (policy §1.7). */
  readonly httpTrouble: BindError | undefined;
  /** Path of the certificate of the local CA's root that issues now. */
  readonly root: string;
  /** Undefined: ECH is off. `configList` in base64. */
  readonly ech: { readonly publicName: string; readonly configList: string } | undefined;
  /** Path of the socket that answers for its health; undefined: there is none, and a warning. */
  readonly health: string | undefined;
  /** For the operator, each a sentence. */
  readonly warnings: readonly string[];
  /** Process ids of workers that serve; undefined: this process does. */
  readonly workers: readonly number[] | undefined;
  /** Of the process, or of all workers there were. */
  readonly counters: CounterValues;
  /**
   * Takes another configuration for connections from now on; with an error the old one stays. Ports, user and limits
   * of connections stay as they were at start; but workers are replaced where limits change.
   *
   * Resolves with what the operator should hear of what is served then, each a sentence; what is new of it is logged.
   *
   * @throws {StorageError | EchKeyError | X509Error | RangeError} whose message says what is wrong
   */
  reload(next: Config): Promise<readonly string[]>;
  /**
   * From now on workers serve on should this process die; before, they end with it. Not to be called before it hears of the
   * signals that are to end it, or one of them leaves workers behind. Nothing where there are none.
   */
  keepWorkers(): void;
  /** Takes no new connections, and resolves when the open ones have ended or run out of time. */
  stop(): Promise<void>;
  /** Puts new workers in the place of the old ones, one after the other. Nothing where there are none. */
  replaceWorkers(): Promise<void>;
  /** Ends workers at once; the process itself is whoever's who runs it. */
  kill(): void;
}

/**
 * Resolves once it serves.
 *
 * @throws {BindError | UserError | StorageError | EchKeyError | X509Error | WorkerError} whose message says what to do
 */
export async function start(options: StartOptions): Promise<Running> {
  if ((options.workers ?? 1) === 1) return await startHere(options);
  return await (await import("./supervise.ts")).supervise(options);
}

/** Both planes in this process. */
async function startHere(options: StartOptions): Promise<Running> {
  const { config, dataFolder } = options;
  const runtime = await thisRuntime();
  const crypto = cryptoOfProcess(config);
  SigningKeys.of(crypto).slowElsewhere = config.slowSignatures === "thread";
  const privileges = options.user === undefined ? undefined : assumeUser(options.user);
  privileges?.makeFolder(dataFolder);
  const file = new SnapshotFile(dataFolder, crypto);
  const { control, warnings } = await openControl(options, crypto, file);
  let current = config;
  const root = () => join(dataFolder, control.rootKey);
  const ech = () => publishedEch(current, control.ech);
  const plane = await DataPlane.prepare({
    runtime,
    snapshot: control.snapshot,
    config,
    root,
    ech,
    apps: options.apps,
    log: options.log,
    slowSignatures: config.slowSignatures,
    answers: new Questions(options.answers ?? NO_ANSWERS),
  });
  warmUp(crypto);
  const ports = new Ports({
    runtime,
    dataFolder,
    takeover: options.takeover,
    privileges,
  });
  // What is written while root binds would be root's.
  if (privileges !== undefined) await control.written();
  const https = await ports.bindHttps(options.https, plane.listenHttps).catch(
    async (error: unknown) => {
      await (await plane.close()).drained;
      await control.written();
      throw error;
    },
  );
  const { http, httpTrouble } = await bindHttp(ports, options.http, plane.listenHttp);
  let health: UnixHttpServer | Error | undefined;
  let isStopping = false;
  async function stop(): Promise<void> {
    isStopping = true;
    control.stop();
    const { drained } = await plane.close();
    await ports.release();
    await drained;
    if (!(health instanceof Error)) await health?.stop();
    await control.written();
  }
  try {
    privileges?.drop();
    await ports.claim(https);
    health = await serveHealth(dataFolder, https[0]!, {
      health: () => ({
        isListening: !isStopping,
        hasSnapshot: true, // there was one before there was a port
        hasPublicNameCertificate: hasPublicNameCertificate(current, control.snapshot),
      }),
      counters: () => plane.edge.counters,
      reload: options.onReload,
    });
  } catch (error) {
    await stop();
    throw error;
  }
  control.keepFresh((snapshot) => plane.useSnapshot(snapshot));

  return {
    runtime,
    crypto,
    https: https.map(placeOf),
    http: http.map(placeOf),
    httpTrouble,
    get root() {
      return root();
    },
    get ech() {
      return ech();
    },
    health: health instanceof Error ? undefined : health.path,
    warnings: [...config.warnings, ...warnings, ...troubleOf(health)],
    workers: undefined,
    get counters() {
      return plane.edge.counters;
    },
    async reload(next) {
      await plane.prepareFor(next);
      const warnings = await control.reload(next);
      plane.keepFor(next);
      current = next;
      return warnings;
    },
    keepWorkers() {},
    stop,
    replaceWorkers: () => Promise.resolve(),
    kill() {},
  };
}

/** policy §1.7: a missing HTTP port degrades, it does not stop. */
export async function bindHttp(
  ports: Ports,
  wish: BindWish | undefined,
  listen: Listen,
): Promise<{ readonly http: readonly Listener[]; readonly httpTrouble: BindError | undefined }> {
  if (wish === undefined) return { http: [], httpTrouble: undefined };
  try {
    return { http: await ports.bindHttp(wish, listen), httpTrouble: undefined };
  } catch (error) {
    if (!(error instanceof BindError)) throw error;
    return { http: [], httpTrouble: error };
  }
}

/** Never rejects: without it there is a warning. */
export async function serveHealth(
  dataFolder: string,
  https: Listener,
  parts: Omit<HealthParts, "pid" | "stop">,
): Promise<UnixHttpServer | Error> {
  const { pid } = process;
  const app = healthApp({ ...parts, pid, stop: () => void process.kill(pid, "SIGTERM") });
  const path = instanceSocket(dataFolder, placeOf(https));
  return await serveUnix(path, app.fetch).catch((error: Error) => error);
}

export function troubleOf(health: UnixHttpServer | Error): string[] {
  return health instanceof Error ? [`no /healthz and /readyz: ${health.message}`] : [];
}
