/**
 * Every limit that a peer can run into, by name, with its default: what `[limits]` takes and `validate --limits` prints.
 * @module
 */
import { DEFAULT_EDGE_LIMITS, type EdgeLimits } from "../edge/limits.ts";
import { DEFAULT_UPSTREAM_LIMITS, type UpstreamLimits } from "../edge/upstreams/limits.ts";
import { DEFAULT_LIMITS, type Limits } from "../tls/limits.ts";

export type LimitValues = Readonly<Record<string, number | boolean>>;

export const LIMITS: LimitValues = {
  ...DEFAULT_LIMITS,
  ...DEFAULT_EDGE_LIMITS,
  ...DEFAULT_UPSTREAM_LIMITS,
};

/** All limits of the TLS core, with what the configuration changes. */
export function coreLimits(configured: LimitValues): Limits {
  return withOverrides(DEFAULT_LIMITS, configured);
}

/** All limits of the data plane around it. */
export function edgeLimits(configured: LimitValues): EdgeLimits {
  return withOverrides(DEFAULT_EDGE_LIMITS, configured);
}

/** All limits towards the servers behind it. */
export function upstreamLimits(configured: LimitValues): UpstreamLimits {
  return withOverrides(DEFAULT_UPSTREAM_LIMITS, configured);
}

function withOverrides<T extends object>(defaults: T, configured: LimitValues): T {
  const own = Object.entries(configured).filter(([name]) => Object.hasOwn(defaults, name));
  return { ...defaults, ...Object.fromEntries(own) };
}
