/** Files that people have, as openssl makes them, where others are wanted. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { loadCertificateFiles, readText } from "../../../src/control/certificates/files.ts";
import { chooseCrypto } from "../../../src/crypto/choose.ts";
import { clientPoolFromPem } from "../../../src/x509/chain.ts";

const crypto = chooseCrypto();
let folder: string;
const at = (name: string) => join(folder, name);
const read = (name: string) => readFileSync(at(name), "utf8");
const openssl = (command: string) =>
  void execFileSync("openssl", command.split(" "), { cwd: folder, stdio: "pipe" });

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "sotto-not-pem-"));
  openssl(
    "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=a " +
      "-addext subjectAltName=DNS:a.test -keyout a.key -out a.crt",
  );
  openssl("x509 -in a.crt -outform DER -out a.cer");
  openssl("x509 -in a.crt -trustout -out trusted.crt");
  openssl("pkey -in a.key -outform DER -out pkcs8.der");
  openssl("ec -in a.key -outform DER -out sec1.der");
  openssl("genrsa -traditional -out rsa.key 2048");
  openssl("rsa -in rsa.key -traditional -outform DER -out pkcs1.der");
  openssl("pkey -in a.key -pubout -out public.pem");
  openssl("pkey -in a.key -pubout -outform DER -out public.der");
  openssl("pkcs8 -topk8 -in a.key -passout pass:x -out encrypted.key");
  openssl("pkcs8 -topk8 -in a.key -passout pass:x -outform DER -out encrypted.der");
  openssl("ec -in a.key -aes128 -passout pass:x -out encrypted-sec1.key");
  openssl("pkcs12 -export -in a.crt -inkey a.key -passout pass:x -out a.p12");
  openssl("crl2pkcs7 -nocrl -certfile a.crt -outform DER -out a.p7b");
  openssl("crl2pkcs7 -nocrl -certfile a.crt -out a.p7.pem");
  openssl("req -new -key a.key -subj /CN=a -out a.csr");
  openssl("req -new -key a.key -subj /CN=a -outform DER -out csr.der");
  const lines = (name: string) => read(name).split("\n");
  const write = (name: string, rows: string[]) => writeFileSync(at(name), rows.join("\n"));
  write("cut.crt", lines("a.crt").slice(0, 5));
  write("lost-line.crt", lines("a.crt").toSpliced(3, 1));
  write("lost-line.key", lines("a.key").toSpliced(2, 1));
  write("changed.crt", lines("a.crt").with(2, "&" + lines("a.crt")[2]!.slice(1)));
  write("changed.key", lines("a.key").with(1, "&" + lines("a.key")[1]!.slice(1)));
  writeFileSync(at("utf16.crt"), "\ufeff" + read("a.crt"), "utf16le");
  writeFileSync(at("empty"), "");
});
afterAll(() => rmSync(folder, { recursive: true }));

const DER = "in DER, which is binary, accepted:";
const CONVERT = "Convert it with: openssl";
const AGAIN = "Copy the whole file again";

/** A message, and the command in it that makes what is wanted. */
test.for(
  [
    [
      "a.cer",
      `it is a certificate ${DER} certificates in PEM. ${CONVERT} x509 -inform DER -in FILE`,
    ],
    [
      "a.p7b",
      `a PKCS #7 bundle ${DER} certificates in PEM. ${CONVERT} pkcs7 -inform DER -print_certs`,
    ],
    ["a.p7.pem", `block, but "BEGIN PKCS7". ${CONVERT} pkcs7 -print_certs -in FILE -out NEW`],
    ["trusted.crt", `block, but "BEGIN TRUSTED CERTIFICATE". ${CONVERT} x509 -in FILE -out NEW`],
    [
      "a.p12",
      `it is a PKCS #12 store ${DER} certificates in PEM. ${CONVERT} pkcs12 -nodes -in FILE`,
    ],
    ["pkcs8.der", `it is a private key ${DER} certificates in PEM`],
    ["csr.der", `it is a request for a certificate ${DER} certificates in PEM`],
    ["a.csr", 'it holds no "BEGIN CERTIFICATE" block, but "BEGIN CERTIFICATE REQUEST"'],
    ["a.key", 'it holds no "BEGIN CERTIFICATE" block, but "BEGIN PRIVATE KEY"'],
    ["utf16.crt", "it is text in UTF-16. Convert it with: iconv -f UTF-16 -t UTF-8 FILE > NEW"],
    ["empty", "it is empty"],
    ["cut.crt", `"CERTIFICATE" in line 1 has no end, "-----END CERTIFICATE-----". ${AGAIN}`],
    ["changed.crt", `"CERTIFICATE" in line 1 is damaged: line 3 is not base64. ${AGAIN}`],
    ["lost-line.crt", "certificate 1 of 1: its PEM block is damaged: it has"],
  ] as const,
)("As a certificate, or a CA's: %s", async ([name, message]) => {
  const path = at(name);
  const files = { certificateFile: path, keyFile: at("a.key") };
  const error = await loadCertificateFiles(crypto, files, Date.now()).catch((it: Error) => it);
  expect(error).toMatchObject({ name: "X509Error", message: expect.stringContaining(message) });
  expect((error as Error).message).toMatch(
    new RegExp(`^Cannot (read the certificate file|use) ${path}: `),
  );
  await expect(readText(path, "CA").then(({ text }) => clientPoolFromPem(text))).rejects.toThrow(
    message,
  );
  const made = converted((error as Error).message, path);
  if (made !== undefined) {
    const { credential } = await loadCertificateFiles(
      crypto,
      { ...files, certificateFile: made },
      Date.now(),
    );
    expect(credential.names).toEqual(["a.test"]);
  }
});

test.for(
  [
    [
      "pkcs8.der",
      `it is a private key ${DER} a private key in PEM. ${CONVERT} pkey -inform DER -in`,
    ],
    [
      "sec1.der",
      `it is a private key ${DER} a private key in PEM. ${CONVERT} pkey -inform DER -in`,
    ],
    [
      "encrypted.der",
      `it is an encrypted private key ${DER} a private key in PEM. ${CONVERT} pkey`,
    ],
    ["a.p12", `it is a PKCS #12 store ${DER} a private key in PEM. ${CONVERT} pkcs12 -nodes -in`],
    [
      "pkcs1.der",
      `it is a private key ${DER} a private key in PEM. ${CONVERT} pkey -inform DER -in`,
    ],
    ["public.der", `it is a public key ${DER} a private key in PEM`],
    ["a.cer", `it is a certificate ${DER} a private key in PEM`],
    ["public.pem", 'it holds no "BEGIN PRIVATE KEY" block, but "BEGIN PUBLIC KEY"'],
    ["a.p7.pem", 'it holds no "BEGIN PRIVATE KEY" block, but "BEGIN PKCS7"'],
    ["encrypted.key", "the key is encrypted. Decrypt it with: openssl pkey -in FILE -out NEW"],
    ["encrypted-sec1.key", "the key is encrypted. Decrypt it with: openssl pkey -in FILE -out NEW"],
    ["changed.key", `"PRIVATE KEY" in line 1 is damaged: line 2 is not base64. ${AGAIN}`],
    ["lost-line.key", "its PEM block is damaged: it has"],
  ] as const,
)("As a key: %s", async ([name, message]) => {
  const path = at(name);
  const files = { certificateFile: at("a.crt"), keyFile: path };
  const error = await loadCertificateFiles(crypto, files, Date.now()).catch((it: Error) => it);
  expect(error).toMatchObject({ name: "X509Error", message: expect.stringContaining(message) });
  expect((error as Error).message).toMatch(new RegExp(`^Cannot (read the key file|use) ${path}: `));
  for (const line of read("a.key").split("\n").slice(1, -2)) {
    expect((error as Error).message).not.toContain(line.slice(1, 12));
  }
  const made = converted((error as Error).message, path);
  if (made !== undefined && name !== "pkcs1.der") {
    await loadCertificateFiles(crypto, { ...files, keyFile: made }, Date.now());
  }
});

/** What the command in a message makes of the file; undefined: there is none. */
function converted(message: string, path: string): string | undefined {
  const command = /openssl (.* -in FILE -out NEW)$/.exec(message)?.[1];
  if (command === undefined) return undefined;
  const made = `${path}.made`;
  const args = command.split(" ").map((word) => ({ FILE: path, NEW: made })[word] ?? word);
  // Asked for at a terminal; some of openssl's commands know nothing of it.
  if (/^(pkey|pkcs12) /.test(command)) args.push("-passin", "pass:x");
  execFileSync("openssl", args, { stdio: "pipe" });
  return made;
}
