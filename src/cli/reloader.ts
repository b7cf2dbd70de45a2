/**
 * Takes the configuration anew while sotto serves: on SIGHUP, and for whoever asks by the socket.
 * @module
 */
import type { Config } from "../config/config.ts";
import { edgeLimits, upstreamLimits } from "../config/limits.ts";
import type { ReloadOutcome } from "../control/reload-answer.ts";
import type { Log } from "../edge/log.ts";

export interface ReloaderParts {
  /** The one that is served. */
  readonly config: Config;
  /** Reads and checks it anew. */
  readonly load: () => Promise<Config>;
  /**
   * Resolves with what is to be said of what is served now, each a sentence; what is new of it is logged. Rejects where it
   * cannot be served; then nothing has changed.
   */
  readonly reload: (next: Config) => Promise<readonly string[]>;
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
  #last: Promise<unknown> = Promise.resolve();
  /** Not begun. */
  #next: Promise<ReloadOutcome> | undefined;
  #isStopped = false;

  constructor(parts: ReloaderParts) {
    this.#parts = parts;
    this.#first = parts.config;
  }

  /**
   * All of it or nothing; never rejects. One after the other: of those who ask while one is under way all wait for the
   * same next one, which reads what lies there when it begins.
   */
  reload(): Promise<ReloadOutcome> {
    if (this.#next !== undefined) return this.#next;
    const next = this.#last.then(() => {
      this.#next = undefined;
      return this.#reload();
    });
    return this.#last = this.#next = next;
  }

  /** No more: it is about to end. */
  stop(): void {
    this.#isStopped = true;
  }

  async #reload(): Promise<ReloadOutcome> {
    if (this.#isStopped) return { err: "it is about to end", isUnread: true };
    const { load, reload, log } = this.#parts;
    try {
      const next = await load();
      const known = await reload(next);
      const more = [...next.warnings, ...this.#restartsFor(next)];
      for (const what of more) log.event("warn", "warning", { what });
      const { file, sites } = next;
      log.event("info", "reloaded", { config: file, sites: sites.length });
      return { config: file ?? null, sites: sites.length, warnings: firstOf([...known, ...more]) };
    } catch (error) {
      const err = error instanceof Error ? error.message : String(error);
      log.event("error", "reload_failed", { err, what: "the old configuration goes on serving" });
      return { err };
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
    if (differ(({ cryptoProvider, openssl, ipsecMb }) => [cryptoProvider, openssl, ipsecMb])) {
      what.push("the provider of crypto");
    }
    if (differ(({ slowSignatures }) => slowSignatures)) what.push("where signatures are made");
    if (this.#parts.hasWorkers && differ(({ logNames, logLevel }) => [logNames, logLevel])) {
      what.push("what workers log");
    }
    return what.map((subject) =>
      `A new configuration changes ${subject}: that takes a restart, as they are they stay until then`
    );
  }
}

/** As many as somebody may read: each site may have some, and whoever asked takes no answer of any length. */
const MAX_WARNINGS = 100;

function firstOf(warnings: readonly string[]): string[] {
  const more = warnings.length - MAX_WARNINGS;
  const first = warnings.slice(0, MAX_WARNINGS);
  return more > 0 ? [...first, `and ${more} more, which its log has`] : first;
}
