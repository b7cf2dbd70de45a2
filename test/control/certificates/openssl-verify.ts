/**
 * OpenSSL's opinion of certificates, and certificates of its making.
 * @module
 */
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface Verification {
  /** What the client trusts. */
  readonly rootPem: string;
  /** What the server sends, leaf first. */
  readonly chainPem: string;
  /** A host name or an IP address. */
  readonly name: string;
  readonly nowMs: number;
}

/** "…: OK"; throws with OpenSSL's words where it refuses. @param folder for its files */
export function verifyWithOpenssl(folder: string, of: Verification): string {
  const file = (name: string, content: string): string => {
    writeFileSync(join(folder, name), content);
    return join(folder, name);
  };
  const root = file("root.pem", of.rootPem);
  const chain = file("chain.pem", of.chainPem);
  const what = /[:]|^[0-9.]+$/.test(of.name) ? "-verify_ip" : "-verify_hostname";
  const time = String(Math.floor(of.nowMs / 1000));
  const options = ["-x509_strict", "-purpose", "sslserver", "-attime", time, what, of.name];
  const files = ["-CAfile", root, "-no-CApath", "-no-CAstore", "-untrusted", chain, chain];
  return execFileSync("openssl", ["verify", ...options, ...files], {
    encoding: "utf8",
    stdio: "pipe",
  });
}

/** A root as Caddy makes it: one level of CAs below it, and a key in SEC 1. Valid from now on. */
export function importedRoot(folder: string, days: number): { crt: string; key: string } {
  const [key, crt] = [join(folder, "imported.key"), join(folder, "imported.crt")];
  execFileSync("openssl", ["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key]);
  const extensions = [
    "basicConstraints=critical,CA:TRUE,pathlen:1",
    "keyUsage=critical,keyCertSign",
  ];
  const subject = ["-subj", "/CN=Caddy Local Authority - 2026 ECC Root"];
  const options = extensions.flatMap((extension) => ["-addext", extension]);
  execFileSync(
    "openssl",
    ["req", "-x509", "-new", "-key", key, "-out", crt, "-days", `${days}`, ...subject, ...options],
    { stdio: "pipe" },
  );
  return { crt: readFileSync(crt, "utf8"), key: readFileSync(key, "utf8") };
}
