/**
 * The configuration that all interop tests share: one server with a site for each thing that a client may want.
 * @module
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Authority, KEY_KINDS, type KeyKind, type Pair } from "./certificates.ts";
import { type RunningServer, type ServerOptions, startServer } from "./server.ts";

export interface InteropServer extends RunningServer {
  /** PEM of the test CA that issued every certificate of `sites()`. */
  readonly caFile: string;
  readonly clients: ClientCertificates;
}

export interface ClientCertificates {
  readonly good: Pair;
  readonly expired: Pair;
  /** Its CA is not the one that the sites name. */
  readonly foreign: Pair;
  /** Good ones. */
  readonly byKind: ReadonlyMap<KeyKind, Pair>;
}

export const AUTH_MODES = ["request", "require", "verify_if_given", "require_and_verify"] as const;

/** The site's name for a kind of key. */
export const nameFor = (kind: KeyKind): string => `${kind}.test`;
/** … for a mode of client authentication. */
export const authName = (mode: typeof AUTH_MODES[number]): string =>
  `${mode.replaceAll("_", "-")}.test`;

/** What `respond` says on the site of that name. */
export const greeting = (name: string): string => `hello from ${name}!`;

export const LARGE_BYTES = 1_000_000;

/** Starts a server with every site. Stop it when done. */
export async function startInteropServer(
  options: Partial<ServerOptions> & { extraToml?: string } = {},
): Promise<InteropServer> {
  const folder = mkdtempSync(join(tmpdir(), "sotto-interop-"));
  try {
    const authority = await Authority.create(folder, "test-ca");
    const foreignAuthority = await Authority.create(folder, "foreign-ca");
    const byKind = new Map<KeyKind, Pair>();
    for (const kind of KEY_KINDS) {
      byKind.set(kind, await authority.issue(kind, kind, [nameFor(kind)]));
    }
    const shared = await authority.issue("shared", "ecdsa-p256", [
      ...["a", "b", "no-alpn", "only-p384", "large"].map((label) => `${label}.test`),
      ...AUTH_MODES.map(authName),
      "*.wild.test",
    ]);
    const several = ["ecdsa-p256", "rsa-2048", "ed25519"] as const;
    const severalPairs: Pair[] = [];
    for (const kind of several) {
      severalPairs.push(await authority.issue(`several-${kind}`, kind, ["several.test"]));
    }
    const clientsByKind = new Map<KeyKind, Pair>();
    for (const kind of KEY_KINDS) {
      clientsByKind.set(kind, await authority.issue(`client-${kind}`, kind, []));
    }
    const clients = {
      byKind: clientsByKind,
      good: await authority.issue("client-good", "ecdsa-p256", []),
      expired: await authority.issue("client-expired", "ecdsa-p256", [], -1),
      foreign: await foreignAuthority.issue("client-foreign", "ecdsa-p256", []),
    };

    const caFile = authority.root.certificate;
    const site = (name: string, pairs: readonly Pair[], extra: string = "") =>
      `[[site]]\nnames = ["${name}"]\nrespond = "${greeting(name)}"\n` +
      `certificate = ${JSON.stringify(pairs.map((pair) => pair.certificate))}\n` +
      `key = ${JSON.stringify(pairs.map((pair) => pair.key))}\n${extra}\n`;
    const toml = [
      options.extraToml ?? "",
      `[ech]\npublic_name = "cover.localhost"\n`,
      ...KEY_KINDS.map((kind) => site(nameFor(kind), [byKind.get(kind)!])),
      site("several.test", severalPairs),
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
    const server = await startServer({ ...options, toml, folder });
    return {
      ...server,
      caFile,
      clients,
      async stop() {
        await server.stop();
        rmSync(folder, { recursive: true, force: true });
      },
    };
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}
