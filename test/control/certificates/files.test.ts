import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { loadCertificateFiles } from "../../../src/control/certificates/files.ts";
import { chooseCrypto } from "../../../src/crypto/choose.ts";
import { DAY, make, NOW } from "../../x509/make.ts";

const crypto = chooseCrypto();
const names = [{ type: "dns", value: "a.test" }] as const;

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "sotto-files-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function file(name: string, content: string, mode: number = 0o600): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, content);
  await chmod(path, mode);
  return path;
}

test("a pair of files becomes the operator's credential, without a warning", async () => {
  const made = await make({ names });
  const certificateFile = await file("c.pem", made.pem, 0o644);
  const keyFile = await file("k.pem", made.keyPem);
  const { credential, warnings } = await loadCertificateFiles(
    crypto,
    { certificateFile, keyFile },
    NOW,
  );
  expect(credential).toMatchObject({ names: ["a.test"], origin: "operator", id: certificateFile });
  expect(warnings).toEqual([]);
});

test("both may lie in one file", async () => {
  const made = await make({ names });
  const path = await file("both.pem", made.keyPem + made.pem);
  const loaded = await loadCertificateFiles(crypto, { certificateFile: path, keyFile: path }, NOW);
  expect(loaded.credential.names).toEqual(["a.test"]);
});

test("design 12: an open key, a past or future certificate, and one without names are used with a warning", async () => {
  const made = await make();
  const certificateFile = await file("c.pem", made.pem);
  const keyFile = await file("k.pem", made.keyPem, 0o644);
  const warningsAt = async (nowMs: number): Promise<readonly string[]> =>
    (await loadCertificateFiles(crypto, { certificateFile, keyFile }, nowMs)).warnings;
  const always = [
    `The key in ${keyFile} is open to others on this machine (mode 0644). Run: chmod 600 ${keyFile}`,
    `The certificate in ${certificateFile} has no subjectAltName: clients will refuse it`,
  ];
  expect(await warningsAt(NOW)).toEqual(always);
  expect(await warningsAt(NOW + 31 * DAY)).toEqual([
    ...always,
    `The certificate in ${certificateFile} expired at 2026-07-01T00:00:00.000Z`,
  ]);
  expect(await warningsAt(NOW - 2 * DAY)).toEqual([
    ...always,
    `The certificate in ${certificateFile} is not valid before 2026-05-31T00:00:00.000Z`,
  ]);
});

test("what is wrong is told with the file's name", async () => {
  const made = await make({ names });
  const other = await make({ names });
  const certificateFile = await file("c.pem", made.pem);
  const keyFile = await file("k.pem", other.keyPem);
  const load = (files: { certificateFile: string; keyFile: string }) =>
    loadCertificateFiles(crypto, files, NOW);
  const none = join(folder, "none.pem");
  await expect(load({ certificateFile: none, keyFile })).rejects.toThrow(
    `Cannot read the certificate file ${none}: there is no such file`,
  );
  await expect(load({ certificateFile, keyFile: folder })).rejects.toThrow(
    `Cannot read the key file ${folder}: it is a folder`,
  );
  const inFile = join(certificateFile, "x");
  await expect(load({ certificateFile, keyFile: inFile })).rejects.toThrow(
    `Cannot read the key file ${inFile}: there is no such file: what should be its folder is a file`,
  );
  await expect(load({ certificateFile, keyFile })).rejects.toThrow(
    `The key in ${keyFile} does not belong to the certificate in ${certificateFile}`,
  );
  await expect(load({ certificateFile, keyFile: certificateFile })).rejects.toThrow(
    `Cannot use ${certificateFile}: it holds no "BEGIN PRIVATE KEY" block`,
  );
});
