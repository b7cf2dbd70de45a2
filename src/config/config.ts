/**
 * What sotto.toml says, checked and complete: defaults are filled in, paths are absolute, names are A-labels.
 * @module
 */
import type { HandlerSpec } from "../snapshot/snapshot.ts";
import type { ClientAuth } from "../tls/config.ts";
import type { LimitValues } from "./limits.ts";
import type { NamedGroup } from "../tls/wire/code-points.ts";

export interface Config {
  /** The file it came from; undefined: there was none. */
  readonly file: string | undefined;
  readonly ech: EchOptions;
  readonly sites: readonly SiteOptions[];
  /** On a terminal, try once to have this machine trust the local CA's root. */
  readonly installTrust: boolean;
  /** Limits that the file raises or lowers, by the names that `validate --limits` prints. */
  readonly limits: LimitValues;
  /** What serves, but is probably not meant. */
  readonly warnings: readonly string[];
}

export interface EchOptions {
  readonly enabled: boolean;
  /** The name that an observer sees instead of the site's (ech-server §11). */
  readonly publicName: string;
}

export interface SiteOptions {
  /** Lower-case A-labels; `*` only as the whole left-most label. */
  readonly names: readonly string[];
  /** The operator's own certificates; empty: the local CA issues one. */
  readonly certificates: readonly CertificateFiles[];
  /** Without another one in the file: the welcome page. */
  readonly handler: HandlerSpec;
  readonly clientAuth: ClientAuthOptions | undefined;
  /** Undefined: what the handler speaks. Empty: the client's extension is ignored. */
  readonly alpn: readonly string[] | undefined;
  /** Best first. */
  readonly groups: readonly NamedGroup[];
}

/** Two PEM files: chain (leaf first) and private key. */
export interface CertificateFiles {
  readonly certificate: string;
  readonly key: string;
}

export interface ClientAuthOptions {
  readonly mode: ClientAuth["mode"];
  /** PEM files with the CAs that clients' certificates must come from. */
  readonly ca: readonly string[];
}

/** policy §5: the best first. */
export const DEFAULT_GROUPS = [0x11ec, 0x001d, 0x0017, 0x0018] as const satisfies NamedGroup[];

/** Under .localhost (RFC 6761): nobody else can own it, and no public CA is asked for it. */
export const DEFAULT_PUBLIC_NAME = "cover.localhost";

/** What serves when nothing is configured (policy §1.5): the welcome page on localhost. */
export const DEFAULT_SITE: SiteOptions = {
  names: ["localhost"],
  certificates: [],
  handler: { kind: "app", app: "welcome" },
  clientAuth: undefined,
  alpn: undefined,
  groups: DEFAULT_GROUPS,
};

export const DEFAULT_CONFIG: Config = {
  file: undefined,
  ech: { enabled: true, publicName: DEFAULT_PUBLIC_NAME },
  sites: [DEFAULT_SITE],
  installTrust: true,
  limits: {},
  warnings: [],
};
