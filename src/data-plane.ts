/**
 * All that touches clients' sockets, in the one process that serves or in each worker.
 * @module
 */
import { type ShownCertificate, welcomeApp, type WelcomeParts } from "./admin/welcome.ts";
import type { Config } from "./config/config.ts";
import { edgeLimits } from "./config/limits.ts";
import { verifyClient } from "./control/certificates/client-auth.ts";
import type { App } from "./edge/handlers/app.ts";
import type { Log } from "./edge/log.ts";
import type { ControlAnswers } from "./edge/questions.ts";
import { RedirectServer } from "./edge/redirect.ts";
import { EdgeServer } from "./edge/server.ts";
import { SlowSigner } from "./edge/slow-signer.ts";
import { type HandledSites, SiteHandlers } from "./handlers.ts";
import type { Listener, Runtime } from "./runtime/runtime.ts";
import { SiteCredential } from "./snapshot/credential.ts";
import type { Snapshot } from "./snapshot/snapshot.ts";

export interface DataPlaneParts {
  readonly runtime: Runtime;
  readonly snapshot: Snapshot;
  /** Of what the snapshot was built from. */
  readonly config: Pick<Config, "limits"> & HandledSites;
  readonly root: () => string;
  readonly ech: WelcomeParts["ech"];
  /** By the names that handlers give; "welcome" is there anyway. */
  readonly apps?: Readonly<Record<string, App>> | undefined;
  readonly log: Log;
  readonly answers: ControlAnswers;
  /** As `SigningKeys.slowElsewhere` said when the snapshot was made. */
  readonly slowSignatures: Config["slowSignatures"];
}

export class DataPlane {
  readonly edge: EdgeServer;
  readonly #runtime: Runtime;
  readonly #handlers: SiteHandlers;
  readonly #signer: SlowSigner | undefined;
  readonly #redirect: RedirectServer;
  readonly #listeners = new Set<Listener>();
  #httpsPort = 0;

  private constructor(
    parts: DataPlaneParts,
    handlers: SiteHandlers,
    edge: EdgeServer,
    signer: SlowSigner | undefined,
  ) {
    this.#signer = signer;
    this.edge = edge;
    this.#runtime = parts.runtime;
    this.#handlers = handlers;
    this.#redirect = new RedirectServer({
      snapshot: () => edge.snapshot,
      httpsPort: () => this.#httpsPort,
      challenge: (token, host) => parts.answers.challenge({ kind: "http-01", token, host }),
    });
  }

  /** @throws {RangeError} there is no such app */
  static async prepare(parts: DataPlaneParts): Promise<DataPlane> {
    const { runtime, config, log, answers } = parts;
    const welcome = welcomeApp({
      get root() {
        return parts.root();
      },
      ech: parts.ech,
      certificate: shownBy(() => edge.snapshot),
    });
    const apps = { welcome: welcome.fetch, ...parts.apps };
    const handlers = new SiteHandlers({ runtime, config, apps, log });
    await handlers.prepare(config);
    handlers.keep(config);
    const limits = edgeLimits(config.limits);
    const signer = parts.slowSignatures === "inline" ? undefined : new SlowSigner({
      thread: new URL("./signer-thread.ts", import.meta.url),
      maxWaiting: limits.maxWaitingSignatures,
      log,
    });
    const edge = new EdgeServer({
      runtime,
      snapshot: parts.snapshot,
      handlers: (site) => handlers.of(site),
      passOn: () => handlers.passOn,
      limits,
      log,
      reusePort: runtime.reusesPorts,
      verifyClient: (chain, auth) => verifyClient(chain, auth, Date.now()),
      onDemand: (name, client) => answers.onDemand(name, client),
      ...(signer && { sign: (request) => signer.sign(request) }),
    });
    return new DataPlane(parts, handlers, edge, signer);
  }

  readonly listenHttps = async (hostname: string, port: number): Promise<Listener> => {
    const listener = await this.edge.listen(hostname, port);
    this.#httpsPort = listener.port;
    return this.#keep(listener);
  };

  readonly listenHttp = async (hostname: string, port: number): Promise<Listener> => {
    const reusePort = this.#runtime.reusesPorts;
    const { accept } = this.#redirect;
    return this.#keep(await this.#runtime.listen({ hostname, port, reusePort }, accept));
  };

  /** Before a snapshot is used that was built from this. @throws {RangeError} there is no such app */
  async prepareFor(config: HandledSites): Promise<void> {
    await this.#handlers.prepare(config);
  }

  /** What only earlier snapshots needed may go. */
  keepFor(config: HandledSites): void {
    this.#handlers.keep(config);
  }

  useSnapshot(snapshot: Snapshot): void {
    this.edge.useSnapshot(snapshot);
    this.#signer?.keep(snapshot);
  }

  /** Closes the listeners at once. `drained` resolves when connections have ended, or have had their time. */
  async close(): Promise<{ readonly drained: Promise<void> }> {
    await Promise.all([...this.#listeners].map((listener) => listener.stop()));
    const stopped = Promise.all([this.edge.stop(), this.#redirect.stop()]);
    return {
      drained: stopped.then(async () => {
        await this.#handlers.stop();
        await this.#signer?.stop();
      }),
    };
  }

  #keep(listener: Listener): Listener {
    const kept: Listener = {
      hostname: listener.hostname,
      port: listener.port,
      stop: () => {
        this.#listeners.delete(kept);
        return listener.stop();
      },
    };
    this.#listeners.add(kept);
    return kept;
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
