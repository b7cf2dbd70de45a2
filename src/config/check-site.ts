/**
 * One [[site]]: what the shape alone cannot say.
 * @module
 */
import { resolve } from "node:path";

import type { HandlerSpec, HostRules } from "../snapshot/snapshot.ts";
import { NamedGroup } from "../tls/wire/code-points.ts";
import { qualifyName, spelledName } from "../x509/names.ts";
import { type AutoHttps, automationOf, checkSkipped, readAutoHttps } from "./auto-https.ts";
import type {
  AutomationOptions,
  CertificateFiles,
  ClientAuthOptions,
  SiteOptions,
} from "./config.ts";
import { checkHandler } from "./check-handler.ts";
import { DEFAULT_GROUPS } from "./config.ts";
import { type ConfigPath, pathText, type Report } from "./error.ts";
import { didYouMean } from "./nearest.ts";
import { listOf, type SiteTable } from "./schema.ts";

/** What stands around a site. */
export interface Surroundings {
  /** What relative paths are relative to. */
  readonly folder: string;
  /** Where each name seen so far stands; the site's are added. */
  readonly owners: Map<string, ConfigPath>;
  readonly autoHttps: AutoHttps;
  /** policy §8.5. */
  readonly sniHost: "match" | "covered" | "any";
}

/** @param at where the table stands */
export function checkSite(
  table: SiteTable,
  at: ConfigPath,
  { folder, owners, autoHttps, sniHost }: Surroundings,
  report: Report,
): SiteOptions {
  const handler = checkHandler(table, at, report);
  const names = checkNames(table.names, [...at, "names"], owners, report);
  const certificates = checkCertificates(table, at, folder, report);
  checkSkipped(table.auto_https, [...at, "auto_https"], names, report);
  const { noRedirects, ...automation } = automationOf(
    readAutoHttps(table.auto_https, autoHttps),
    names,
  );
  if (certificates.length === 0 && handler.kind !== "passthrough") {
    checkIssued(table, at, automation, report);
  }
  if (table.ech === false && table.require_ech === true) {
    report([...at, "require_ech"], "found true beside ech = false, accepted: one of the two");
  }
  return {
    names,
    certificates,
    handler,
    ech: table.ech ?? true,
    automation,
    hosts: hostRules(checkGroup(table.group, [...at, "group"], report), sniHost, noRedirects),
    requireEch: table.require_ech ?? false,
    clientAuth: checkClientAuth(table.client_auth, [...at, "client_auth"], folder, report),
    alpn: checkAlpn(table.alpn, handler, [...at, "alpn"], report),
    groups: checkGroups(table.groups, [...at, "groups"], report),
  };
}

/** Every name needs a certificate, from files or from the local CA. */
function checkIssued(
  { names }: SiteTable,
  at: ConfigPath,
  { noCertificates }: AutomationOptions,
  report: Report,
): void {
  if (noCertificates !== true && noCertificates.length === 0) return;
  for (const [i, text] of names.entries()) {
    if (noCertificates !== true && !noCertificates.includes(spelledName(text))) continue;
    report(
      [...at, "names", i],
      `${JSON.stringify(text)} gets no certificate, for auto_https says so; ` +
        "accepted: certificate and key beside it",
    );
  }
}

function checkGroup(text: string | undefined, at: ConfigPath, report: Report) {
  if (text === "") report(at, 'found "", accepted: the name of a group');
  return text;
}

/** Undefined: all as usual. */
function hostRules(
  group: string | undefined,
  sniHost: Surroundings["sniHost"],
  noRedirects: true | readonly string[],
): HostRules | undefined {
  const rules: HostRules = {
    ...(group !== undefined && { group }),
    ...(sniHost !== "covered" && { sniHost }),
    ...((noRedirects === true || noRedirects.length > 0) && { noRedirects }),
  };
  return Object.keys(rules).length === 0 ? undefined : rules;
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
      report(path, `${JSON.stringify(text)} ${result.refused}${nameAlone(text)}`);
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

/** For whoever wrote the address of a page, or a port beside the name. */
function nameAlone(text: string): string {
  const name = /^(?:[a-z]+:\/\/)?([^/:]+)(?::\d+)?(?:\/.*)?$/i.exec(text)?.[1];
  if (name === undefined || name === text || "refused" in qualifyName(name)) return "";
  return `, accepted: the host name alone, ${JSON.stringify(name)}`;
}

function checkCertificates(
  table: SiteTable,
  at: ConfigPath,
  folder: string,
  report: Report,
): CertificateFiles[] {
  const certificates = listOf(table.certificate);
  const keys = listOf(table.key);
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
    certificate: checkFile(certificate, placeOf(table, "certificate", at, i), folder, report),
    key: checkSecret(keys[i] ?? "", placeOf(table, "key", at, i), folder, report),
  }));
}

function placeOf<K extends string>(
  table: { readonly [Key in K]?: string | readonly string[] | undefined },
  key: K,
  at: ConfigPath,
  i: number,
): ConfigPath {
  return Array.isArray(table[key]) ? [...at, key, i] : [...at, key];
}

/** What is put here in place of the file's path may be a private key: no message repeats it. */
function checkFile(path: string, at: ConfigPath, folder: string, report: Report): string {
  if (/[\r\n]/.test(path)) {
    report(at, "found a text of several lines, accepted: the path of a file that holds it");
  }
  return resolve(folder, path);
}

/** A path, `file:PATH`, or `env:NAME`, which is left for whoever reads it. */
function checkSecret(text: string, at: ConfigPath, folder: string, report: Report): string {
  if (text.startsWith("file:")) return checkFile(text.slice("file:".length), at, folder, report);
  if (!text.startsWith("env:")) return checkFile(text, at, folder, report);
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
  const ca = listOf(table.ca).map((path, i) =>
    checkFile(path, placeOf(table, "ca", at, i), folder, report)
  );
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

function unknownWord(word: string, known: readonly string[]): string {
  return `found ${JSON.stringify(word)}, accepted: ${known.join(", ")}${didYouMean(word, known)}`;
}
