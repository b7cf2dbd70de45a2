/**
 * All servers behind us. They outlive snapshots: a reload forgets neither who is out nor who has how many connections.
 * @module
 */
import type { ConnectAttempt, Runtime, Socket, SocketEvents } from "../../runtime/runtime.ts";
import type { UpstreamAddress } from "../../snapshot/forward-spec.ts";
import type { Clock } from "../deadlines.ts";
import type { Log } from "../log.ts";
import { DEFAULT_UPSTREAM_LIMITS, type UpstreamLimits } from "./limits.ts";
import { Upstream, upstreamName } from "./upstream.ts";

export interface UpstreamsParts {
  readonly runtime: Pick<Runtime, "connect">;
  readonly clock: Clock;
  readonly log: Log;
  readonly limits?: Partial<UpstreamLimits>;
}

/** What a site needs of them. */
export interface UpstreamWish {
  readonly upstreams: readonly UpstreamAddress[];
  readonly checkEveryMs?: number;
}

export class Upstreams {
  readonly limits: UpstreamLimits;
  readonly clock: Clock;
  readonly log: Log;
  readonly #runtime: UpstreamsParts["runtime"];
  readonly #byName = new Map<string, Upstream>();
  readonly #checks = new Map<string, { readonly everyMs: number; readonly stop: () => void }>();
  #turn = 0;
  /** Whoever has asked `of` asks again when this has changed: some are forgotten since. */
  generation = 0;

  constructor({ runtime, clock, log, limits }: UpstreamsParts) {
    this.#runtime = runtime;
    this.clock = clock;
    this.log = log;
    this.limits = { ...DEFAULT_UPSTREAM_LIMITS, ...limits };
  }

  of(address: UpstreamAddress): Upstream {
    const name = upstreamName(address);
    let upstream = this.#byName.get(name);
    if (upstream === undefined) this.#byName.set(name, upstream = new Upstream(address));
    return upstream;
  }

  /** Where a handler begins: those of sites that are seldom visited are made again for nearly every connection. */
  nextTurn(): number {
    return this.#turn++;
  }

  /**
   * These are all there are from now on, and those that wish it are checked. Others are forgotten, at the first call when
   * they have no connection any more: should they come back before, they have what they had.
   */
  keep(wishes: readonly UpstreamWish[]): void {
    const everyMs = new Map<string, number>();
    for (const { upstreams, checkEveryMs = Infinity } of wishes) {
      for (const address of upstreams) {
        const name = this.of(address).name;
        everyMs.set(name, Math.min(everyMs.get(name) ?? Infinity, checkEveryMs));
      }
    }
    for (const [name, check] of this.#checks) {
      if (everyMs.get(name) !== check.everyMs) this.#stopCheck(name);
    }
    for (const [name, upstream] of this.#byName) {
      const ms = everyMs.get(name);
      if (ms === undefined) this.#forget(name, upstream);
      else if (ms !== Infinity && !this.#checks.has(name)) this.#startCheck(upstream, ms);
    }
  }

  /** No more checks. */
  stop(): void {
    for (const name of this.#checks.keys()) this.#stopCheck(name);
  }

  /** @throws {Error} with `code` */
  connect(upstream: Upstream, events: SocketEvents, attempt: ConnectAttempt): Promise<Socket> {
    return this.#runtime.connect(upstream.address, events, attempt);
  }

  /** `accepted`: there was a connection, and it ended without an answer. */
  failed(upstream: Upstream, error: unknown, accepted: boolean = false): void {
    const { name } = upstream;
    const err = codeOf(error);
    if (OUR_OWN.has(err)) {
      this.log.event("error", "cannot_connect", { upstream: name, err });
    } else if (upstream.failed(this.clock.monotonicMs(), this.limits, accepted)) {
      const { failures } = upstream;
      this.log.event("warn", "upstream_failed", { upstream: name, failures, err });
    }
  }

  /**
   * It ended a connection without an answer, with some of the client's bytes in hand. Of those of its site, `all`, these
   * never put out the last that is in.
   */
  brokeOff(upstream: Upstream, error: unknown, all: readonly Upstream[]): void {
    const nowMs = this.clock.monotonicMs();
    if (nowMs < upstream.answeredAtMs + this.limits.trustedForMs) return;
    if (all.length > 1 && all.every((other) => other === upstream || other.isOut(nowMs))) return;
    this.failed(upstream, error, true);
  }

  /** It has said something. */
  answered(upstream: Upstream): void {
    upstream.answeredAtMs = this.clock.monotonicMs();
    this.#worked(upstream);
  }

  #worked(upstream: Upstream): void {
    if (upstream.worked()) this.log.event("info", "upstream_is_back", { upstream: upstream.name });
  }

  #forget(name: string, upstream: Upstream): void {
    if (upstream.connections > 0) return;
    this.#byName.delete(name);
    this.generation++;
  }

  #startCheck(upstream: Upstream, everyMs: number): void {
    const stop = this.clock.every(everyMs, () => void this.#check(upstream));
    this.#checks.set(upstream.name, { everyMs, stop });
  }

  #stopCheck(name: string): void {
    this.#checks.get(name)?.stop();
    this.#checks.delete(name);
  }

  /** Is anybody there? Whoever accepts a connection is, unless that was not enough before. */
  async #check(upstream: Upstream): Promise<void> {
    if (upstream.checking) return;
    upstream.checking = true;
    const check = this.#checks.get(upstream.name);
    const isWanted = () => this.#checks.get(upstream.name) === check;
    try {
      const attempt = { timeoutMs: this.limits.checkTimeoutMs };
      const socket = await this.connect(upstream, NO_EVENTS, attempt);
      socket.close();
      if (isWanted() && !upstream.owesAnswer) this.#worked(upstream);
    } catch (error) {
      if (isWanted()) this.failed(upstream, error);
    } finally {
      upstream.checking = false;
    }
  }
}

/** What this process or machine has run out of says nothing of who is to be connected to. */
const OUR_OWN: ReadonlySet<string> = new Set([
  "EMFILE",
  "ENFILE",
  "ENOMEM",
  "ENOBUFS",
  "EADDRNOTAVAIL", // no local port is left
]);

/** Not all that a runtime throws has one: then what it says. */
function codeOf(error: unknown): string {
  const { code, message } = error as { code?: unknown; message?: unknown };
  return String(code ?? message);
}

const NO_EVENTS: SocketEvents = {
  data() {},
  drain() {},
  end() {},
  close() {},
};
