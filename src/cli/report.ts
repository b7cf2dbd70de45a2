/**
 * What is said once it serves: what, where, how to trust it, and what is missing.
 * @module
 */
import { basename, isAbsolute, relative, resolve } from "node:path";

import type { Config } from "../config/config.ts";
import { upstreamName } from "../edge/upstreams/upstream.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { HandlerSpec } from "../snapshot/snapshot.ts";
import type { Running } from "../start.ts";
import { quoted } from "../trust/step.ts";
import { VERSION } from "./version.ts";

/** @param program what runs it here: `bun run edge.ts` */
export function report(
  running: Pick<
    Running,
    "runtime" | "crypto" | "https" | "http" | "httpTrouble" | "root" | "ech" | "workers"
  >,
  config: Config,
  program: string,
  dataFolder: string,
): string {
  const { runtime, root, ech } = running;
  const port = Number(running.https[0]!.replace(/^.*:/, ""));
  const lines = [
    `sotto ${VERSION} serves on ${runtime.name} ${runtime.version}, crypto: ${running.crypto.name}`,
    ...(running.workers === undefined
      ? []
      : [`${running.workers.length} worker processes serve, this one looks after them`]),
    "",
  ];
  for (const site of config.sites.slice(0, MAX_SITES_SHOWN)) {
    const what = describeHandler(site.handler);
    for (const name of site.names) lines.push(`  ${urlOf(name, port)}  ${what}`);
  }
  const more = config.sites.length - MAX_SITES_SHOWN;
  if (more > 0) lines.push(`  and ${more.toLocaleString("en-US")} sites more`);
  lines.push(
    "",
    `HTTPS  ${running.https.join(", ")}`,
    `HTTP   ${running.http.length > 0 ? `${running.http.join(", ")} redirects to it` : "none"}`,
    `ECH    ${ech === undefined ? "off" : `on; observers see ${ech.publicName}`}`,
    `Root   ${root}`,
    "",
    "Try it:",
    `  curl --cacert ${quoted(root)} ${urlOf(config.sites[0]!.names[0]!, port)}`,
  );
  if (ech !== undefined) {
    lines.push(
      "  With ECH, where curl --version lists it, add: --ech ecl:" + ech.configList,
    );
  }
  lines.push(
    "Trust it on this machine (--dry-run only says how):",
    `  ${program} trust --data ${quoted(dataFolder)}`,
  );
  const missing = whatIsMissing(
    running,
    config,
    `${program} ech list${filesOf(config, dataFolder)}`,
  );
  if (missing.length > 0) lines.push("Missing:", ...missing.map((text) => `  ${text}`));
  return lines.join("\n") + "\n";
}

function describeHandler(handler: HandlerSpec): string {
  switch (handler.kind) {
    case "respond":
      return "a text";
    case "redirect":
      return `sends to ${handler.to}`;
    case "app":
      return handler.app === "welcome" ? "a page about your connection" : `the app ${handler.app}`;
    case "forward":
      return `forwards to ${handler.upstreams.map(upstreamName).join(", ")}`;
    case "passthrough":
      return `passes on to ${handler.upstreams.map(upstreamName).join(", ")}, TLS and all`;
  }
}

/** Without these a command looks elsewhere. */
function filesOf({ file }: Config, dataFolder: string): string {
  const isOther = file !== undefined && isAbsolute(file) && file !== resolve("sotto.toml");
  return `${isOther ? ` --config ${quoted(file)}` : ""} --data ${quoted(dataFolder)}`;
}

/** How somebody in this folder calls the program again. */
export function programName(runtime: Runtime["name"], script: string | undefined): string {
  const path = relative("", script ?? "edge.ts");
  if (basename(path) === "sotto") return "sotto";
  return { bun: "bun run", deno: "deno run -A", node: "node" }[runtime] + ` ${quoted(path)}`;
}

function whatIsMissing(
  { httpTrouble, https, ech }: Pick<Running, "httpTrouble" | "https" | "ech">,
  config: Config,
  echList: string,
): string[] {
  const missing: string[] = [];
  if (config.file === undefined) {
    missing.push("A sotto.toml in this folder: only this machine is served, as localhost.");
  }
  if (config.file === undefined && https[0]!.endsWith(":8443")) {
    missing.push("Port 443, which this user may not have or another process has: 8443 it is.");
  }
  if (httpTrouble !== undefined) missing.push(`A redirect from HTTP. ${httpTrouble.message}.`);
  if (ech !== undefined) {
    missing.push(
      "The ECH key in DNS: sotto does not publish it yet, so browsers do not know it. " +
        `See: ${echList}`,
    );
  }
  if (
    config.sites.some((site) =>
      site.certificates.length === 0 && site.handler.kind !== "passthrough"
    )
  ) {
    missing.push("A public CA: certificates that are not files come from sotto's own, see Root.");
  }
  return missing;
}

function urlOf(name: string, port: number): string {
  const host = name.includes(":") ? `[${name}]` : name.replace(/^\*/, "any");
  return port === 443 ? `https://${host}/` : `https://${host}:${port}/`;
}

/** Who has more knows them from elsewhere. */
const MAX_SITES_SHOWN = 50;
