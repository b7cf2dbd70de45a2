/**
 * One server behind us: how many connections it has, and whether it is worth another.
 * @module
 */
import type { UpstreamAddress } from "../../snapshot/forward-spec.ts";
import type { UpstreamLimits } from "./limits.ts";

export class Upstream {
  readonly address: UpstreamAddress;
  /** Its address in text, for logs and to know it again. */
  readonly name: string;
  /** Open ones and those that are being opened. */
  connections = 0;
  /** In a row. */
  failures = 0;
  /** Passed over until then, on the clock that only goes forward. */
  outUntilMs = -Infinity;
  /** When it last answered somebody: the first that it said behind something of a client's. */
  answeredAtMs = -Infinity;
  /** The last time it failed it had accepted the connection: accepting another one proves nothing. */
  owesAnswer = false;
  /** A check is under way. */
  checking = false;

  constructor(address: UpstreamAddress) {
    this.address = address;
    this.name = upstreamName(address);
  }

  isOut(nowMs: number): boolean {
    return nowMs < this.outUntilMs;
  }

  /** It could not be connected to, or `accepted` and ended before it said anything. True: it was in until now. */
  failed(nowMs: number, limits: UpstreamLimits, accepted: boolean = false): boolean {
    this.owesAnswer = accepted;
    const wasIn = !this.isOut(nowMs);
    const outMs = limits.firstOutMs * 2 ** Math.min(this.failures, 30);
    // Connections that fail together are one failure.
    if (wasIn) {
      this.failures++;
      this.outUntilMs = nowMs + Math.min(outMs, limits.maxOutMs);
    }
    return wasIn;
  }

  /** True: it had failed before. */
  worked(): boolean {
    if (this.failures === 0) return false;
    this.failures = 0;
    this.outUntilMs = -Infinity;
    return true;
  }
}

/** `127.0.0.1:80`, `[::1]:80`, `unix:/run/app.sock` */
export function upstreamName(address: UpstreamAddress): string {
  if ("path" in address) return `unix:${address.path}`;
  const { hostname, port } = address;
  return hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;
}

/**
 * Of those that were not tried yet: the one with the fewest connections that is not out; if all are out, the one that
 * would be back first, for a wrong guess costs no more than a refusal. Equals take turns.
 */
export function chooseUpstream(
  upstreams: readonly Upstream[],
  tried: readonly Upstream[],
  nowMs: number,
  turn: number,
): Upstream | undefined {
  let best: Upstream | undefined;
  for (let i = 0; i < upstreams.length; i++) {
    const candidate = upstreams[(i + turn) % upstreams.length]!;
    if (tried.includes(candidate)) continue;
    if (best === undefined || isBetter(candidate, best, nowMs)) best = candidate;
  }
  return best;
}

function isBetter(a: Upstream, b: Upstream, nowMs: number): boolean {
  const [aOut, bOut] = [a.isOut(nowMs), b.isOut(nowMs)];
  if (aOut !== bOut) return bOut;
  return aOut ? a.outUntilMs < b.outUntilMs : a.connections < b.connections;
}
