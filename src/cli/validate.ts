/** `edge.ts validate` @module */
import process from "node:process";

import type { Config } from "../config/config.ts";
import { coreLimits, edgeLimits, upstreamLimits } from "../config/limits.ts";
import { loadSiteFiles } from "../control/certificates/site-files.ts";
import { cryptoOfProcess } from "../open-control.ts";
import type { CommonArguments } from "./arguments.ts";
import { findConfig } from "./find-config.ts";
import { withPlaces } from "./site-place.ts";

/** Checks the configuration and the files that it names, without serving. */
export async function validate(
  args: CommonArguments & { readonly limits: boolean },
): Promise<void> {
  const config = await findConfig(args.config);
  const crypto = cryptoOfProcess(config);
  const warnings = [...config.warnings];
  for (const site of config.sites) {
    const files = await withPlaces(config, () => loadSiteFiles(crypto, site, Date.now()));
    warnings.push(...files.warnings);
  }
  for (const warning of warnings) process.stderr.write(`warning: ${warning}\n`);
  process.stdout.write(summary(config) + "\n");
  if (args.limits) process.stdout.write(limits(config));
}

function summary({ file, ech, sites }: Config): string {
  const names = sites.flatMap((site) => site.names);
  const some = names.length > 4 ? `${names.slice(0, 4).join(", ")}, …` : names.join(", ");
  const what = file ?? "There is no sotto.toml here; the default";
  const count = sites.length === 1 ? "1 site" : `${sites.length} sites`;
  return `${what} is good: ${count} (${some}), ECH ${
    ech.enabled ? `under ${ech.publicName}` : "off"
  }`;
}

function limits({ limits: configured }: Config): string {
  const all = Object.entries({
    ...coreLimits(configured),
    ...edgeLimits(configured),
    ...upstreamLimits(configured),
  });
  const width = Math.max(...all.map(([name]) => name.length));
  return all.map(([name, value]) => `${name.padEnd(width)}  ${value}\n`).join("");
}
