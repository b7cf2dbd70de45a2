/**
 * Starts both planes in one process. The place where implementations are named.
 * @module
 */
import { join } from "node:path";
import process from "node:process";

import { healthApp } from "./admin/health.ts";
import { type ShownCertificate, welcomeApp, type WelcomeParts } from "./admin/welcome.ts";
import type { Config } from "./config/config.ts";
import { edgeLimits } from "./config/limits.ts";
import { verifyClient } from "./control/certificates/client-auth.ts";
import { type ControlPlane, startControlPlane } from "./control/control-plane.ts";
import { publishedConfigList } from "./control/ech/ech-keys.ts";
import { instanceSocket } from "./control/instance-lock.ts";
import { SnapshotFile } from "./control/snapshot-file.ts";
import { openFileStorage } from "./control/storage/files.ts";
import { chooseCrypto, type ProviderName } from "./crypto/choose.ts";
import type { Crypto } from "./crypto/crypto.ts";
import { warmUp } from "./crypto/warm-up.ts";
import { BindError, type BindWish } from "./edge/bind.ts";
import type { App } from "./edge/handlers/app.ts";
import type { Log } from "./edge/log.ts";
import { RedirectServer } from "./edge/redirect.ts";
import { EdgeServer } from "./edge/server.ts";
import { SiteHandlers } from "./handlers.ts";
import { placeOf, Ports } from "./ports.ts";
import { thisRuntime } from "./runtime/detect.ts";
import { assumeUser } from "./runtime/privileges.ts";
import type { Listener, Runtime } from "./runtime/runtime.ts";
import { serveUnix, type UnixHttpServer } from "./runtime/unix-http.ts";
import { SiteCredential } from "./snapshot/credential.ts";
import type { Snapshot } from "./snapshot/snapshot.ts";

export interface StartOptions {
  readonly config: Config;
  readonly dataFolder: string;
  readonly https: BindWish;
  /** Undefined: no redirect from HTTP. */
  readonly http: BindWish | undefined;
  /** Who to be once the ports are bound; undefined: whoever started it. */
  readonly user?: string | undefined;
  /** Follow the sotto that serves there from the same data folder, and end it. */
  readonly takeover?: boolean;
  /** By the names that handlers give; "welcome" is there anyway. */
  readonly apps?: Readonly<Record<string, App>>;
  readonly log: Log;
  readonly keyLog?: (line: string) => void;
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
  readonly edge: EdgeServer;
  /**
   * Takes another configuration for connections from now on; with an error the old one stays. Ports, user and limits
   * of connections stay as they were at start.
   *
   * @throws {StorageError | EchKeyError | X509Error | RangeError} whose message says what is wrong
   */
  reload(next: Config): Promise<void>;
  /** Takes no new connections, and resolves when the open ones have ended or run out of time. */
  stop(): Promise<void>;
}

/**
 * Resolves once it serves.
 *
 * @throws {BindError | UserError | StorageError | EchKeyError | X509Error} whose message says what to do
 */
export async function start(options: StartOptions): Promise<Running> {
  const { config, log } = options;
  const runtime = await thisRuntime();
  const crypto = cryptoOf(process.env.SOTTO_CRYPTO);
  const privileges = options.user === undefined ? undefined : assumeUser(options.user);
  privileges?.makeFolder(options.dataFolder);
  let storageWarnings: readonly string[] = [];
  const control = await startControlPlane({
    config,
    async openStorage() {
      const storage = await openFileStorage(options.dataFolder);
      storageWarnings = storage.warnings;
      return storage;
    },
    file: new SnapshotFile(options.dataFolder, crypto),
    crypto,
    keyLog: options.keyLog,
    now: Date.now,
    onWarning: (what) => log.event("warn", "warning", { what }),
    onTrouble: (error) => log.event("error", "snapshot_failed", { err: messageOf(error) }),
  });
  const rootFile = () => join(options.dataFolder, control.rootKey);
  let current = config;
  const ech = () => echOf(current, control);
  const welcome = welcomeApp({
    get root() {
      return rootFile();
    },
    ech,
    certificate: shownBy(() => control.snapshot),
  });
  const handlers = new SiteHandlers({
    runtime,
    config,
    apps: { welcome: welcome.fetch, ...options.apps },
    log,
  });
  await handlers.prepare(config);
  handlers.keep(config);
  warmUp(crypto);

  const edge = new EdgeServer({
    runtime,
    snapshot: control.snapshot,
    handlers: (site) => handlers.of(site),
    passOn: () => handlers.passOn,
    limits: edgeLimits(config.limits),
    log,
    reusePort: runtime.reusesPorts,
    verifyClient: (chain, auth) => verifyClient(chain, auth, Date.now()),
  });
  const listen = (host: string, port: number) => edge.listen(host, port);
  const ports = new Ports({
    runtime,
    dataFolder: options.dataFolder,
    takeover: options.takeover ?? false,
    privileges,
  });
  // What is written while root binds would be root's.
  if (privileges !== undefined) await control.written();
  const httpsListeners = await ports.bindHttps(options.https, listen).catch(
    async (error: unknown) => {
      await handlers.stop();
      await control.written();
      throw error;
    },
  );
  const redirect = new RedirectServer({
    snapshot: () => control.snapshot,
    httpsPort: () => httpsListeners[0]!.port,
  });
  const { listeners: httpListeners, trouble } = await bindHttp(
    runtime,
    ports,
    redirect,
    options.http,
  );
  let health: UnixHttpServer | Error | undefined;
  let isStopping = false;
  async function stop(): Promise<void> {
    isStopping = true;
    control.stop();
    await Promise.all(httpListeners.map((listener) => listener.stop()));
    const stopped = Promise.all([edge.stop(), redirect.stop()]);
    await ports.release();
    await stopped;
    if (!(health instanceof Error)) await health?.stop();
    await handlers.stop();
    await control.written();
  }
  try {
    privileges?.drop();
    await ports.claim(httpsListeners);
    health = await serveUnix(
      instanceSocket(options.dataFolder, placeOf(httpsListeners[0]!)),
      healthApp({
        health: () => ({
          isListening: !isStopping,
          hasSnapshot: true, // there was one before there was a port
          hasPublicNameCertificate: hasPublicNameCertificate(current, control.snapshot),
        }),
        stop: () => void process.kill(process.pid, "SIGTERM"),
      }).fetch,
    ).catch((error: Error) => error);
  } catch (error) {
    await stop();
    throw error;
  }
  control.keepFresh((snapshot) => edge.useSnapshot(snapshot));

  return {
    runtime,
    crypto,
    https: httpsListeners.map(placeOf),
    http: httpListeners.map(placeOf),
    httpTrouble: trouble,
    get root() {
      return rootFile();
    },
    get ech() {
      return ech();
    },
    health: health instanceof Error ? undefined : health.path,
    warnings: [
      ...config.warnings,
      ...storageWarnings,
      ...control.warnings,
      ...(health instanceof Error ? [`no /healthz and /readyz: ${health.message}`] : []),
    ],
    edge,
    async reload(next) {
      await handlers.prepare(next);
      await control.reload(next);
      handlers.keep(next);
      current = next;
    },
    stop,
  };
}

function cryptoOf(forced: string | undefined): Crypto {
  if (forced === undefined || forced === "") return chooseCrypto();
  if (forced !== "native" && forced !== "noble") {
    throw new RangeError(`SOTTO_CRYPTO=${forced} is unknown, accepted: native, noble`);
  }
  return chooseCrypto({ force: forced satisfies ProviderName });
}

function echOf(config: Config, control: ControlPlane): Running["ech"] {
  const configList = control.ech && publishedConfigList(control.ech);
  return configList === undefined ? undefined : { publicName: config.ech.publicName, configList };
}

/** policy §1.7: a missing HTTP port degrades, it does not stop. */
async function bindHttp(
  runtime: Runtime,
  ports: Ports,
  redirect: RedirectServer,
  wish: BindWish | undefined,
): Promise<{ listeners: readonly Listener[]; trouble: BindError | undefined }> {
  if (wish === undefined) return { listeners: [], trouble: undefined };
  const listen = (hostname: string, port: number) =>
    runtime.listen({ hostname, port, reusePort: runtime.reusesPorts }, redirect.accept);
  try {
    return { listeners: await ports.bindHttp(wish, listen), trouble: undefined };
  } catch (error) {
    if (!(error instanceof BindError)) throw error;
    return { listeners: [], trouble: error };
  }
}

/** What the welcome page says of the certificate that was shown. */
function shownBy(snapshot: () => Snapshot): WelcomeParts["certificate"] {
  return (facts): ShownCertificate | undefined => {
    const site = facts.serverName === undefined
      ? snapshot().findWithoutName(facts.localAddress)
      : snapshot().findText(facts.serverName);
    const credential = site?.tls.credentials.find(({ schemes }) =>
      facts.signatureScheme === undefined || schemes.includes(facts.signatureScheme)
    );
    if (!(credential instanceof SiteCredential)) return undefined;
    return {
      subject: credential.names.join(", "),
      issuer: credential.origin === "operator" ? "a file of the operator's" : "sotto's local CA",
      notAfterMs: credential.notAfterMs,
    };
  };
}

/** Without one nobody learns of new ECH keys (policy §8.3). */
function hasPublicNameCertificate({ ech }: Config, snapshot: Snapshot): boolean {
  if (!ech.enabled) return true;
  const credentials = snapshot.findText(ech.publicName)?.tls.credentials ?? [];
  return credentials.some(({ notAfterMs }) => notAfterMs > Date.now());
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
