/**
 * All that the data plane knows: immutable, replaced whole by one assignment.
 * @module
 */
import type { ServerConfig, SiteConfig } from "../tls/config.ts";
import { canonicalHost } from "../x509/names.ts";

export type HandlerSpec =
  | { readonly kind: "respond"; readonly text: string }
  /** "welcome", or a name given to `serve()`. */
  | { readonly kind: "app"; readonly app: string };

export interface Site {
  /** Lower-case A-labels, "*.example.com" for one label of any kind, IP addresses in canonical text. */
  readonly names: readonly string[];
  readonly tls: SiteConfig;
  readonly handler: HandlerSpec;
  /** The ECH public name and nothing else: its handshake succeeds, then 421 (policy §8.3). */
  readonly publicNameOnly: boolean;
}

export interface SnapshotParts {
  readonly server: ServerConfig;
  readonly sites: readonly Site[];
  /** The name to serve where a hello has none, and where it has an unknown one (policy §6.5). */
  readonly defaultSni?: string;
  readonly fallbackSni?: string;
}

export class Snapshot {
  readonly server: ServerConfig;
  readonly sites: readonly Site[];
  readonly #byName = new Map<string, Site>();
  readonly #default: Site | undefined;
  readonly #fallback: Site | undefined;
  readonly #only: Site | undefined;

  /** @throws {RangeError} one name in two sites; a default or fallback that no site has */
  constructor(parts: SnapshotParts) {
    this.server = parts.server;
    this.sites = parts.sites;
    for (const site of parts.sites) {
      for (const text of site.names) {
        const name = canonicalHost(text);
        if ((this.#byName.get(name) ?? site) !== site) {
          throw new RangeError(`Cannot build a snapshot: two sites are called ${name}`);
        }
        this.#byName.set(name, site);
      }
    }
    this.#default = this.#named(parts.defaultSni, "default_sni");
    this.#fallback = this.#named(parts.fallbackSni, "fallback_sni");
    const real = parts.sites.filter((site) => !site.publicNameOnly);
    this.#only = real.length === 1 ? real[0] : undefined;
  }

  /** The site for an SNI as it came, in any case (policy §6.1): exact, then wildcard, then fallback, else undefined. */
  find(name: Uint8Array): Site | undefined {
    if (name.length === 0 || name.length > MAX_NAME_LENGTH) return this.#fallback;
    let text = "";
    for (const byte of name) {
      text += String.fromCharCode(byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte);
    }
    return this.#lookUp(text) ?? this.#fallback;
  }

  /** The site for a Host, without its port, in any spelling: exact, then wildcard; no fallback (policy §8.5). */
  findText(host: string): Site | undefined {
    return this.#lookUp(canonicalHost(host));
  }

  /** No SNI (policy §6.3): the site of the connection's own IP address, default_sni, the only site, else undefined. */
  findWithoutName(localAddress: string): Site | undefined {
    return this.#byName.get(canonicalHost(localAddress)) ?? this.#default ?? this.#only;
  }

  #lookUp(name: string): Site | undefined {
    const exact = this.#byName.get(name);
    if (exact !== undefined) return exact;
    const dot = name.indexOf(".");
    return dot > 0 ? this.#byName.get("*" + name.slice(dot)) : undefined;
  }

  #named(name: string | undefined, key: string): Site | undefined {
    if (name === undefined) return undefined;
    const site = this.#lookUp(canonicalHost(name));
    if (site === undefined) throw new RangeError(`Cannot use ${key}: no site is called ${name}`);
    return site;
  }
}

const MAX_NAME_LENGTH = 255;
