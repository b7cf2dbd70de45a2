/**
 * Who is connected from where, and how much of it is trouble: the limits per source.
 *
 * Bounded: a source is known while it has connections (which are bounded themselves), and after that only until its
 * failures are forgiven, at most `maxRememberedSources` of them.
 *
 * @module
 */
import type { EdgeLimits, RefusingLimit } from "./limits.ts";

/** An IPv4 address, or an IPv6 /64: what one customer of a provider has. */
export interface Source {
  readonly key: string;
  /** Limits per source do not hold for it. */
  readonly exempt: boolean;
  connections: number;
  pending: number;
  /** Failed handshakes, forgiven at a steady rate. */
  failures: number;
  forgivenAtMs: number;
}

export class Sources {
  readonly #limits: EdgeLimits;
  /** With connections. */
  readonly #active = new Map<string, Source>();
  /** Without, but with failures; the longest remembered first. */
  readonly #remembered = new Map<string, Source>();

  constructor(limits: EdgeLimits) {
    this.#limits = limits;
  }

  /** Sources that are kept in mind. */
  get size(): number {
    return this.#active.size + this.#remembered.size;
  }

  /** Enters a connection whose handshake is under way, or names the limit that forbids it. */
  admit(address: string, nowMs: number): Source | RefusingLimit {
    const key = sourceKey(address);
    const source = this.#active.get(key) ?? this.#remembered.get(key) ?? this.#create(key, nowMs);
    const refused = source.exempt ? undefined : this.#refusal(source, nowMs);
    if (refused !== undefined) return refused;
    if (source.connections++ === 0) {
      this.#remembered.delete(key);
      this.#active.set(key, source);
    }
    source.pending++;
    return source;
  }

  /** A handshake failed, and not by our fault. */
  failed(source: Source, nowMs: number): void {
    if (source.exempt) return;
    this.#forgive(source, nowMs);
    source.failures++;
  }

  /** The connection is gone. Its handshake was taken out of `pending` before. */
  leave(source: Source, nowMs: number): void {
    if (--source.connections > 0) return;
    this.#active.delete(source.key);
    this.#forgive(source, nowMs);
    if (source.failures === 0) return;
    this.#remembered.set(source.key, source);
    if (this.#remembered.size <= this.#limits.maxRememberedSources) return;
    for (const oldest of this.#remembered.keys()) {
      this.#remembered.delete(oldest);
      return;
    }
  }

  /** Forgets whom everything is forgiven. Now and then. */
  sweep(nowMs: number): void {
    for (const source of this.#remembered.values()) {
      this.#forgive(source, nowMs);
      if (source.failures === 0) this.#remembered.delete(source.key);
    }
  }

  #refusal(source: Source, nowMs: number): RefusingLimit | undefined {
    const limits = this.#limits;
    if (source.connections >= limits.maxConnectionsPerSource) return "maxConnectionsPerSource";
    if (source.pending >= limits.maxPendingHandshakesPerSource) {
      return "maxPendingHandshakesPerSource";
    }
    if (source.failures === 0) return undefined;
    this.#forgive(source, nowMs);
    return source.failures >= limits.failedHandshakesBurst
      ? "failedHandshakesPerSecond"
      : undefined;
  }

  #create(key: string, nowMs: number): Source {
    const exempt = !this.#limits.limitLoopback && isLoopback(key);
    return { key, exempt, connections: 0, pending: 0, failures: 0, forgivenAtMs: nowMs };
  }

  #forgive(source: Source, nowMs: number): void {
    const forgiven = (nowMs - source.forgivenAtMs) * this.#limits.failedHandshakesPerSecond / 1000;
    source.failures = Math.max(0, source.failures - forgiven);
    source.forgivenAtMs = nowMs;
  }
}

/** The address itself for IPv4, the first 64 bits for IPv6. */
export function sourceKey(address: string): string {
  if (!address.includes(":")) return address;
  const zone = address.indexOf("%");
  const [head = "", tail] = (zone < 0 ? address : address.slice(0, zone)).split("::");
  const groups = head === "" ? [] : head.split(":");
  if (groups.length >= 4) return `${groups.slice(0, 4).join(":")}::`;
  // Groups behind "::" reach into the first four only where "::" stands for few: count from the right.
  const behind = tail === undefined || tail === "" ? [] : tail.split(":");
  const width = behind.length + (behind.at(-1)?.includes(".") === true ? 1 : 0);
  while (groups.length < 8 - width) groups.push("0");
  const full = [...groups, ...behind];
  if (full.slice(0, 7).every((group) => group === "0") && full[7] === "1") return "::1";
  return `${full.slice(0, 4).join(":")}::`;
}

function isLoopback(key: string): boolean {
  return key === "::1" || key.startsWith("127.");
}
