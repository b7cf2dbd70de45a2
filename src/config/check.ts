/**
 * From the document to a Config: what the shape alone cannot say.
 * @module
 */
import { isIP } from "node:net";
import { resolve } from "node:path";

import { NamedGroup } from "../tls/wire/code-points.ts";
import { isPublicName } from "../tls/wire/ech-config.ts";
import type { UpstreamAddress } from "../snapshot/forward-spec.ts";
import type { HandlerSpec } from "../snapshot/snapshot.ts";
import { canonicalHost, canonicalIp, matchesName, qualifyName } from "../x509/names.ts";
import type {
  CertificateFiles,
  ClientAuthOptions,
  Config,
  EchOptions,
  SiteOptions,
} from "./config.ts";
import { DEFAULT_CONFIG, DEFAULT_GROUPS, DEFAULT_PUBLIC_NAME, DEFAULT_SITE } from "./config.ts";
import { type ConfigPath, pathText, type Problem } from "./error.ts";
import { LIMITS, type LimitValues } from "./limits.ts";
import { didYouMean } from "./nearest.ts";
import type { Document, SiteTable } from "./schema.ts";
import { parseDuration, parseUpstream } from "./upstream.ts";

/**
 * Checks the whole document and fills in what it leaves out. With a problem in the list the Config is not to be used.
 *
 * @param folder what relative paths are relative to
 */
export function check(
  document: Document,
  file: string,
  folder: string,
): { readonly config: Config; readonly problems: readonly Problem[] } {
  const problems: Problem[] = [];
  const report: Report = (path, message) => void problems.push({ path, message });

  const ech = checkEch(document.ech, report);
  const owners = new Map<string, ConfigPath>();
  const tables = document.site ?? [];
  const sites = tables.map((table, i) => checkSite(table, ["site", i], folder, owners, report));
  checkAgainstEch(sites, tables, ech, report);
  const served = sites.length === 0 ? [DEFAULT_SITE] : sites;
  const limits = checkLimits(document.limits ?? {}, report);
  checkPorts(document, report);
  const config: Config = {
    file,
    listen: checkAddresses(document.listen, report),
    httpsPort: document.https_port,
    httpPort: document.http_port,
    redirects: document.auto_https !== "no_redirects",
    user: checkUser(document.user, report),
    defaultSni: checkNamed(document.default_sni, "default_sni", served, report),
    fallbackSni: checkNamed(document.fallback_sni, "fallback_sni", served, report),
    ech,
    sites: served,
    installTrust: document.install_trust ?? DEFAULT_CONFIG.installTrust,
    limits,
    warnings: lint(ech, sites),
  };
  return { config, problems };
}

type Report = (path: ConfigPath, message: string) => void;

function checkEch(table: Document["ech"], report: Report): EchOptions {
  const enabled = table?.enabled ?? DEFAULT_CONFIG.ech.enabled;
  const publicName = table?.public_name?.toLowerCase() ?? DEFAULT_PUBLIC_NAME;
  if (!isPublicName(publicName)) {
    report(
      ["ech", "public_name"],
      `found ${JSON.stringify(table?.public_name)}, accepted: a host name of letters, digits and ` +
        "hyphens in labels of 1 to 63, at most 253 in all, whose last label is no number: clients " +
        "ignore any other",
    );
  }
  const strictOuterSni = table?.strict_outer_sni ?? DEFAULT_CONFIG.ech.strictOuterSni;
  return { enabled, publicName, strictOuterSni };
}

function checkSite(
  table: SiteTable,
  at: ConfigPath,
  folder: string,
  owners: Map<string, ConfigPath>,
  report: Report,
): SiteOptions {
  const handler = checkHandler(table, at, report);
  return {
    names: checkNames(table.names, [...at, "names"], owners, report),
    certificates: checkCertificates(table, at, folder, report),
    handler,
    requireEch: table.require_ech ?? false,
    clientAuth: checkClientAuth(table.client_auth, [...at, "client_auth"], folder, report),
    alpn: checkAlpn(table.alpn, handler, [...at, "alpn"], report),
    groups: checkGroups(table.groups, [...at, "groups"], report),
  };
}

/** Of these a site has one, or none. */
const HANDLERS = ["respond", "forward", "passthrough"] as const;
/** What has no meaning for a connection that is not ours to decrypt. */
const NOT_FOR_PASSTHROUGH = [
  "certificate",
  "key",
  "client_auth",
  "alpn",
  "groups",
  "require_ech",
] as const;

function checkHandler(table: SiteTable, at: ConfigPath, report: Report): HandlerSpec {
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
  return table.respond === undefined
    ? DEFAULT_SITE.handler
    : { kind: "respond", text: table.respond };
}

function checkForward(
  kind: "forward" | "passthrough",
  table: SiteTable,
  at: ConfigPath,
  report: Report,
): HandlerSpec {
  const value = table[kind]!;
  const upstreams: UpstreamAddress[] = [];
  for (const [i, text] of list(value).entries()) {
    const path = typeof value === "string" ? [...at, kind] : [...at, kind, i];
    const upstream = parseUpstream(text);
    if ("refused" in upstream) report(path, upstream.refused);
    else if (list(value).indexOf(text) !== i) {
      report(path, `${JSON.stringify(text)} stands twice in the list`);
    } else upstreams.push(upstream);
  }
  if (list(value).length === 0) {
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

/** @param owners where each name seen so far stands */
function checkNames(
  names: readonly string[],
  at: ConfigPath,
  owners: Map<string, ConfigPath>,
  report: Report,
): string[] {
  const checked: string[] = [];
  for (const [i, text] of names.entries()) {
    const result = qualifyName(text);
    const path = [...at, i];
    if ("refused" in result) {
      report(path, `${JSON.stringify(text)} ${result.refused}`);
      continue;
    }
    const owner = owners.get(result.name);
    if (owner !== undefined) {
      report(path, `the name ${JSON.stringify(text)} is already taken by ${pathText(owner)}`);
    } else {
      owners.set(result.name, path);
    }
    checked.push(result.name);
  }
  return checked;
}

function checkCertificates(
  table: SiteTable,
  at: ConfigPath,
  folder: string,
  report: Report,
): CertificateFiles[] {
  const certificates = list(table.certificate);
  const keys = list(table.key);
  if (certificates.length === 0 && keys.length > 0) {
    report([...at, "key"], "a key without a certificate; accepted: both, or neither");
  } else if (keys.length === 0 && certificates.length > 0) {
    report([...at, "certificate"], "a certificate without its key; accepted: both, or neither");
  } else if (keys.length !== certificates.length) {
    report(
      [...at, "key"],
      `found ${keys.length} keys for ${certificates.length} certificates; accepted: one for each, ` +
        "in the same order",
    );
  }
  return certificates.map((certificate, i) => ({
    certificate: resolve(folder, certificate),
    key: checkSecret(keys[i] ?? "", keyPath(table, at, i), folder, report),
  }));
}

function keyPath({ key }: SiteTable, at: ConfigPath, i: number): ConfigPath {
  return typeof key === "string" ? [...at, "key"] : [...at, "key", i];
}

/** A path, `file:PATH`, or `env:NAME`, which is left for whoever reads it. */
function checkSecret(text: string, at: ConfigPath, folder: string, report: Report): string {
  if (text.startsWith("file:")) return resolve(folder, text.slice("file:".length));
  if (!text.startsWith("env:")) return resolve(folder, text);
  if (!/^env:[A-Za-z_][A-Za-z0-9_]*$/.test(text)) {
    report(
      at,
      `found ${
        JSON.stringify(text)
      }, accepted: the name of an environment variable as in "env:SITE_KEY"`,
    );
  }
  return text;
}

function checkClientAuth(
  table: SiteTable["client_auth"],
  at: ConfigPath,
  folder: string,
  report: Report,
): ClientAuthOptions | undefined {
  if (table === undefined) return undefined;
  const ca = list(table.ca).map((path) => resolve(folder, path));
  // policy §7.1: the default is the strictest that the pool allows.
  const mode = table.mode ?? (ca.length > 0 ? "require_and_verify" : "require");
  if (ca.length === 0 && (mode === "verify_if_given" || mode === "require_and_verify")) {
    report(
      table.ca === undefined ? [...at, "mode"] : [...at, "ca"],
      `mode "${mode}" has nothing to verify against; accepted: ca = ["FILE"] beside it`,
    );
  }
  return { mode, ca };
}

/** What the HTTP handlers speak today. */
const PROTOCOLS = ["http/1.1", "http/1.0"];

function checkAlpn(
  alpn: readonly string[] | undefined,
  { kind }: HandlerSpec,
  at: ConfigPath,
  report: Report,
): readonly string[] | undefined {
  for (const [i, protocol] of (alpn ?? []).entries()) {
    if (alpn!.indexOf(protocol) !== i) {
      report([...at, i], `${JSON.stringify(protocol)} stands twice in the list`);
    } else if (kind !== "forward") {
      if (PROTOCOLS.includes(protocol)) continue;
      report([...at, i], unknownWord(protocol, PROTOCOLS) + "; [] ignores the client's list");
    } else if (!/^[\x21-\x7e]{1,255}$/.test(protocol) || protocol === "acme-tls/1") {
      report(
        [...at, i],
        `found ${
          JSON.stringify(protocol)
        }, accepted: what the server behind it speaks, in 1 to 255 ` +
          "characters of ASCII; acme-tls/1 is for sotto alone",
      );
    }
  }
  return alpn;
}

const GROUPS: readonly (readonly [string, NamedGroup])[] = [
  ["X25519MLKEM768", NamedGroup.X25519MLKEM768],
  ["x25519", NamedGroup.x25519],
  ["secp256r1", NamedGroup.secp256r1],
  ["secp384r1", NamedGroup.secp384r1],
];
const GROUP_NICKNAMES: Readonly<Record<string, string>> = {
  "p-256": "secp256r1",
  "p-384": "secp384r1",
};

function checkGroups(
  names: readonly string[] | undefined,
  at: ConfigPath,
  report: Report,
): readonly NamedGroup[] {
  if (names === undefined) return DEFAULT_GROUPS;
  const groups: NamedGroup[] = [];
  for (const [i, text] of names.entries()) {
    const lower = text.toLowerCase();
    const name = GROUP_NICKNAMES[lower] ?? lower;
    const group = GROUPS.find(([known]) => known.toLowerCase() === name)?.[1];
    if (group === undefined) {
      report([...at, i], unknownWord(text, GROUPS.map(([known]) => known)));
    } else if (groups.includes(group)) {
      report([...at, i], `${JSON.stringify(text)} stands twice in the list`);
    } else {
      groups.push(group);
    }
  }
  return groups;
}

/** What a site wishes of ECH has to fit what ECH is. */
function checkAgainstEch(
  sites: readonly SiteOptions[],
  tables: readonly SiteTable[],
  ech: EchOptions,
  report: Report,
): void {
  for (const [i, site] of sites.entries()) {
    if (site.requireEch && !ech.enabled) {
      report(["site", i, "require_ech"], "nobody could visit it, accepted: with ECH on");
    }
    const at = site.names.indexOf(ech.publicName);
    if (!ech.enabled || at === -1) continue;
    if (site.handler.kind === "passthrough") {
      report(
        [
          "site",
          i,
          "names",
          tables[i]!.names.findIndex((name) => name.toLowerCase() === ech.publicName),
        ],
        `${ech.publicName} is the ECH public name: passed on, every hidden name would go the same way. ` +
          "Accepted: another [ech] public_name, or ECH off",
      );
    } else if (site.requireEch) {
      report(
        ["site", i, "require_ech"],
        `the ECH public name ${ech.publicName} is for those whose ECH failed, accepted: false`,
      );
    }
  }
}

function checkPorts({ https_port: https, http_port: http }: Document, report: Report): void {
  if (https === undefined || https === 0 || https !== http) return;
  report(["http_port"], `found ${http}, accepted: another port than https_port`);
}

function checkAddresses(
  listen: readonly string[] | undefined,
  report: Report,
): readonly string[] | undefined {
  for (const [i, text] of (listen ?? []).entries()) {
    const hint = text === "localhost" ? "; localhost is 127.0.0.1 and ::1" : "";
    if (isIP(text) === 0) {
      report(
        ["listen", i],
        `found ${
          JSON.stringify(text)
        }, accepted: an IP address as in 127.0.0.1, ::1, 0.0.0.0 or ::${hint}`,
      );
    } else if (listen!.indexOf(text) !== i) {
      report(["listen", i], `${JSON.stringify(text)} stands twice in the list`);
    }
  }
  return listen;
}

function checkUser(user: string | undefined, report: Report): string | undefined {
  if (user !== undefined && !/^[a-z_][a-z0-9_.-]*$/i.test(user)) {
    report(["user"], `found ${JSON.stringify(user)}, accepted: the name of a user, as in "sotto"`);
  }
  return user;
}

/** default_sni, fallback_sni: a name that is served to anybody. */
function checkNamed(
  text: string | undefined,
  key: "default_sni" | "fallback_sni",
  sites: readonly SiteOptions[],
  report: Report,
): string | undefined {
  if (text === undefined) return undefined;
  const name = canonicalHost(text);
  const site = sites.find(({ names }) => names.includes(name)) ??
    sites.find(({ names }) => names.some((pattern) => matchesName(pattern, name)));
  if (site === undefined) {
    const names = sites.flatMap((one) => one.names);
    report([key], `no site is called ${JSON.stringify(text)}${didYouMean(name, names)}`);
  } else if (site.handler.kind === "passthrough" || site.requireEch) {
    const why = site.requireEch ? "requires ECH" : "is passed on";
    report([key], `${JSON.stringify(text)} ${why}, accepted: a site that is served to anybody`);
  }
  return name;
}

function checkLimits(limits: LimitValues, report: Report): LimitValues {
  const checked: Record<string, number | boolean> = {};
  for (const [name, value] of Object.entries(limits)) {
    const usual = Object.hasOwn(LIMITS, name) ? LIMITS[name] : undefined;
    if (usual === undefined) {
      report(["limits", name], `unknown limit${didYouMean(name, Object.keys(LIMITS))}`);
    } else if (typeof value !== typeof usual) {
      const accepted = typeof usual === "boolean" ? "true or false" : "a number";
      report(["limits", name], `found ${value}, accepted: ${accepted}`);
    } else if (typeof value === "number" && !(Number.isSafeInteger(value) && value >= 0)) {
      report(["limits", name], `found ${value}, accepted: a whole number from 0`);
    } else {
      checked[name] = value;
    }
  }
  return checked;
}

/** What serves, but is probably not meant. */
function lint(ech: EchOptions, sites: readonly SiteOptions[]): string[] {
  const warnings: string[] = [];
  if (!ech.enabled) return warnings;
  if (sites.some((site) => site.names.includes(ech.publicName))) {
    warnings.push(
      `${ech.publicName} is the ECH public name and a site as well: who visits that site looks ` +
        "different from who visits the others",
    );
  }
  if (sites.some((site) => site.requireEch)) {
    warnings.push(
      "require_ech shuts out every client that has no ECH, or no configuration of it from DNS",
    );
  }
  if (sites.some((site) => site.handler.kind === "passthrough")) {
    warnings.push(
      "passthrough goes by the name in the hello as it was sent: names hidden by this server's ECH are not passed on",
    );
  }
  // ech-server §11: whatever differs between sites behind one public name tells them apart.
  const own = sites.filter((site) => site.handler.kind !== "passthrough");
  const looks = new Set(own.map((site) => JSON.stringify([site.alpn, site.groups])));
  if (looks.size > 1) {
    warnings.push(
      "sites differ in alpn or groups: an observer may tell them apart although ECH hides their names",
    );
  }
  return warnings;
}

function unknownWord(word: string, known: readonly string[]): string {
  return `found ${JSON.stringify(word)}, accepted: ${known.join(", ")}${didYouMean(word, known)}`;
}

function list(value: string | readonly string[] | undefined): readonly string[] {
  if (value === undefined) return [];
  return typeof value === "string" ? [value] : value;
}
