/**
 * The command line, read with node's own parser.
 * @module
 */
import { isIP } from "node:net";
import { parseArgs, type ParseArgsConfig } from "node:util";

import { MAX_WORKERS } from "../config/config.ts";
import { didYouMean, nearest } from "../config/nearest.ts";

export type Command =
  | ({ readonly name: "run" } & RunArguments)
  | ({ readonly name: "ech list" } & CommonArguments)
  | ({ readonly name: "validate"; readonly limits: boolean } & CommonArguments)
  | ({ readonly name: "trust" } & TrustArguments)
  | ({ readonly name: "untrust" } & UntrustArguments)
  | { readonly name: "root-cert"; readonly data: string | undefined }
  | ({ readonly name: "reload" } & CommonArguments)
  | { readonly name: "schema" }
  | { readonly name: "version" }
  | { readonly name: "help" };

export interface CommonArguments {
  /** As given; undefined: sotto.toml here, if there is one. */
  readonly config: string | undefined;
  /** As given; undefined: SOTTO_DATA or the default folder. */
  readonly data: string | undefined;
}

/** One site without a file. */
export interface SiteArguments {
  readonly names: readonly string[];
  /** As `forward` takes it; undefined: the page about the visitor's connection. */
  readonly to: string | undefined;
}

export interface RunArguments extends CommonArguments {
  /** In place of a configuration file; undefined: none was given. */
  readonly site: SiteArguments | undefined;
  /** IP addresses; empty: the default. */
  readonly listen: readonly string[];
  /** 0: a free one. Undefined: the default. */
  readonly httpPort: number | undefined;
  readonly httpsPort: number | undefined;
  readonly readyFile: string | undefined;
  readonly log: "pretty" | "json" | undefined;
  readonly keyLog: string | undefined;
  /** Processes that serve; undefined: what the configuration says. */
  readonly workers: number | "auto" | undefined;
  /** Follow the one that serves there now. */
  readonly takeover: boolean;
}

export interface TrustArguments extends Pick<CommonArguments, "data"> {
  /** Print what would be run, and do nothing. */
  readonly dryRun: boolean;
}

export interface UntrustArguments extends TrustArguments {
  /** A root certificate, PEM, where the data folder is gone; undefined: all roots in the data folder. */
  readonly certificate: string | undefined;
}

/** The command line is wrong; the message says how it would be right. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

export const USAGE = `sotto: a TLS terminator that hides which of your sites is being visited

  edge.ts [run] [options]      serve
  edge.ts ech list [options]   print the ECHConfigList, in base64
  edge.ts validate [options]   check the configuration; --limits prints every limit
  edge.ts reload [options]     have the sotto that serves from this data folder take its configuration anew
  edge.ts schema               print the JSON Schema of sotto.toml, for editors
  edge.ts trust [options]      have this machine trust the local CA's root; --dry-run only says how
  edge.ts untrust [options]    have it forget that again; --cert FILE where the data folder is gone
  edge.ts root-cert [options]  print the local CA's root, PEM
  edge.ts version              print the version

  --config FILE        configuration (default: sotto.toml, if there is one)
  --data DIR           where keys and certificates are kept (default: SOTTO_DATA, else the user's data folder)

and for run:
  --domain NAME        a site without a file: a page about the visitor's connection; may be repeated
  --from NAME --to A   a site without a file whose bytes go on to A, host:port or unix:/path
  --listen ADDRESS     an IP address to listen on; may be repeated
  --https-port N       0 takes a free one (default: 443)
  --http-port N        0 takes a free one (default: 80)
  --workers N|auto     processes that serve on one port; auto: one for each core (default: 1)
  --ready-file FILE    written once it serves: addresses, root certificate, ECH, sites, in JSON
  --log pretty|json    form of the log (default: pretty on a terminal)
  --takeover           follow the sotto that serves there from the same data folder, without losing a connection
  --key-log FILE       write the secrets of every connection for a debugger: never in production
`;

const common = {
  config: { type: "string" },
  data: { type: "string" },
  help: { type: "boolean", short: "h" },
} as const satisfies ParseArgsConfig["options"];

const run = {
  ...common,
  domain: { type: "string", multiple: true },
  from: { type: "string", multiple: true },
  to: { type: "string" },
  listen: { type: "string", multiple: true },
  "http-port": { type: "string" },
  "https-port": { type: "string" },
  "ready-file": { type: "string" },
  log: { type: "string" },
  "key-log": { type: "string" },
  takeover: { type: "boolean" },
  workers: { type: "string" },
} as const satisfies ParseArgsConfig["options"];

const validate = { ...common, limits: { type: "boolean" } } as const;

const { data, help } = common;
const rootCert = { data, help } as const;
const trust = { ...rootCert, "dry-run": { type: "boolean" } } as const;
const untrust = { ...trust, cert: { type: "string" } } as const;

const COMMANDS = [
  "run",
  "ech list",
  "validate",
  "reload",
  "schema",
  "trust",
  "untrust",
  "root-cert",
  "version",
  "help",
];

/**
 * @param args what stands behind the program's name
 * @throws {UsageError}
 */
export function parseCommandLine(args: readonly string[]): Command {
  const words: string[] = [];
  while (words.length < 2 && /^[a-z]/.test(args[words.length] ?? "")) {
    words.push(args[words.length]!);
  }
  const [first = "run", second] = words;
  if (first === "ech") {
    if (second !== "list") throw new UsageError("ech wants a word behind it, accepted: list");
    const values = parse(args.slice(2), common);
    return values.help ? { name: "help" } : { name: "ech list", ...files(values) };
  }
  const rest = args.slice(words.length === 0 ? 0 : 1);
  switch (first) {
    case "run": {
      const values = parse(rest, run);
      return values.help ? { name: "help" } : { name: "run", ...runArguments(values) };
    }
    case "validate": {
      const values = parse(rest, validate);
      if (values.help) return { name: "help" };
      return { name: "validate", ...files(values), limits: values.limits ?? false };
    }
    case "reload": {
      const values = parse(rest, common);
      return values.help ? { name: "help" } : { name: "reload", ...files(values) };
    }
    case "schema":
      parse(rest, {});
      return { name: "schema" };
    case "trust": {
      const values = parse(rest, trust);
      return values.help ? { name: "help" } : { name: "trust", ...trustArguments(values) };
    }
    case "untrust": {
      const values = parse(rest, untrust);
      if (values.help) return { name: "help" };
      const certificate = given("cert", values.cert);
      return { name: "untrust", ...trustArguments(values), certificate };
    }
    case "root-cert": {
      const values = parse(rest, rootCert);
      if (values.help) return { name: "help" };
      return { name: "root-cert", data: given("data", values.data) };
    }
    case "version":
      parse(rest, {});
      return { name: "version" };
    case "help":
      return { name: "help" };
    default:
      throw new UsageError(
        `unknown command ${JSON.stringify(first)}, accepted: ${COMMANDS.join(", ")}` +
          didYouMean(first, COMMANDS),
      );
  }
}

function files(values: { config?: string; data?: string }): CommonArguments {
  return { config: given("config", values.config), data: given("data", values.data) };
}

function runArguments(values: ReturnType<typeof parse<typeof run>>): RunArguments {
  for (const address of values.listen ?? []) {
    if (isIP(address) === 0) {
      throw new UsageError(
        `--listen ${
          JSON.stringify(address)
        } is no IP address, accepted: as in 127.0.0.1, ::1, 0.0.0.0 or ::` +
          (address === "localhost" ? "; localhost is 127.0.0.1 and ::1" : ""),
      );
    }
  }
  const { log } = values;
  if (log !== undefined && log !== "pretty" && log !== "json") {
    throw new UsageError(`--log ${JSON.stringify(log)} is unknown, accepted: pretty, json`);
  }
  return {
    ...files(values),
    site: siteArguments(values),
    listen: values.listen ?? [],
    httpPort: port("http-port", values["http-port"]),
    httpsPort: port("https-port", values["https-port"]),
    readyFile: given("ready-file", values["ready-file"]),
    log,
    keyLog: given("key-log", values["key-log"]),
    takeover: values.takeover ?? false,
    workers: workers(values.workers),
  };
}

function siteArguments(
  { domain = [], from = [], to, config }: ReturnType<typeof parse<typeof run>>,
): SiteArguments | undefined {
  const [option, names] = domain.length > 0 ? ["--domain", domain] : ["--from", from];
  if (domain.length > 0 && (from.length > 0 || to !== undefined)) {
    throw new UsageError("--domain goes without --from and --to: it serves a page of its own");
  }
  if (from.length > 0 && to === undefined) {
    throw new UsageError(
      "--from wants --to beside it, as in --from example.com --to 127.0.0.1:3000",
    );
  }
  if (from.length === 0 && to !== undefined) {
    throw new UsageError(
      "--to wants --from beside it, as in --from example.com --to 127.0.0.1:3000",
    );
  }
  if (names.length === 0) return undefined;
  if (config !== undefined) {
    throw new UsageError(`${option} stands in place of a configuration file: leave --config out`);
  }
  return { names, to };
}

function trustArguments(values: ReturnType<typeof parse<typeof trust>>): TrustArguments {
  return { data: given("data", values.data), dryRun: values["dry-run"] ?? false };
}

function port(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = /^\d{1,5}$/.test(text) ? Number(text) : NaN;
  if (!(value <= 65535)) {
    throw new UsageError(`--${option} ${JSON.stringify(text)} is no port, accepted: 0 to 65535`);
  }
  return value;
}

function workers(text: string | undefined): number | "auto" | undefined {
  if (text === undefined || text === "auto") return text;
  const value = /^\d{1,3}$/.test(text) ? Number(text) : NaN;
  if (!(value >= 1 && value <= MAX_WORKERS)) {
    throw new UsageError(
      `--workers ${JSON.stringify(text)} is no number of processes, ` +
        `accepted: 1 to ${MAX_WORKERS}, or auto`,
    );
  }
  return value;
}

function given(option: string, text: string | undefined): string | undefined {
  if (text === "") throw new UsageError(`--${option} wants a path behind it`);
  return text;
}

function parse<const O extends NonNullable<ParseArgsConfig["options"]>>(
  args: readonly string[],
  options: O,
) {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: false, strict: true }).values;
  } catch (cause) {
    const known = Object.keys(options).map((name) => `--${name}`);
    throw new UsageError(optionProblem(args, known) ?? (cause as Error).message, { cause });
  }
}

/** What node's parser says at length, in a sentence; undefined where it is something else. */
function optionProblem(args: readonly string[], known: readonly string[]): string | undefined {
  for (const arg of args) {
    const name = arg.split("=")[0]!;
    if (name.startsWith("--") && !known.includes(name)) {
      const accepted = known.length === 0 ? "no options" : known.join(", ");
      return `unknown option ${name}, accepted: ${accepted}${didYouMeanOption(name, known)}`;
    }
  }
  return undefined;
}

/** By their words: dashes, which all have, bring nothing nearer. `--port` is not far from all that end in it. */
function didYouMeanOption(name: string, known: readonly string[]): string {
  const word = name.slice(2);
  const names = known.map((option) => option.slice(2));
  const whole = nearest(word, names);
  const part = whole ?? nearest(word, names.flatMap((option) => option.split("-")));
  const meant = names.filter((option) =>
    whole === undefined ? option.split("-").includes(part ?? "") : option === whole
  );
  if (meant.length === 0) return "";
  return `; did you mean ${meant.map((option) => `"--${option}"`).join(" or ")}?`;
}
