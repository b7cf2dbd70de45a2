/**
 * Takes the configuration anew while sotto serves: on SIGHUP.
 * @module
 */
import type { Config } from "../config/config.ts";
import { edgeLimits, upstreamLimits } from "../config/limits.ts";
import type { Log } from "../edge/log.ts";

export interface ReloaderParts {
  /** The one that is served. */
  readonly config: Config;
  /** Reads and checks it anew. */
  readonly load: () => Promise<Config>;
  /** Rejects where it cannot be served; then nothing has changed. */
  readonly reload: (next: Config) => Promise<void>;
  /** Would it listen elsewhere? */
  readonly needsRestart: (next: Config, before: Config) => boolean;
  /** Workers serve: new ones that take their place take new limits. */
  readonly hasWorkers: boolean;
  readonly log: Log;
}

export class Reloader {
  readonly #parts: ReloaderParts;
  /** As it was at start: what takes a restart is compared with it. */
  readonly #first: Config;
  #running: Promise<void> = Promise.resolve();

  constructor(parts: ReloaderParts) {
    this.#parts = parts;
    this.#first = parts.config;
  }

  /** All of it or nothing; never rejects. One after the other, however many signals come. */
  reload(): Promise<void> {
    return this.#running = this.#running.then(() => this.#reload());
  }

  async #reload(): Promise<void> {
    const { load, reload, log } = this.#parts;
    try {
      const next = await load();
      await reload(next);
      for (const what of [...next.warnings, ...this.#restartsFor(next)]) {
        log.event("warn", "warning", { what });
      }
      log.event("info", "reloaded", { config: next.file, sites: next.sites.length });
    } catch (error) {
      const err = error instanceof Error ? error.message : String(error);
      log.event("error", "reload_failed", { err, what: "the old configuration goes on serving" });
    }
  }

  /** What the new configuration says and only a new process does, each a sentence. */
  #restartsFor(next: Config): string[] {
    const before = this.#first;
    const differ = (of: (config: Config) => unknown) =>
      JSON.stringify(of(next)) !== JSON.stringify(of(before));
    const what: string[] = [];
    if (this.#parts.needsRestart(next, before)) what.push("addresses and ports");
    if (next.user !== before.user) what.push("the user");
    if (differ(({ workers }) => workers)) what.push("the number of workers");
    if (
      !this.#parts.hasWorkers &&
      differ(({ limits }) => [edgeLimits(limits), upstreamLimits(limits)])
    ) {
      what.push("limits of connections");
    }
    if (differ(({ cryptoProvider }) => cryptoProvider)) what.push("the provider of crypto");
    if (differ(({ slowSignatures }) => slowSignatures)) what.push("where signatures are made");
    if (this.#parts.hasWorkers && differ(({ logNames, logLevel }) => [logNames, logLevel])) {
      what.push("what workers log");
    }
    return what.map((subject) =>
      `A new configuration changes ${subject}: that takes a restart, as they are they stay until then`
    );
  }
}
