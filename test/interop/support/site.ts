/**
 * The configuration that the interop tests share: one server with a site for each thing that a client may want.
 * @module
 */
import { KEY_KINDS, type Pair } from "./certificates.ts";
import { type ClientCertificates, interopCertificates } from "./fixtures.ts";
import { AUTH_MODES, authName, greeting, nameFor } from "./names.ts";
import { type RunningServer, type ServerOptions, startServer } from "./server.ts";

export interface InteropServer extends RunningServer {
  /** PEM of the test CA that issued the certificates of every site but localhost. */
  readonly caFile: string;
  readonly clients: ClientCertificates;
}

export const LARGE_BYTES = 1_000_000;

/** Starts a server with every site. Stop it when done. */
export async function startInteropServer(
  options: Omit<ServerOptions, "toml"> = {},
): Promise<InteropServer> {
  const { caFile, kinds, shared, several, clients } = interopCertificates();
  const site = (name: string, pairs: readonly Pair[], extra: string = "") =>
    `[[site]]\nnames = ["${name}"]\nrespond = "${greeting(name)}"\n` +
    `certificate = ${JSON.stringify(pairs.map((pair) => pair.certificate))}\n` +
    `key = ${JSON.stringify(pairs.map((pair) => pair.key))}\n${extra}\n`;
  const toml = [
    `[ech]\npublic_name = "cover.localhost"\n`,
    ...KEY_KINDS.map((kind) => site(nameFor(kind), [kinds[kind]])),
    site("several.test", several),
    site("a.test", [shared]),
    site("b.test", [shared]),
    site("*.wild.test", [shared]),
    site("no-alpn.test", [shared], "alpn = []"),
    site("only-p384.test", [shared], `groups = ["secp384r1"]`),
    ...AUTH_MODES.map((mode) =>
      site(authName(mode), [shared], `client_auth = { mode = "${mode}", ca = ["${caFile}"] }`)
    ),
    `[[site]]\nnames = ["large.test"]\nrespond = "${"0123456789".repeat(LARGE_BYTES / 10)}"\n` +
    `certificate = "${shared.certificate}"\nkey = "${shared.key}"\n`,
    `[[site]]\nnames = ["localhost", "second.localhost"]\n`,
  ].join("\n");
  const server = await startServer({ ...options, toml });
  return { ...server, caFile, clients };
}
