/**
 * From the document to a Config: what the shape alone cannot say.
 * @module
 */
import { resolve } from "node:path";

import { NamedGroup } from "../tls/wire/code-points.ts";
import { isPublicName } from "../tls/wire/ech-config.ts";
import { qualifyName } from "../x509/names.ts";
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
  const sites = (document.site ?? []).map((table, i) =>
    checkSite(table, ["site", i], folder, owners, report)
  );
  const limits = checkLimits(document.limits ?? {}, report);
  const config: Config = {
    file,
    ech,
    sites: sites.length === 0 ? [DEFAULT_SITE] : sites,
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
  return { enabled, publicName };
}

function checkSite(
  table: SiteTable,
  at: ConfigPath,
  folder: string,
  owners: Map<string, ConfigPath>,
  report: Report,
): SiteOptions {
  return {
    names: checkNames(table.names, [...at, "names"], owners, report),
    certificates: checkCertificates(table, at, folder, report),
    handler: table.respond === undefined
      ? DEFAULT_SITE.handler
      : { kind: "respond", text: table.respond },
    clientAuth: checkClientAuth(table.client_auth, [...at, "client_auth"], folder, report),
    alpn: checkAlpn(table.alpn, [...at, "alpn"], report),
    groups: checkGroups(table.groups, [...at, "groups"], report),
  };
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
    key: resolve(folder, keys[i] ?? ""),
  }));
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

/** What the handlers speak today. */
const PROTOCOLS = ["http/1.1", "http/1.0"];

function checkAlpn(
  alpn: readonly string[] | undefined,
  at: ConfigPath,
  report: Report,
): readonly string[] | undefined {
  for (const [i, protocol] of (alpn ?? []).entries()) {
    if (!PROTOCOLS.includes(protocol)) {
      report([...at, i], unknownWord(protocol, PROTOCOLS) + "; [] ignores the client's list");
    } else if (alpn!.indexOf(protocol) !== i) {
      report([...at, i], `${JSON.stringify(protocol)} stands twice in the list`);
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
  // ech-server §11: whatever differs between sites behind one public name tells them apart.
  const looks = new Set(sites.map((site) => JSON.stringify([site.alpn, site.groups])));
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
