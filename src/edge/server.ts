/**
 * The data plane: listeners, the sessions they accept, and what those share.
 * @module
 */
import type { Listener, Runtime, Socket, SocketEvents } from "../runtime/runtime.ts";
import type { Site, Snapshot } from "../snapshot/snapshot.ts";
import type { ClientAuth } from "../tls/config.ts";
import type { ClientVerdict, SignatureRequest } from "../tls/output.ts";
import { Counters } from "./counters.ts";
import { type Clock, Deadlines, SYSTEM_CLOCK } from "./deadlines.ts";
import type { Handler } from "./handlers/handler.ts";
import { DEFAULT_EDGE_LIMITS, type EdgeLimits, type RefusingLimit } from "./limits.ts";
import type { Log } from "./log.ts";
import { LoopLag } from "./loop-lag.ts";
import type { PassOn, SessionHost } from "./session-host.ts";
import type { SessionEnds } from "./session-ends.ts";
import { Session } from "./session.ts";
import { Sources } from "./sources.ts";

export interface EdgeParts {
  readonly runtime: Runtime;
  readonly snapshot: Snapshot;
  /** Asked for each connection: one is kept for all that is answered alike. */
  readonly handlers: (site: Site) => Handler;
  readonly limits?: Partial<EdgeLimits>;
  readonly log: Log;
  /** Throw exceptions that ended a connection again, where nobody catches them. For tests. */
  readonly rethrow?: boolean;
  /** Several processes on one port. */
  readonly reusePort?: boolean;
  readonly clock?: Clock;
  /** Signs for credentials that cannot do it at once. Without it such a handshake fails. */
  readonly sign?: (request: SignatureRequest) => Promise<Uint8Array>;
  /** Judges client certificates for sites that verify them. Without it all are refused. */
  readonly verifyClient?: SessionHost["verifyClient"];
  /** Asked for names that nobody serves, where the snapshot has certificates on demand. Without it: no. */
  readonly onDemand?: (name: string, client: string) => Promise<boolean>;
  /** Asked once for each snapshot. Without an answer, or without this, every connection is ours to decrypt. */
  readonly passOn?: (snapshot: Snapshot) => PassOn | undefined;
}

export class EdgeServer implements SessionHost {
  readonly limits: EdgeLimits;
  readonly counters = new Counters();
  readonly log: Log;
  readonly clock: Clock;
  readonly deadlines: Deadlines;
  readonly rethrow: boolean;
  passOn: PassOn | undefined;
  readonly #parts: EdgeParts;
  readonly #sources: Sources;
  readonly #lag = new LoopLag({ tally: this.counters.loopLag });
  readonly #listeners = new Set<Listener>();
  /** Those that have said nothing yet, the oldest first. */
  readonly #silent = new Set<SessionEnds>();
  #snapshot: Snapshot;
  #stopping: { readonly untilMs: number; readonly done: PromiseWithResolvers<void> } | undefined;

  constructor(parts: EdgeParts) {
    this.#parts = parts;
    this.limits = { ...DEFAULT_EDGE_LIMITS, ...parts.limits };
    this.log = parts.log;
    this.clock = parts.clock ?? SYSTEM_CLOCK;
    this.deadlines = new Deadlines(this.clock);
    this.rethrow = parts.rethrow ?? false;
    this.#sources = new Sources(this.limits);
    this.#snapshot = parts.snapshot;
    this.passOn = parts.passOn?.(parts.snapshot);
  }

  /** @throws {Error} with `code` EADDRINUSE, EACCES or EADDRNOTAVAIL */
  async listen(hostname: string, port: number): Promise<Listener> {
    const { runtime, reusePort = false } = this.#parts;
    const listener = await runtime.listen(
      { hostname, port, reusePort },
      (socket) => this.accept(socket),
    );
    this.#listeners.add(listener);
    this.deadlines.start(() => this.#swept());
    this.#lag.start();
    return {
      hostname: listener.hostname,
      port: listener.port,
      stop: () => {
        this.#listeners.delete(listener);
        return listener.stop();
      },
    };
  }

  /** For connections from now on; running ones keep what they have. */
  useSnapshot(snapshot: Snapshot): void {
    this.#snapshot = snapshot;
    this.passOn = this.#parts.passOn?.(snapshot);
  }

  /** Stops accepting at once, ends connections as they fall quiet, and cuts the rest after `drainTimeoutMs`. */
  async stop(): Promise<void> {
    if (this.#stopping === undefined) {
      const untilMs = this.deadlines.refresh() + this.limits.drainTimeoutMs;
      this.#stopping = { untilMs, done: Promise.withResolvers<void>() };
      const listeners = [...this.#listeners];
      this.#listeners.clear();
      await Promise.all(listeners.map((listener) => listener.stop()));
      this.#swept();
    }
    await this.#stopping.done.promise;
  }

  /** Cuts every connection. For the second signal. */
  abort(): void {
    this.deadlines.forEach((session) => (session as Session).cutForStop());
  }

  get snapshot(): Snapshot {
    return this.#snapshot;
  }

  get liveConnections(): number {
    return this.counters.live;
  }

  /** A new connection: the callback of `Runtime.listen`. */
  accept(socket: Socket): SocketEvents {
    const nowMs = this.deadlines.refresh();
    const { counters, limits } = this;
    if (counters.live >= limits.maxConnections) return this.#refuse(socket, "maxConnections");
    if (counters.pending >= limits.maxPendingHandshakes && !this.#makeRoom()) {
      return this.#refuse(socket, "maxPendingHandshakes");
    }
    const source = this.#sources.admit(socket.remoteAddress, nowMs);
    if (typeof source === "string") return this.#refuse(socket, source);
    counters.accepted++;
    counters.live++;
    counters.pending++;
    const session = new Session(socket, source, this);
    this.deadlines.add(session);
    this.#silent.add(session);
    return session;
  }

  handlerOf(site: Site): Handler {
    return this.#parts.handlers(site);
  }

  sign(request: SignatureRequest): Promise<Uint8Array> {
    const { sign } = this.#parts;
    if (sign !== undefined) return sign(request);
    return Promise.reject(new TypeError("Cannot sign: no signer was given"));
  }

  verifyClient(
    chain: readonly Uint8Array[],
    auth: ClientAuth,
    site: Site,
  ): ClientVerdict | Promise<ClientVerdict> {
    return this.#parts.verifyClient?.(chain, auth, site) ?? { refuse: "unknown CA" };
  }

  askOnDemand(name: string, client: string): Promise<boolean> | undefined {
    return this.#snapshot.onDemand ? this.#parts.onDemand?.(name, client) : undefined;
  }

  helloCame(session: SessionEnds): void {
    this.#silent.delete(session);
  }

  handshakeOver(session: SessionEnds, peersFault: boolean): void {
    this.#silent.delete(session);
    this.counters.pending--;
    session.source.pending--;
    if (peersFault) this.#sources.failed(session.source, this.deadlines.nowMs);
  }

  gone(session: SessionEnds): void {
    this.counters.live--;
    this.deadlines.remove(session);
    this.#sources.leave(session.source, this.deadlines.nowMs);
    if (this.#stopping !== undefined && this.counters.live === 0) this.#swept();
  }

  #refuse(socket: Socket, limit: RefusingLimit): SocketEvents {
    this.counters.refuse(limit);
    if (this.log.debug !== false) {
      this.log.event("debug", "connection_refused", { limit, peer: socket.remoteAddress });
    }
    socket.terminate();
    return NO_EVENTS;
  }

  /**
   * Refusing the new one would let anybody who holds silent connections open shut everybody out. The oldest silent one
   * goes instead: a real client has spoken long before its turn comes.
   */
  #makeRoom(): boolean {
    for (const oldest of this.#silent) {
      oldest.evict();
      return true;
    }
    return false;
  }

  #swept(): void {
    this.#sources.sweep(this.deadlines.nowMs);
    const stopping = this.#stopping;
    if (stopping === undefined) return;
    const nowMs = this.deadlines.nowMs;
    const late = nowMs >= stopping.untilMs;
    this.deadlines.forEach((session) => {
      if (late) (session as Session).cutForStop();
      else (session as Session).retire(nowMs);
    });
    if (this.counters.live > 0) return;
    this.deadlines.stop();
    this.#lag.stop();
    stopping.done.resolve();
  }
}

const NO_EVENTS: SocketEvents = {
  data() {},
  drain() {},
  end() {},
  close() {},
};
