/**
 * Certificates of every kind that sotto serves, made by OpenSSL so that both ends do not share a mistake.
 * @module
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { must, words } from "./run.ts";

/** Paths of PEM files. */
export interface Pair {
  readonly certificate: string;
  readonly key: string;
}

/** How OpenSSL makes the key of each kind. */
const KEY_ARGUMENTS = {
  "ecdsa-p256": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
  "ecdsa-p384": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
  "rsa-2048": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
  "rsa-3072": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"],
  "rsa-4096": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:4096"],
  "rsa-pss": ["-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"],
  "ed25519": ["-algorithm", "ED25519"],
} as const satisfies Record<string, readonly string[]>;

export type KeyKind = keyof typeof KEY_ARGUMENTS;
export const KEY_KINDS = Object.keys(KEY_ARGUMENTS) as KeyKind[];

export class Authority {
  readonly #folder: string;
  readonly root: Pair;
  #serial = 1;

  private constructor(folder: string, root: Pair) {
    this.#folder = folder;
    this.root = root;
  }

  static async create(folder: string, name: string): Promise<Authority> {
    mkdirSync(folder, { recursive: true });
    const root = { certificate: join(folder, `${name}.crt`), key: join(folder, `${name}.key`) };
    await makeKey("ecdsa-p256", root.key);
    await must(
      "openssl",
      words`req -x509 -new -key ${root.key} -subj /CN=${name} -days 30
      -addext basicConstraints=critical,CA:TRUE
      -addext keyUsage=critical,keyCertSign,cRLSign -out ${root.certificate}`,
    );
    return new Authority(folder, root);
  }

  /**
   * A certificate for the names (none: a client's).
   *
   * @param file its files' name without ending
   * @param days may be negative: it has expired
   */
  async issue(
    file: string,
    kind: KeyKind,
    names: readonly string[],
    days: number = 20,
  ): Promise<Pair> {
    const path = (ending: string) => join(this.#folder, `${file}.${ending}`);
    const pair = { certificate: path("crt"), key: path("key") };
    await makeKey(kind, pair.key);
    const forServer = names.length > 0;
    writeFileSync(
      path("ext"),
      "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n" +
        `extendedKeyUsage=${forServer ? "serverAuth" : "clientAuth"}\n` +
        "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n" +
        (forServer ? `subjectAltName=${names.map((name) => `DNS:${name}`).join(",")}\n` : ""),
    );
    await must("openssl", words`req -new -key ${pair.key} -subj /CN=${file} -out ${path("csr")}`);
    await must(
      "openssl",
      words`x509 -req -in ${path("csr")} -CA ${this.root.certificate}
      -CAkey ${this.root.key} -set_serial ${this.#serial++}
      -days ${days} -extfile ${path("ext")} -out ${pair.certificate}`,
    );
    return pair;
  }
}

async function makeKey(kind: KeyKind, file: string): Promise<void> {
  await must("openssl", ["genpkey", ...KEY_ARGUMENTS[kind], "-out", file]);
}
