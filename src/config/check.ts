/**
 * From the document to a Config: what the shape alone cannot say.
 * @module
 */
import { isIP } from "node:net";

import { isPublicName } from "../tls/wire/ech-config.ts";
import { matchesName, spelledName } from "../x509/names.ts";
import { ALL_AUTO_HTTPS, checkSkipped, readAutoHttps } from "./auto-https.ts";
import { checkSite } from "./check-site.ts";
import type { Config, EchOptions, SiteOptions } from "./config.ts";
import { DEFAULT_CONFIG, DEFAULT_PUBLIC_NAME, DEFAULT_SITE } from "./config.ts";
import type { ConfigPath, Problem, Report } from "./error.ts";
import { LIMITS, type LimitValues } from "./limits.ts";
import { lint } from "./lint.ts";
import { didYouMean } from "./nearest.ts";
import type { Document, SiteTable } from "./schema.ts";

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
  const autoHttps = readAutoHttps(document.auto_https, ALL_AUTO_HTTPS);
  const surroundings = { folder, owners, autoHttps, sniHost: document.sni_host ?? "covered" };
  const sites = tables.map((table, i) => checkSite(table, ["site", i], surroundings, report));
  checkAgainstEch(sites, tables, ech, report);
  const served = sites.length === 0 ? [DEFAULT_SITE] : sites;
  checkSkipped(document.auto_https, ["auto_https"], served.flatMap((site) => site.names), report);
  if (sites.length === 0 && autoHttps.noCertificates) {
    report(
      ["auto_https"],
      "leaves localhost without a certificate, accepted: beside a [[site]] that has one",
    );
  }
  const limits = checkLimits(document.limits ?? {}, report);
  checkPorts(document, report);
  const config: Config = {
    file,
    listen: checkAddresses(document.listen, report),
    httpsPort: document.https_port,
    httpPort: document.http_port,
    // With no site to redirect to, nothing listens for HTTP.
    redirects: sites.length === 0
      ? !autoHttps.noRedirects
      : sites.some(({ hosts }) => hosts?.noRedirects !== true),
    user: checkUser(document.user, report),
    defaultSni: checkNamed(document.default_sni, "default_sni", served, report),
    fallbackSni: checkNamed(document.fallback_sni, "fallback_sni", served, report),
    ech,
    sites: served,
    workers: document.workers ?? DEFAULT_CONFIG.workers,
    cryptoProvider: document.crypto?.provider,
    openssl: document.crypto?.openssl,
    ipsecMb: document.crypto?.ipsec_mb,
    slowSignatures: document.crypto?.slow_signatures ?? DEFAULT_CONFIG.slowSignatures,
    logNames: document.log_names ?? DEFAULT_CONFIG.logNames,
    logLevel: document.log_level ?? DEFAULT_CONFIG.logLevel,
    installTrust: document.install_trust ?? DEFAULT_CONFIG.installTrust,
    limits,
    warnings: lint(ech, sites, document.sni_host),
  };
  return { config, problems };
}

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
  const greaseHelloRetry = table?.grease_hello_retry ?? DEFAULT_CONFIG.ech.greaseHelloRetry;
  return { enabled, publicName, strictOuterSni, greaseHelloRetry };
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
  const name = spelledName(text);
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

/** A timer with more fires at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

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
    } else if (name.endsWith("Ms") && Number(value) > MAX_TIMER_MS) {
      report(["limits", name], `found ${value}, accepted: at most ${MAX_TIMER_MS}, 24 days`);
    } else {
      checked[name] = value;
    }
  }
  return checked;
}
