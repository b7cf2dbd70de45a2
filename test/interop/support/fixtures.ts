/**
 * The certificates of the interop tests: made once for a run, handed on as paths.
 * @module
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { Authority, KEY_KINDS, type KeyKind, type Pair } from "./certificates.ts";
import { AUTH_MODES, authName, nameFor } from "./names.ts";

export interface InteropCertificates {
  /** PEM of the CA that issued all but `clients.foreign`. */
  readonly caFile: string;
  /** For `nameFor(kind)`. */
  readonly kinds: Readonly<Record<KeyKind, Pair>>;
  /** For several.test. */
  readonly several: readonly Pair[];
  /** For every other site. */
  readonly shared: Pair;
  readonly clients: ClientCertificates;
}

export interface ClientCertificates {
  readonly good: Pair;
  readonly expired: Pair;
  /** Its CA is not the one that the sites name. */
  readonly foreign: Pair;
  /** Good ones. */
  readonly kinds: Readonly<Record<KeyKind, Pair>>;
}

/** Makes them, for `interopCertificates()` in this process and its children. */
export async function makeInteropCertificates(folder: string): Promise<void> {
  const authority = await Authority.create(folder, "test-ca");
  const foreignAuthority = await Authority.create(folder, "foreign-ca");
  const ofEachKind = async (file: string, names: (kind: KeyKind) => readonly string[]) =>
    Object.fromEntries(
      await Promise.all(
        KEY_KINDS.map(async (kind) =>
          [kind, await authority.issue(`${file}-${kind}`, kind, names(kind))] as const
        ),
      ),
    ) as Record<KeyKind, Pair>;
  const several: Pair[] = [];
  for (const kind of ["ecdsa-p256", "rsa-2048", "ed25519"] as const) {
    several.push(await authority.issue(`several-${kind}`, kind, ["several.test"]));
  }
  const certificates: InteropCertificates = {
    caFile: authority.root.certificate,
    kinds: await ofEachKind("site", (kind) => [nameFor(kind)]),
    several,
    shared: await authority.issue("shared", "ecdsa-p256", [
      ...["a", "b", "no-alpn", "only-p384", "large"].map((label) => `${label}.test`),
      ...AUTH_MODES.map(authName),
      "*.wild.test",
    ]),
    clients: {
      kinds: await ofEachKind("client", () => []),
      good: await authority.issue("client-good", "ecdsa-p256", []),
      expired: await authority.issue("client-expired", "ecdsa-p256", [], -1),
      foreign: await foreignAuthority.issue("client-foreign", "ecdsa-p256", []),
    },
  };
  const file = join(folder, "certificates.json");
  writeFileSync(file, JSON.stringify(certificates));
  process.env["SOTTO_INTEROP_CERTIFICATES"] = file;
}

export function interopCertificates(): InteropCertificates {
  const file = process.env["SOTTO_INTEROP_CERTIFICATES"];
  if (file === undefined) throw new Error("run the tests with their own vitest.config.ts");
  return JSON.parse(readFileSync(file, "utf8")) as InteropCertificates;
}
