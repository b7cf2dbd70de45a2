/**
 * What stands behind the sites: the handlers that their specs ask for, and what those share across snapshots.
 * @module
 */
import type { Config } from "./config/config.ts";
import { upstreamLimits } from "./config/limits.ts";
import { SYSTEM_CLOCK } from "./edge/deadlines.ts";
import { type App, AppHandler } from "./edge/handlers/app.ts";
import { ForwardHandler } from "./edge/handlers/forward.ts";
import type { Handler } from "./edge/handlers/handler.ts";
import { RedirectHandler } from "./edge/handlers/redirect.ts";
import { RespondHandler } from "./edge/handlers/respond.ts";
import type { Log } from "./edge/log.ts";
import type { PassOn } from "./edge/session-host.ts";
import { Upstreams } from "./edge/upstreams/upstreams.ts";
import type { Runtime } from "./runtime/runtime.ts";
import type { HandlerSpec, Site } from "./snapshot/snapshot.ts";

export interface SiteHandlersParts {
  readonly runtime: Runtime;
  readonly config: Pick<Config, "limits">;
  /** By the names that specs give. */
  readonly apps: Readonly<Record<string, App>>;
  readonly log: Log;
}

/** Of a configuration. */
export interface HandledSites {
  readonly sites: readonly { readonly handler: HandlerSpec }[];
}

export class SiteHandlers {
  readonly #parts: SiteHandlersParts;
  readonly #upstreams: Upstreams;
  /** One HTTP server for each app that some site has. */
  readonly #apps = new Map<string, AppHandler>();
  #passesOn = false;
  /** One for each spec, which very many sites may have. */
  readonly #made = new WeakMap<HandlerSpec, Handler>();

  constructor(parts: SiteHandlersParts) {
    this.#parts = parts;
    const { runtime, log, config } = parts;
    const limits = upstreamLimits(config.limits);
    this.#upstreams = new Upstreams({ runtime, log, clock: SYSTEM_CLOCK, limits });
  }

  /**
   * Starts what the sites of a configuration need and is not there yet. Before its snapshot is used.
   *
   * @throws {RangeError} there is no such app
   */
  async prepare({ sites }: HandledSites): Promise<void> {
    const { runtime, apps, log } = this.#parts;
    for (const { handler } of sites) {
      if (handler.kind === "passthrough") this.#passesOn = true;
      if (handler.kind !== "app" || this.#apps.has(handler.app)) continue;
      const app = apps[handler.app];
      if (app === undefined) throw new RangeError(`Cannot serve: no app is called ${handler.app}`);
      this.#apps.set(handler.app, await AppHandler.start(runtime, app, log));
    }
  }

  of({ handler: spec }: Pick<Site, "handler">): Handler {
    let handler = this.#made.get(spec);
    if (handler === undefined) this.#made.set(spec, handler = this.#make(spec));
    return handler;
  }

  #make(spec: HandlerSpec): Handler {
    switch (spec.kind) {
      case "respond":
        return new RespondHandler(spec.text);
      case "redirect":
        return new RedirectHandler(spec);
      case "app":
        return this.#apps.get(spec.app)!;
      case "forward":
      case "passthrough":
        return new ForwardHandler(spec, this.#upstreams);
    }
  }

  /** These are the sites from now on: of upstreams that none of them has nothing is kept. */
  keep({ sites }: HandledSites): void {
    const specs = sites.map(({ handler }) => handler);
    this.#passesOn = specs.some(({ kind }) => kind === "passthrough");
    this.#upstreams.keep(specs.filter((spec) => "upstreams" in spec));
  }

  /** For `EdgeServer`: undefined where no site is passed on. */
  get passOn(): PassOn | undefined {
    return this.#passesOn ? this.#passOn : undefined;
  }

  readonly #passOn: PassOn = (name, snapshot) => {
    const site = snapshot.findText(name);
    if (site?.handler.kind !== "passthrough") return undefined;
    const handler = this.of(site);
    return handler instanceof ForwardHandler ? handler : undefined;
  };

  async stop(): Promise<void> {
    this.#upstreams.stop();
    await Promise.all([...this.#apps.values()].map((app) => app.stop()));
  }
}
