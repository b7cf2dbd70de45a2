/**
 * What sotto.toml says, checked and complete: defaults are filled in, paths are absolute, names are A-labels.
 * @module
 */
import type { HandlerSpec, HostRules } from "../snapshot/snapshot.ts";
import type { ClientAuth } from "../tls/config.ts";
import type { LimitValues } from "./limits.ts";
import type { CryptoProvider, LogLevel } from "./schema.ts";
import type { NamedGroup } from "../tls/wire/code-points.ts";

export interface Config {
  /** The file it came from, or what else it is to be called; undefined: there was none. */
  readonly file: string | undefined;
  /** Undefined: the default. */
  readonly listen: readonly string[] | undefined;
  readonly httpsPort: number | undefined;
  readonly httpPort: number | undefined;
  /** Whether plain HTTP is answered, by a redirect. */
  readonly redirects: boolean;
  /** Who to be once the ports are bound; undefined: whoever started it. */
  readonly user: string | undefined;
  /** Names of sites, for hellos without a name and with an unknown one (policy §6.5). */
  readonly defaultSni: string | undefined;
  readonly fallbackSni: string | undefined;
  readonly ech: EchOptions;
  readonly sites: readonly SiteOptions[];
  /** Processes that serve; "auto": one for each core. */
  readonly workers: number | "auto";
  /** On a terminal, try once to have this machine trust the local CA's root. */
  readonly installTrust: boolean;
  /** Forces one provider of crypto; undefined: the fastest for each purpose. */
  readonly cryptoProvider: CryptoProvider | undefined;
  /** The file of OpenSSL's libcrypto; false: none is called; undefined: the system's. */
  readonly openssl: string | false | undefined;
  /** The file of libIPSec_MB, likewise. */
  readonly ipsecMb: string | false | undefined;
  /** Where signatures are made that take milliseconds (RSA). */
  readonly slowSignatures: "thread" | "inline";
  /** The log may name sites that clients hide with ECH. */
  readonly logNames: boolean;
  /** The least that is logged. */
  readonly logLevel: LogLevel;
  /** Limits that the file raises or lowers, by the names that `validate --limits` prints. */
  readonly limits: LimitValues;
  /** What serves, but is probably not meant. */
  readonly warnings: readonly string[];
  /** Of all that it was made from; missing: it is not known. */
  readonly textHash?: string;
}

export interface EchOptions {
  readonly enabled: boolean;
  /** The name that an observer sees instead of the site's (ech-server §11). */
  readonly publicName: string;
  /** policy §8.2. */
  readonly strictOuterSni: boolean;
  /** ech-server §6: makes a rejected offer look like an accepted one where an HRR is sent. Some old clients err on it. */
  readonly greaseHelloRetry: boolean;
}

export interface SiteOptions {
  /** Lower-case A-labels; `*` only as the whole left-most label. */
  readonly names: readonly string[];
  /** The operator's own certificates; empty: the local CA issues one. */
  readonly certificates: readonly CertificateFiles[];
  /** Without another one in the file: the welcome page. */
  readonly handler: HandlerSpec;
  /** policy §8.7. */
  readonly requireEch: boolean;
  readonly clientAuth: ClientAuthOptions | undefined;
  /** Undefined: what the handler speaks. Empty: the client's extension is ignored. */
  readonly alpn: readonly string[] | undefined;
  /** Best first. */
  readonly groups: readonly NamedGroup[];
  /** False: its names need not be hidden. */
  readonly ech: boolean;
  readonly automation: AutomationOptions;
  /** Undefined: the defaults. */
  readonly hosts: HostRules | undefined;
}

/** What is left of automatic HTTPS (policy §1.3); redirects are among the HostRules. */
export interface AutomationOptions {
  /** No certificate is issued: for any name, or not for these. */
  readonly noCertificates: true | readonly string[];
  /** Certificates are issued also where files cover the names. */
  readonly ignoreLoaded: boolean;
}

/** Two PEM files: chain (leaf first) and private key. */
export interface CertificateFiles {
  readonly certificate: string;
  /** A path, or `env:NAME` for the PEM text in an environment variable. */
  readonly key: string;
}

export interface ClientAuthOptions {
  readonly mode: ClientAuth["mode"];
  /** PEM files with the CAs that clients' certificates must come from. */
  readonly ca: readonly string[];
}

/** More processes than any machine has cores for are a mistake. */
export const MAX_WORKERS = 256;

/** policy §5: the best first. */
export const DEFAULT_GROUPS = [0x11ec, 0x001d, 0x0017, 0x0018] as const satisfies NamedGroup[];

/** Under .localhost (RFC 6761): nobody else can own it, and no public CA is asked for it. */
export const DEFAULT_PUBLIC_NAME = "cover.localhost";

/** What serves when nothing is configured (policy §1.5): the welcome page on localhost. */
export const DEFAULT_SITE: SiteOptions = {
  names: ["localhost"],
  certificates: [],
  handler: { kind: "app", app: "welcome" },
  requireEch: false,
  clientAuth: undefined,
  alpn: undefined,
  groups: DEFAULT_GROUPS,
  ech: true,
  automation: { noCertificates: [], ignoreLoaded: false },
  hosts: undefined,
};

export const DEFAULT_CONFIG: Config = {
  file: undefined,
  listen: undefined,
  httpsPort: undefined,
  httpPort: undefined,
  redirects: true,
  user: undefined,
  defaultSni: undefined,
  fallbackSni: undefined,
  ech: {
    enabled: true,
    publicName: DEFAULT_PUBLIC_NAME,
    strictOuterSni: false,
    greaseHelloRetry: false,
  },
  sites: [DEFAULT_SITE],
  workers: 1,
  installTrust: true,
  cryptoProvider: undefined,
  openssl: undefined,
  ipsecMb: undefined,
  slowSignatures: "thread",
  logNames: false,
  logLevel: "info",
  limits: {},
  warnings: [],
};
