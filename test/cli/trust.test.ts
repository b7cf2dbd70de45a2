import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { CommandError } from "../../src/cli/explain.ts";
import { rootCert } from "../../src/cli/root-cert.ts";
import { trust } from "../../src/cli/trust.ts";
import { untrust } from "../../src/cli/untrust.ts";
import { openLocalCa } from "../../src/control/certificates/local-ca.ts";
import { openFileStorage } from "../../src/control/storage/files.ts";
import { trustOnce } from "../../src/trust/trust.ts";
import { X509Error } from "../../src/x509/error.ts";
import { has, PROGRAMS, rootOn, type TestMachine, testMachine } from "../trust/support.ts";

let printed: string;
let warned: string;

beforeEach(() => {
  [printed, warned] = ["", ""];
  vi.spyOn(process.stdout, "write").mockImplementation((text) => (printed += String(text), true));
  vi.spyOn(process.stderr, "write").mockImplementation((text) => (warned += String(text), true));
});
afterEach(() => vi.restoreAllMocks());

/** A machine with one anchor folder. */
function machineWithAnchors(update = "true"): { machine: TestMachine; anchors: string } {
  const machine = testMachine();
  const anchors = join(machine.folder, "anchors");
  mkdirSync(anchors);
  return {
    machine: {
      ...machine,
      anchorFolders: [{ folder: anchors, extension: "crt", update: [update] }],
      find: (program) => Promise.resolve(program === update ? `/bin/${update}` : undefined),
    },
    anchors,
  };
}

test("trust says what it runs, does it, and untrust undoes it", async () => {
  const { machine, anchors } = machineWithAnchors();
  const { root, storage, data } = await rootOn(machine);
  const path = join(anchors, `${root.label}.crt`);
  await trust({ data, dryRun: true }, machine);
  expect(printed).toMatch(/root\.crt\n {2}SHA-256 ([0-9A-F]{2}:){31}[0-9A-F]{2}\n/);
  expect(printed).toContain(`  write ${path}\n  /bin/true\n`);
  expect(existsSync(path)).toBe(false);

  await trust({ data, dryRun: false }, machine);
  expect(printed).toContain(`trusted: system ${anchors}\n`);
  expect(readFileSync(path, "utf8")).toBe(root.pem);
  expect(await trustOnce(storage, machine, root, Date.now())).toBeUndefined();

  await untrust({ data, dryRun: false, certificate: undefined }, machine);
  expect(printed).toContain(`untrusted: system ${anchors}\n`);
  expect(existsSync(path)).toBe(false);

  expect(printed).not.toContain("nothing to do");
  await untrust({ data, dryRun: true, certificate: undefined }, machine);
  expect(printed).toMatch(/\n {2}nothing to do: no store has it\n$/);
});

test("untrust forgets every root of the CA, and works from a file without the data folder", async () => {
  const { machine, anchors } = machineWithAnchors();
  const { root, data } = await rootOn(machine);
  await trust({ data, dryRun: false }, machine);
  const later = await openLocalCa({
    storage: await openFileStorage(data),
    now: () => Date.now() + 3000 * 86_400_000,
  });
  expect(later.root.storageKey).toContain("root-2.crt");
  await untrust({ data, dryRun: false, certificate: undefined }, machine);
  expect(printed.match(/SHA-256/g)).toHaveLength(3);
  expect(existsSync(join(anchors, `${root.label}.crt`))).toBe(false);

  await trust({ data, dryRun: false }, machine);
  const gone = { data: join(machine.folder, "gone"), dryRun: false, certificate: root.file };
  await untrust(gone, machine);
  expect(existsSync(join(anchors, `${root.label}.crt`))).toBe(false);
  const none = join(machine.folder, "none");
  await expect(untrust({ ...gone, certificate: none }, machine)).rejects.toThrow(
    new X509Error(`Cannot read the root certificate file ${none}: there is no such file`),
  );
  await writeFile(none, "text");
  await expect(untrust({ ...gone, certificate: none }, machine)).rejects.toThrow(
    new CommandError(`Cannot use the root certificate file ${none}: it holds no CA certificate`),
  );
});

test("a store that would not do it fails the command, after all had their turn", async () => {
  const { machine, anchors } = machineWithAnchors("false");
  const { data } = await rootOn(machine);
  await expect(trust({ data, dryRun: false }, machine)).rejects.toThrow(
    "1 of 1 stores would not do it",
  );
  expect(printed).toContain(`failed: system ${anchors}: /bin/false ended with 1\n`);
});

test("root-cert prints the root for others to take, and its fingerprint for people", async () => {
  const machine = testMachine();
  const { root, data } = await rootOn(machine);
  await rootCert({ data });
  expect(printed).toBe(root.pem);
  const openssl = execFileSync("openssl", ["x509", "-noout", "-fingerprint", "-sha256"], {
    input: printed,
    encoding: "utf8",
  });
  expect(openssl).toContain(warned.match(/SHA-256 (.*)\n/)![1]);
});

test("without a root none is made: the message says where it was looked for", async () => {
  const machine = testMachine();
  const data = join(machine.folder, "empty");
  await expect(rootCert({ data })).rejects.toThrow(`no root that is valid in ${data}`);
  await openFileStorage(data);
  await expect(trust({ data, dryRun: false }, machine)).rejects.toThrow("when sotto first serves");
  expect(await (await openFileStorage(data)).list("")).toEqual([]);
});

test.runIf(has("certutil"))("trust reaches the NSS database of a browser", async () => {
  const machine = testMachine({ programs: Object.fromEntries(PROGRAMS) });
  const { root, data } = await rootOn(machine);
  const folder = join(machine.home, ".pki/nssdb");
  mkdirSync(folder, { recursive: true });
  const certutil = PROGRAMS.get("certutil")!;
  execFileSync(certutil, ["-N", "-d", `sql:${folder}`, "--empty-password"]);
  await trust({ data, dryRun: false }, machine);
  expect(printed).toContain(`trusted: nss ${folder}\n`);
  const verdict = execFileSync(
    certutil,
    ["-V", "-u", "L", "-d", `sql:${folder}`, "-n", root.label],
    { encoding: "utf8" },
  );
  expect(verdict).toContain("certificate is valid");
});
