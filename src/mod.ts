/**
 * The library: `serve()` in place of `Bun.serve` or `Deno.serve`, with HTTPS and Encrypted Client Hello.
 *
 * ```ts
 * const server = await serve({ app, names: ["localhost"], port: 8443 });
 * ```
 *
 * Gaps that are known: certificates come from files or from a local CA, not from ACME; ECH keys are neither published
 * nor rotated; HTTP/1.1 only; TLS 1.3 only.
 *
 * @module
 */
import process from "node:process";

import { findDataFolder } from "./cli/data-folder.ts";
import { check } from "./config/check.ts";
import { type Config, DEFAULT_CONFIG, DEFAULT_SITE } from "./config/config.ts";
import { ConfigError } from "./config/error.ts";
import type { App } from "./edge/handlers/app.ts";
import { type Log, SILENT } from "./edge/log.ts";
import { type Running, start } from "./start.ts";

export type { Config, SiteOptions } from "./config/config.ts";
export { ConfigError } from "./config/error.ts";
export { loadConfig } from "./config/load.ts";
export { BindError } from "./edge/bind.ts";
export type { App } from "./edge/handlers/app.ts";
export type { ConnectionFacts } from "./edge/handlers/handler.ts";
export type { Log } from "./edge/log.ts";

export interface ServeOptions {
  /** Anything with a `fetch`, such as a hono app; it gets the connection's facts as its second argument, hono's env. */
  readonly app?: { readonly fetch: App };
  /** The same as a bare function. */
  readonly fetch?: App;
  /** Host names to serve; default: localhost. */
  readonly names?: readonly string[];
  /** PEM files; default: the local CA issues a certificate. */
  readonly certificate?: string;
  readonly key?: string;
  /** Of HTTPS; 0 takes a free one. Default: 443. */
  readonly port?: number;
  /** Of the redirect to it; 0 takes a free one. Default: none. */
  readonly httpPort?: number;
  /** IP addresses; default: 127.0.0.1 and ::1. */
  readonly listen?: readonly string[];
  readonly ech?: { readonly publicName?: string; readonly enabled?: boolean };
  /** Where keys and certificates are kept; default as for the program. */
  readonly data?: string;
  /** Default: silent. */
  readonly log?: Log;
}

export interface Server {
  /** `127.0.0.1:8443`, `[::1]:8443` */
  readonly https: readonly string[];
  readonly http: readonly string[];
  readonly port: number;
  /** Of the first name. */
  readonly url: string;
  /** Path of the local CA's root certificate, PEM. */
  readonly root: string;
  /** Undefined: ECH is off. `configList` is the ECHConfigList in base64. */
  readonly ech: { readonly publicName: string; readonly configList: string } | undefined;
  /** Resolves when the open connections have ended, or have had their time. */
  stop(): Promise<void>;
}

/**
 * Serves an app, from this process alone: an app is a function, which gets into no other process. For several processes
 * on one port put sotto's own program in front, with `workers` and `forward`.
 *
 * @throws {TypeError} `workers` is given
 * @throws {TypeError} neither `app` nor `fetch`, or both
 * @throws {ConfigError} a name, a certificate without key, or a public name that is not accepted
 * @throws {BindError} a port cannot be had; the message says what to do
 */
export async function serve(options: ServeOptions): Promise<Server> {
  const { app, fetch = app?.fetch } = options;
  if (fetch === undefined || (app !== undefined && options.fetch !== undefined)) {
    throw new TypeError("Cannot serve: either app or fetch is wanted");
  }
  if ("workers" in options) {
    throw new TypeError("Cannot serve an app from several processes: leave workers out");
  }
  const config = configOf(options);
  const addresses = options.listen ?? ["127.0.0.1", "::1"];
  const { httpPort, port = 443 } = options;
  const running = await start({
    config,
    dataFolder: findDataFolder(options.data, process.env, process.cwd()).path,
    https: { addresses, ports: [port], option: "port" },
    http: httpPort === undefined ? undefined : { addresses, ports: [httpPort], option: "httpPort" },
    apps: { [APP]: (request, facts) => fetch(request, facts) },
    log: options.log ?? SILENT,
  });
  return serverOf(running, config);
}

const APP = "app";

/** Through the same checks as a file. */
function configOf({ names, certificate, key, ech = {} }: ServeOptions): Config {
  const { enabled, publicName } = { ...DEFAULT_CONFIG.ech, ...ech };
  const site = { names: [...names ?? DEFAULT_SITE.names], certificate, key };
  const document = { ech: { enabled, public_name: publicName }, site: [site] };
  const { config, problems } = check(document, "serve()", process.cwd());
  if (problems.length > 0) throw new ConfigError("serve()", problems);
  const handler = { kind: "app", app: APP } as const;
  return { ...config, sites: config.sites.map((checked) => ({ ...checked, handler })) };
}

function serverOf(running: Running, config: Config): Server {
  const { https, http, ech } = running;
  const port = Number(https[0]!.replace(/^.*:/, ""));
  const name = config.sites[0]!.names[0]!;
  const host = name.includes(":") ? `[${name}]` : name;
  return {
    https,
    http,
    port,
    url: port === 443 ? `https://${host}/` : `https://${host}:${port}/`,
    get root() {
      return running.root;
    },
    ech,
    stop: () => running.stop(),
  };
}
