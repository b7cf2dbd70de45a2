/**
 * Handlers by what the configuration says of a site.
 * @module
 */
import type { Runtime } from "../../runtime/runtime.ts";
import type { HandlerSpec, Site } from "../../snapshot/snapshot.ts";
import type { Log } from "../log.ts";
import { type App, AppHandler } from "./app.ts";
import type { Handler } from "./handler.ts";
import { RespondHandler } from "./respond.ts";

export class Handlers {
  readonly #apps: ReadonlyMap<string, AppHandler>;
  readonly #texts = new Map<string, RespondHandler>();

  /** Starts every app: those that no site names cost nothing but their place. */
  static async start(parts: {
    readonly runtime: Runtime;
    readonly apps: Readonly<Record<string, App>>;
    readonly log: Log;
  }): Promise<Handlers> {
    const apps = new Map<string, AppHandler>();
    for (const [name, app] of Object.entries(parts.apps)) {
      apps.set(name, await AppHandler.start(parts.runtime, app, parts.log));
    }
    return new Handlers(apps);
  }

  private constructor(apps: ReadonlyMap<string, AppHandler>) {
    this.#apps = apps;
  }

  /**
   * For `EdgeParts.handlers`.
   * @throws {RangeError} an app that was not given
   */
  readonly of = (site: Pick<Site, "handler">): Handler => this.#ofSpec(site.handler);

  /** Ends the apps' servers, and with them what is left of their connections. */
  async stop(): Promise<void> {
    await Promise.all([...this.#apps.values()].map((app) => app.stop()));
  }

  #ofSpec(spec: HandlerSpec): Handler {
    switch (spec.kind) {
      case "respond": {
        let handler = this.#texts.get(spec.text);
        if (handler === undefined) {
          this.#texts.set(spec.text, handler = new RespondHandler(spec.text));
        }
        return handler;
      }
      case "app": {
        const handler = this.#apps.get(spec.app);
        if (handler === undefined) {
          throw new RangeError(`Cannot serve app "${spec.app}": it was not given`);
        }
        return handler;
      }
    }
  }
}
