/**
 * Automatic HTTPS, at the top and per site: what it is asked to leave alone (policy §1.3).
 * @module
 */
import { spelledName } from "../x509/names.ts";
import type { AutomationOptions } from "./config.ts";
import type { ConfigPath, Report } from "./error.ts";
import { didYouMean } from "./nearest.ts";
import type { SiteTable } from "./schema.ts";

export interface AutoHttps {
  readonly noRedirects: boolean;
  readonly noCertificates: boolean;
  readonly ignoreLoaded: boolean;
  /** Names with neither redirect nor certificate, and with no certificate; canonical. */
  readonly skip: readonly string[];
  readonly skipCertificates: readonly string[];
}

export const ALL_AUTO_HTTPS: AutoHttps = {
  noRedirects: false,
  noCertificates: false,
  ignoreLoaded: false,
  skip: [],
  skipCertificates: [],
};

/** @param above what holds where the value says nothing */
export function readAutoHttps(value: SiteTable["auto_https"], above: AutoHttps): AutoHttps {
  switch (value) {
    case undefined:
      return above;
    case "on":
      return { ...above, noRedirects: false, noCertificates: false };
    case "off":
      return { ...above, noRedirects: true, noCertificates: true };
    case "no_redirects":
      return { ...above, noRedirects: true, noCertificates: false };
    case "no_certificates":
      return { ...above, noRedirects: false, noCertificates: true };
  }
  const { off } = value;
  return {
    noRedirects: value.no_redirects ?? off ?? above.noRedirects,
    noCertificates: value.no_certificates ?? off ?? above.noCertificates,
    ignoreLoaded: value.ignore_loaded ?? above.ignoreLoaded,
    skip: [...above.skip, ...(value.skip ?? []).map(spelledName)],
    skipCertificates: [
      ...above.skipCertificates,
      ...(value.skip_certificates ?? []).map(spelledName),
    ],
  };
}

/** What it comes to for the names of one site. */
export function automationOf(
  { noRedirects, noCertificates, ignoreLoaded, skip, skipCertificates }: AutoHttps,
  names: readonly string[],
): AutomationOptions & { readonly noRedirects: true | readonly string[] } {
  const listed = (isAll: boolean, lists: readonly string[]): true | readonly string[] => {
    const some = isAll ? names : names.filter((name) => lists.includes(name));
    return names.length > 0 && some.length === names.length ? true : some;
  };
  return {
    noRedirects: listed(noRedirects, skip),
    noCertificates: listed(noCertificates, [...skip, ...skipCertificates]),
    ignoreLoaded,
  };
}

/** Names to skip have to be names that are served. */
export function checkSkipped(
  value: SiteTable["auto_https"],
  at: ConfigPath,
  served: readonly string[],
  report: Report,
): void {
  if (typeof value !== "object") return;
  for (const key of ["skip", "skip_certificates"] as const) {
    for (const [i, text] of (value[key] ?? []).entries()) {
      const name = spelledName(text);
      if (served.includes(name)) continue;
      report(
        [...at, key, i],
        `no site is called ${JSON.stringify(text)}${didYouMean(name, served)}`,
      );
    }
  }
}
