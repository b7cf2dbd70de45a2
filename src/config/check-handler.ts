/**
 * What a [[site]] does with its connections.
 * @module
 */
import type { UpstreamAddress } from "../snapshot/forward-spec.ts";
import type { HandlerSpec, RedirectSpec } from "../snapshot/snapshot.ts";
import { canonicalIp, spelledName } from "../x509/names.ts";
import { DEFAULT_SITE } from "./config.ts";
import type { ConfigPath, Report } from "./error.ts";
import { listOf, type SiteTable } from "./schema.ts";
import { parseDuration, parseUpstream } from "./upstream.ts";

/** @param at where the table stands */
export function checkHandler(table: SiteTable, at: ConfigPath, report: Report): HandlerSpec {
  const [kind, ...others] = HANDLERS.filter((key) => table[key] !== undefined);
  for (const other of others) {
    report([...at, other], `beside ${kind}, accepted: one of ${HANDLERS.join(", ")}`);
  }
  if (kind === "forward" || kind === "passthrough") return checkForward(kind, table, at, report);
  for (const key of ["proxy_protocol", "health_check"] as const) {
    if (table[key] !== undefined) {
      report(
        [...at, key],
        "there is nothing to connect to, accepted: beside forward or passthrough",
      );
    }
  }
  if (kind === "redirect") return checkRedirect(table, at, report);
  return table.respond === undefined
    ? DEFAULT_SITE.handler
    : { kind: "respond", text: table.respond };
}

/** Of these a site has one, or none. */
const HANDLERS = ["respond", "redirect", "forward", "passthrough"] as const;

function checkRedirect(
  { redirect = "", names }: SiteTable,
  at: ConfigPath,
  report: Report,
): RedirectSpec {
  const url = URL.canParse(redirect) ? new URL(redirect) : undefined;
  const isHttp = url?.protocol === "https:" || url?.protocol === "http:";
  if (url === undefined || !isHttp || url.username + url.password + url.hash !== "") {
    const hint = /^[\w.-]+(?::\d|[/?]|$)/.test(redirect) && !redirect.includes("://")
      ? `; did you mean ${JSON.stringify(`https://${redirect}`)}?`
      : "";
    report(
      [...at, "redirect"],
      `found ${
        JSON.stringify(redirect)
      }, accepted: a URL with https:// or http://, without user, ` +
        `password and fragment${hint}`,
    );
    return { kind: "redirect", to: "" };
  }
  const endsInHost = /^https?:\/\/[^/?]*$/i.test(redirect);
  const host = spelledName(url.host);
  if (
    endsInHost && url.protocol === "https:" && names.some((name) => spelledName(name) === host)
  ) {
    report([...at, "redirect"], `${JSON.stringify(redirect)} is the site itself`);
  }
  return { kind: "redirect", to: endsInHost ? url.origin : url.href };
}

function checkForward(
  kind: "forward" | "passthrough",
  table: SiteTable,
  at: ConfigPath,
  report: Report,
): HandlerSpec {
  const value = table[kind]!;
  const upstreams: UpstreamAddress[] = [];
  for (const [i, text] of listOf(value).entries()) {
    const path = typeof value === "string" ? [...at, kind] : [...at, kind, i];
    const upstream = parseUpstream(text);
    if ("refused" in upstream) report(path, upstream.refused);
    else if (listOf(value).indexOf(text) !== i) {
      report(path, `${JSON.stringify(text)} stands twice in the list`);
    } else upstreams.push(upstream);
  }
  if (listOf(value).length === 0) {
    report([...at, kind], "found an empty list, accepted: at least one server");
  }
  const checkEveryMs = checkDuration(table.health_check, [...at, "health_check"], report);
  if (kind === "passthrough") checkPassthrough(table, at, report);
  return {
    kind,
    upstreams,
    proxyProtocol: table.proxy_protocol ?? 0,
    ...(checkEveryMs !== undefined && { checkEveryMs }),
  };
}

function checkPassthrough(table: SiteTable, at: ConfigPath, report: Report): void {
  for (const key of NOT_FOR_PASSTHROUGH) {
    if (table[key] !== undefined) {
      report([...at, key], "has no use beside passthrough: the server behind it does the TLS");
    }
  }
  for (const [i, text] of table.names.entries()) {
    if (canonicalIp(text) === undefined) continue;
    report(
      [...at, "names", i],
      `found ${
        JSON.stringify(text)
      }, accepted beside passthrough: a host name. No hello names an IP address`,
    );
  }
}

/** What has no meaning for a connection that is not ours to decrypt. */
const NOT_FOR_PASSTHROUGH = [
  "certificate",
  "key",
  "client_auth",
  "alpn",
  "groups",
  "require_ech",
  "group",
] as const;

function checkDuration(
  text: string | undefined,
  at: ConfigPath,
  report: Report,
): number | undefined {
  if (text === undefined) return undefined;
  const ms = parseDuration(text);
  if (ms === undefined) {
    report(
      at,
      `found ${
        JSON.stringify(text)
      }, accepted: a time from 100ms to 24h, as in "10s", "500ms" or "1m"`,
    );
  }
  return ms;
}
