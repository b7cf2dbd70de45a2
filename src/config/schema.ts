/**
 * The shape of sotto.toml. What a value must be stands beside it, in the words of the error message; what a key means
 * is said for editors (`schemaForEditors`).
 *
 * What spans several keys, or needs more than a look at one value, is in `check.ts`.
 *
 * @module
 */
import * as z from "zod/mini";

import { MAX_WORKERS } from "./config.ts";

const listOfTexts = (accepted: string) => z.array(z.string("text in quotes"), accepted);
const textOrList = (accepted: string) =>
  z.union([z.string(), z.array(z.string())], `${accepted}, or a list of those`);
const yesOrNo = () => z.optional(z.boolean("true or false"));
const text = (accepted: string) => z.optional(z.string(accepted));
const hostName = () => text('a host name in quotes, as in "www.example.com"');
const port = () => {
  const accepted = "a port from 0 to 65535 without quotes; 0 takes a free one";
  return z.optional(z.int(accepted).check(z.minimum(0, accepted), z.maximum(65535, accepted)));
};
const upstreams = () =>
  z.optional(textOrList('"host:port" as in "127.0.0.1:3000", or "unix:/path"'));

/** What `textOrList` lets through, as a list. */
export function listOf(value: string | readonly string[] | undefined): readonly string[] {
  if (value === undefined) return [];
  return typeof value === "string" ? [value] : value;
}

/** What an editor shows beside a key. */
function about<T extends z.ZodMiniType>(description: string, schema: T): T {
  z.globalRegistry.add(schema, { description });
  return schema;
}

export const clientAuthModes = [
  "request",
  "require",
  "verify_if_given",
  "require_and_verify",
] as const;

const clientAuth = z.strictObject(
  {
    mode: about(
      "What is asked of clients. Default: require_and_verify with ca, else require.",
      z.optional(z.enum(clientAuthModes, `one of ${clientAuthModes.join(", ")}`)),
    ),
    ca: about(
      "PEM files with the CAs that clients' certificates must come from, or with single certificates.",
      z.optional(textOrList("the path of a PEM file with CA certificates")),
    ),
  },
  'a table as in { mode = "require_and_verify", ca = ["clients.pem"] }',
);

/** What automatic HTTPS does for a site, or leaves (policy §1.3). */
export const autoHttpsModes = ["on", "off", "no_redirects", "no_certificates"] as const;
const autoHttpsAccepted = `one of ${
  autoHttpsModes.join(", ")
}, or a table as in { skip = ["a.example"] }`;

const autoHttpsTable = z.strictObject({
  off: about("Neither redirects nor certificates. Default: false.", yesOrNo()),
  no_redirects: about("No redirects from HTTP. Default: false.", yesOrNo()),
  no_certificates: about("Certificates are files alone. Default: false.", yesOrNo()),
  ignore_loaded: about(
    "The local CA issues certificates also for names that files cover. Default: false.",
    yesOrNo(),
  ),
  skip: about(
    "Names with neither redirect nor certificate.",
    z.optional(listOfTexts('a list of names as in ["a.example"]')),
  ),
  skip_certificates: about(
    "Names for which no certificate is issued.",
    z.optional(listOfTexts('a list of names as in ["a.example"]')),
  ),
}, autoHttpsAccepted);

const autoHttps = () =>
  z.optional(z.union([z.enum(autoHttpsModes), autoHttpsTable], autoHttpsAccepted));

const site = z.strictObject({
  names: about(
    "Host names, *.example.com for one label of any kind, and IP addresses.",
    listOfTexts('a list of host names as in ["example.com", "*.example.com"]').check(
      z.minLength(1, "at least one host name"),
    ),
  ),
  certificate: about(
    "PEM file, leaf certificate first; or a list of them. Without: the local CA issues one.",
    z.optional(textOrList("the path of a PEM file, leaf certificate first")),
  ),
  key: about(
    "PEM file with the private key, or env:NAME for the PEM text in an environment variable; as many as certificates.",
    z.optional(textOrList('the path of a PEM file with the private key, or "env:NAME"')),
  ),
  respond: about(
    "A text to answer every request with.",
    text("the text to answer with, in quotes"),
  ),
  redirect: about(
    "Where every request is sent: https://host keeps path and query, https://host/path does not.",
    text('a URL in quotes, as in "https://www.example.com"'),
  ),
  forward: about(
    "Decrypted bytes go on to this server, whatever they are; of several the one with the fewest connections.",
    upstreams(),
  ),
  passthrough: about(
    "Connections go on to this server as they came, TLS and all. The name is that of the outer hello.",
    upstreams(),
  ),
  proxy_protocol: about(
    "Send a PROXY protocol header of this version to the upstream first.",
    z.optional(z.union([z.literal(1), z.literal(2)], "1 or 2")),
  ),
  health_check: about(
    "Connect to each upstream this often to see whether it is there. Without: only real connections tell.",
    text('a time in quotes, as in "10s", "500ms" or "1m"'),
  ),
  ech: about(
    "false: its name need not be hidden, and is left out of what ECH adapts to. Default: true.",
    yesOrNo(),
  ),
  require_ech: about("Serve only who comes with ECH; others find no such name.", yesOrNo()),
  client_auth: about("Ask clients for a certificate.", z.optional(clientAuth)),
  alpn: about(
    "Protocols for ALPN, best first; [] ignores what the client lists.",
    z.optional(listOfTexts('a list of protocols as in ["http/1.1"]')),
  ),
  groups: about(
    "Key exchange, best first.",
    z.optional(
      listOfTexts('a list of groups, best first, as in ["X25519MLKEM768", "x25519"]').check(
        z.minLength(1, "at least one group"),
      ),
    ),
  ),
  issuer: about(
    "local: sotto's own CA. Public ones are not built yet.",
    z.optional(z.literal("local", '"local": no other CA is asked for certificates yet')),
  ),
  group: about(
    "Sites of one group may be asked for over each other's connections.",
    text("the name of a group in quotes"),
  ),
  auto_https: about("As at the top, for this site.", autoHttps()),
}, "a table that begins with [[site]]");

const ech = z.strictObject({
  public_name: about(
    "The name that clients show to the network.",
    text('a host name in quotes, as in "cloud.example.net"'),
  ),
  enabled: about("Encrypted Client Hello. Default: true.", yesOrNo()),
  strict_outer_sni: about(
    "Refuse an accepted ECH whose outer name is not the public name. Default: false.",
    yesOrNo(),
  ),
  grease_hello_retry: about(
    "Make HelloRetryRequests look alike whether ECH was accepted or not; old NSS errs on it. Default: false.",
    yesOrNo(),
  ),
}, "a table that begins with [ech]");

/** Where signatures are made that take milliseconds. */
export const slowSignatureModes = ["thread", "inline"] as const;

export const cryptoProviders = ["native", "openssl", "wasm", "noble"] as const;

const library = z.union(
  [z.literal(false), z.string().check(z.startsWith("/", "a path from / on, or false"))],
  "a path from / on, or false",
);

const crypto = z.strictObject({
  provider: about(
    "One provider for all it has, in place of the fastest for each purpose. SOTTO_CRYPTO goes before it.",
    z.optional(z.enum(cryptoProviders, `one of ${cryptoProviders.join(", ")}`)),
  ),
  openssl: about(
    "Another libcrypto.so.3 than the system's, or false: none is called. SOTTO_OPENSSL (a path, or off) goes before it.",
    z.optional(library),
  ),
  ipsec_mb: about(
    "Another libIPSec_MB than the system's, or false: none is called. SOTTO_IPSEC_MB (a path, or off) goes before it.",
    z.optional(library),
  ),
  slow_signatures: about(
    "Where RSA signatures are made: on a thread of their own, or where connections are served. Default: thread.",
    z.optional(z.enum(slowSignatureModes, `one of ${slowSignatureModes.join(", ")}`)),
  ),
}, "a table that begins with [crypto]");

const limits = z.record(
  z.string(),
  z.union([z.number(), z.boolean()], "a number, true or false"),
  "a table that begins with [limits]",
);

export const sniHostModes = ["match", "covered", "any"] as const;
export const logLevels = ["debug", "info", "warn", "error"] as const;

const workers = () => {
  const accepted = `a number from 1 to ${MAX_WORKERS} without quotes, or "auto"`;
  const number = z.int().check(z.minimum(1, accepted), z.maximum(MAX_WORKERS, accepted));
  return z.optional(z.union([number, z.literal("auto")], accepted));
};

export const schema = z.strictObject({
  listen: about(
    "IP addresses to listen on. Default: all.",
    z.optional(
      listOfTexts('a list of IP addresses as in ["0.0.0.0", "::"]').check(
        z.minLength(1, "at least one IP address"),
      ),
    ),
  ),
  https_port: about("Default: 443.", port()),
  http_port: about("Of the redirect to HTTPS. Default: 80.", port()),
  auto_https: about(
    "no_redirects: nothing listens for HTTP. off: nor is any certificate issued. Default: on.",
    autoHttps(),
  ),
  user: about(
    "Who to be once the ports are bound; for a start as root.",
    text('the name of a user in quotes, as in "sotto"'),
  ),
  workers: about(
    'Processes that serve on one port; "auto": one for each core. Default: 1.',
    workers(),
  ),
  default_sni: about("The name to serve where a hello has none.", hostName()),
  fallback_sni: about("The name to serve where a hello has an unknown one.", hostName()),
  sni_host: about(
    "Which hosts a connection may ask for beside its own: none, those that its certificate covers, any. Default: covered.",
    z.optional(z.enum(sniHostModes, `one of ${sniHostModes.join(", ")}`)),
  ),
  log_names: about(
    "Let the log name the sites that clients hide with ECH. Default: false.",
    yesOrNo(),
  ),
  log_level: about(
    "The least that is logged. Default: info.",
    z.optional(z.enum(logLevels, `one of ${logLevels.join(", ")}`)),
  ),
  install_trust: about(
    "On a terminal, try once to have this machine trust the local CA's root. Default: true.",
    yesOrNo(),
  ),
  ech: about("Encrypted Client Hello (RFC 9849).", z.optional(ech)),
  crypto: about("How sotto computes.", z.optional(crypto)),
  limits: about("Any limit that `validate --limits` prints.", z.optional(limits)),
  site: about(
    "What is served, by name. Without: a page about the visitor's connection, on localhost.",
    z.optional(z.array(site, "tables that begin with [[site]], with two brackets")),
  ),
}, "a TOML document");

export type Document = z.infer<typeof schema>;
export type LogLevel = (typeof logLevels)[number];
export type CryptoProvider = (typeof cryptoProviders)[number];
export type SiteTable = z.infer<typeof site>;

/** The keys that a table takes, by its place: "" is the top, "site.client_auth" stands for every site's. */
export const KEYS: Readonly<Record<string, readonly string[]>> = {
  "": Object.keys(schema.def.shape),
  ech: Object.keys(ech.def.shape),
  crypto: Object.keys(crypto.def.shape),
  site: Object.keys(site.def.shape),
  "site.client_auth": Object.keys(clientAuth.def.shape),
  auto_https: Object.keys(autoHttpsTable.def.shape),
  "site.auto_https": Object.keys(autoHttpsTable.def.shape),
};

/** JSON Schema, for editors that complete and check TOML by it. */
export function schemaForEditors(limitNames: readonly string[]): Record<string, unknown> {
  const whole = z.toJSONSchema(schema, { io: "input" });
  const properties = whole.properties as Record<string, Record<string, unknown>>;
  properties.limits = {
    description: properties.limits!.description,
    type: "object",
    properties: Object.fromEntries(
      limitNames.map((name) => [name, { type: ["number", "boolean"] }]),
    ),
    additionalProperties: false,
  };
  return { ...whole, title: "sotto.toml" };
}
