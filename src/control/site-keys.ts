/**
 * What tells one [[site]] from another, and one configuration from another: what did not change is not built again.
 * @module
 */
import { createHash } from "node:crypto";

import { type Config, DEFAULT_SITE, type SiteOptions } from "../config/config.ts";

/** The options of one [[site]], or of the ECH public name. */
export interface WantedSite extends SiteOptions {
  readonly publicNameOnly: boolean;
}

/** policy §6.9: the public name has a certificate, but no site; unless it is one as well. */
export function* wantedSites(
  { sites, ech: { enabled, publicName } }: Config,
): Generator<WantedSite> {
  let isSite = false;
  for (const site of sites) {
    if (site.names.includes(publicName)) isSite = true;
    yield { ...site, publicNameOnly: false };
  }
  if (!enabled || isSite) return;
  const handler = { kind: "respond", text: "" } as const;
  yield { ...DEFAULT_SITE, names: [publicName], handler, publicNameOnly: true };
}

/** 53 bits of all that it says: an operator's sites do not collide, and a name of it is compared besides. */
export function keyOf(wanted: WantedSite): number {
  const text = JSON.stringify(wanted);
  let [a, b] = [0x9e37_79b9, 0x85eb_ca6b];
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    a = Math.imul(a ^ unit, 0xcc9e_2d51);
    a ^= a >>> 15;
    b = Math.imul(b ^ unit, 0x1b87_3593);
    b ^= b >>> 13;
  }
  a = Math.imul(a ^ (a >>> 16) ^ text.length, 0xc2b2_ae35);
  b = Math.imul(b ^ (b >>> 16) ^ a, 0x27d4_eb2f);
  return ((b ^ (b >>> 15)) & 0x1f_ffff) * 0x1_0000_0000 + ((a ^ (a >>> 16)) >>> 0);
}

/** Of what a snapshot depends on, in turns. */
export function* hashingConfig(config: Config): Generator<void, string> {
  if (config.textHash !== undefined) return config.textHash;
  const { file: _file, warnings: _warnings, sites, ...rest } = config;
  const hash = createHash("sha256").update(JSON.stringify(rest));
  for (let at = 0; at < sites.length; at += SITES_A_STEP) {
    hash.update(JSON.stringify(sites.slice(at, at + SITES_A_STEP)));
    yield;
  }
  return hash.digest("hex");
}

const SITES_A_STEP = 256;
