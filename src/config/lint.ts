/**
 * What serves, but is probably not meant. Each a sentence for the operator, at start, at reload and from `validate`.
 * @module
 */
import type { EchOptions, SiteOptions } from "./config.ts";
import type { Document } from "./schema.ts";

export function lint(
  ech: EchOptions,
  sites: readonly SiteOptions[],
  sniHost: Document["sni_host"],
): string[] {
  return [
    ...(ech.enabled ? [...lintEch(ech, sites), ...lintAnonymity(sites)] : []),
    ...lintGroups(sites),
    ...(sniHost === "any"
      ? [
        'sni_host = "any" lets a client that named one site ask for any other: what watches the network by name is ' +
        "misled (policy of the network, domain fronting)",
      ]
      : []),
  ];
}

function lintEch({ publicName }: EchOptions, sites: readonly SiteOptions[]): string[] {
  const warnings: string[] = [];
  if (sites.some((site) => site.names.includes(publicName))) {
    warnings.push(
      `${publicName} is the ECH public name and a site as well: who visits that site looks ` +
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
  return warnings;
}

/**
 * policy §5, §8.9 and ech-server §11: sites behind one public name are each other's cover. Whatever an observer, or who
 * connects, can see of one and not of another tells them apart.
 */
function lintAnonymity(sites: readonly SiteOptions[]): string[] {
  const hidden = sites.filter((site) => site.ech && site.handler.kind !== "passthrough");
  const warnings: string[] = [];
  for (const [what, of] of VISIBLE) {
    const looks = Map.groupBy(hidden, (site) => JSON.stringify(of(site)));
    if (looks.size < 2) continue;
    const [common, ...others] = [...looks.values()].toSorted((a, b) => b.length - a.length);
    const odd = others.flat().map((site) => site.names[0]);
    warnings.push(
      `sites differ in ${what}: an observer may tell ${shortList(odd)} from ${
        common![0]!.names[0]
      } although ECH hides their names; the same for all, or ech = false where nothing is to be hidden`,
    );
  }
  return warnings;
}

/** By what sites can be told apart from outside. */
const VISIBLE: readonly [what: string, of: (site: SiteOptions) => unknown][] = [
  ["alpn", (site) => site.alpn ?? null],
  ["groups", (site) => site.groups],
  ["client_auth", (site) => site.clientAuth !== undefined],
];

/** A group of one, and a group with client authentication, does nothing. */
function lintGroups(sites: readonly SiteOptions[]): string[] {
  const groups = Map.groupBy(
    sites.filter(({ hosts }) => hosts?.group !== undefined),
    ({ hosts }) => hosts!.group!,
  );
  return [...groups].filter(([, members]) => members.length === 1).map(([group, [only]]) =>
    `group ${JSON.stringify(group)} has one site, ${
      only!.names[0]
    }: it shares connections with none`
  );
}

function shortList(names: readonly (string | undefined)[]): string {
  return names.length > 3 ? `${names.slice(0, 3).join(", ")}, …` : names.join(", ");
}
