/**
 * The shape of sotto.toml. What a value must be stands beside it, in the words of the error message.
 *
 * What spans several keys, or needs more than a look at one value, is in `check.ts`.
 *
 * @module
 */
import * as z from "zod/mini";

const listOfTexts = (accepted: string) => z.array(z.string("text in quotes"), accepted);
const textOrList = (accepted: string) =>
  z.union([z.string(), z.array(z.string())], `${accepted}, or a list of those`);

export const clientAuthModes = [
  "request",
  "require",
  "verify_if_given",
  "require_and_verify",
] as const;

const clientAuth = z.strictObject(
  {
    mode: z.optional(z.enum(clientAuthModes, `one of ${clientAuthModes.join(", ")}`)),
    ca: z.optional(textOrList("the path of a PEM file with CA certificates")),
  },
  'a table as in { mode = "require_and_verify", ca = ["clients.pem"] }',
);

const site = z.strictObject({
  names: listOfTexts('a list of host names as in ["example.com", "*.example.com"]').check(
    z.minLength(1, "at least one host name"),
  ),
  certificate: z.optional(textOrList("the path of a PEM file, leaf certificate first")),
  key: z.optional(textOrList("the path of a PEM file with the private key")),
  respond: z.optional(z.string("the text to answer with, in quotes")),
  client_auth: z.optional(clientAuth),
  alpn: z.optional(listOfTexts('a list of protocols as in ["http/1.1"]')),
  groups: z.optional(
    listOfTexts('a list of groups, best first, as in ["X25519MLKEM768", "x25519"]').check(
      z.minLength(1, "at least one group"),
    ),
  ),
}, "a table that begins with [[site]]");

const ech = z.strictObject({
  public_name: z.optional(z.string('a host name in quotes, as in "cloud.example.net"')),
  enabled: z.optional(z.boolean("true or false")),
}, "a table that begins with [ech]");

const limits = z.record(
  z.string(),
  z.union([z.number(), z.boolean()], "a number, true or false"),
  "a table that begins with [limits]",
);

export const schema = z.strictObject({
  install_trust: z.optional(z.boolean("true or false")),
  ech: z.optional(ech),
  limits: z.optional(limits),
  site: z.optional(z.array(site, "tables that begin with [[site]], with two brackets")),
}, "a TOML document");

export type Document = z.infer<typeof schema>;
export type SiteTable = z.infer<typeof site>;

/** The keys that a table takes, by its place: "" is the top, "site.client_auth" stands for every site's. */
export const KEYS: Readonly<Record<string, readonly string[]>> = {
  "": Object.keys(schema.def.shape),
  ech: Object.keys(ech.def.shape),
  site: Object.keys(site.def.shape),
  "site.client_auth": Object.keys(clientAuth.def.shape),
};
