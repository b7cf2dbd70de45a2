/**
 * What tells one [[site]] from another, and one configuration from another: what did not change is not built again.
 * @module
 */
import { createHash } from "node:crypto";

import { type Config, DEFAULT_SITE, type SiteOptions } from "../config/config.ts";
import type { HashKey } from "../snapshot/name-hash.ts";

/** The options of one [[site]], or of the ECH public name. */
export interface WantedSite extends SiteOptions {
  /** Default: false. */
  readonly publicNameOnly?: boolean;
}

/** policy §6.9: the public name has a certificate, but no site; unless it is one as well. */
export function* wantedSites(
  { sites, ech: { enabled, publicName } }: Config,
): Generator<WantedSite> {
  let isSite = false;
  for (const site of sites) {
    if (site.names.includes(publicName)) isSite = true;
    yield site;
  }
  if (!enabled || isSite) return;
  const handler = { kind: "respond", text: "" } as const;
  yield { ...DEFAULT_SITE, names: [publicName], handler, publicNameOnly: true };
}

/**
 * 53 bits of all that it says, and a name of it is compared besides. Whoever chooses some of what it says (a customer
 * its names) does not know the seed, so cannot have another one pass for what was there before. A hundred thousand of
 * them leave no garbage behind.
 *
 * @param seed `SiteSlots.keySeed`
 */
export function keyOf(wanted: WantedSite, seed: HashKey): number {
  [low, high] = seed;
  mixValue(wanted);
  const a = Math.imul(low ^ (low >>> 16), 0xc2b2_ae35);
  const b = Math.imul(high ^ (high >>> 16) ^ a, 0x27d4_eb2f);
  return ((b ^ (b >>> 15)) & 0x1f_ffff) * 0x1_0000_0000 + ((a ^ (a >>> 16)) >>> 0);
}

/** Of what a snapshot depends on, in turns. */
export function* hashingConfig(config: Config): Generator<void, string> {
  if (config.textHash !== undefined) return config.textHash;
  const { file: _file, warnings: _warnings, sites, ...rest } = config;
  const hash = createHash("sha256").update(JSON.stringify(rest));
  for (const [i, site] of sites.entries()) {
    hash.update(JSON.stringify(site));
    if (i % SITES_A_STEP === 0) yield;
  }
  return hash.digest("hex");
}

/** Of the value that is being mixed: `keyOf` is done before anybody else gets a turn. */
let low = 0;
let high = 0;

/** As JSON sees it: what is undefined is missing. */
function mixValue(value: unknown): void {
  if (typeof value === "string") {
    mix(value.length + 3);
    for (let i = 0; i < value.length; i++) mix(value.charCodeAt(i));
  } else if (typeof value === "number") {
    mix(value | 0);
    mix(Math.floor(value / 0x1_0000_0000));
  } else if (typeof value === "object" && value !== null) {
    mix(Array.isArray(value) ? -1 : -2);
    for (const key in value) {
      const inner = (value as Record<string, unknown>)[key];
      if (inner === undefined) continue;
      mixValue(key);
      mixValue(inner);
    }
    mix(-3);
  } else {
    mix(value === true ? -4 : value === false ? -5 : -6);
  }
}

function mix(unit: number): void {
  low = Math.imul(low ^ unit, 0xcc9e_2d51);
  low ^= low >>> 15;
  high = Math.imul(high ^ unit, 0x1b87_3593);
  high ^= high >>> 13;
}

const SITES_A_STEP = 64;
