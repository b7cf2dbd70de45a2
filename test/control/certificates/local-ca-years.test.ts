import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import {
  currentRoot,
  type LocalCa,
  openLocalCa,
  readLocalRoots,
} from "../../../src/control/certificates/local-ca.ts";
import { openFileStorage } from "../../../src/control/storage/files.ts";
import type { Storage } from "../../../src/control/storage/storage.ts";
import { certificatesFromPem } from "../../../src/x509/certificate.ts";
import { importedRoot, verifyWithOpenssl } from "./openssl-verify.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

let folder: string;
let storage: Storage;
let nowMs: number;
const now = (): number => nowMs;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "sotto-ca-years-"));
  storage = await openFileStorage(join(folder, "store"));
  nowMs = Date.UTC(2026, 10, 25, 12, 34, 56, 789);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Every root that is valid now verifies what is served now, and so does it when it is about to be renewed. */
async function showThatAllRootsVerify(chainPem: string): Promise<number> {
  const valid = (await readLocalRoots(storage)).filter(({ certificate }) =>
    certificate.notBeforeMs <= nowMs && nowMs < certificate.notAfterMs
  );
  for (const root of valid) {
    const verdict = verifyWithOpenssl(folder, {
      rootPem: root.pem,
      chainPem,
      name: "a.dev.localhost",
      nowMs,
    });
    expect(verdict, `${root.storageKey} at ${new Date(nowMs).toISOString()}`).toContain("OK");
  }
  return valid.length;
}

const NAMES = ["*.dev.localhost", "::1"];

/** What the control plane does at every look. */
async function look(ca: LocalCa): Promise<string> {
  await ca.renew();
  return (await ca.obtain(NAMES)).certificatePem;
}

test(
  "acme 12.4: in 25 years every chain verifies under every root that is valid, also where roots change",
  async () => {
    const ca = await openLocalCa({ storage, now });
    const end = nowMs + 25 * 365.25 * DAY;
    const seenRoots = new Set<string>();
    const chainLengths = new Set<number>();
    let overlapLooks = 0;
    while (nowMs < end) {
      const chainPem = await look(ca);
      seenRoots.add(ca.root.storageKey);
      chainLengths.add(certificatesFromPem(chainPem).length);
      const valid = await showThatAllRootsVerify(chainPem);
      if (valid > 1) overlapLooks++;
      // Big steps where nothing happens, small ones where a root is due or ends.
      const corners = (await readLocalRoots(storage)).flatMap(({ certificate }) => [
        certificate.notAfterMs - 720 * DAY,
        certificate.notAfterMs,
      ]);
      const isNearCorner = corners.some((corner) => Math.abs(corner - nowMs) < 2 * DAY);
      const next = Math.min(
        ...corners.filter((corner) => corner - DAY > nowMs).map((at) => at - DAY),
      );
      nowMs += isNearCorner ? 9.5 * HOUR : Math.min(91 * DAY, next - nowMs);
    }
    expect([...seenRoots]).toEqual([
      "pki/authorities/local/root.crt",
      "pki/authorities/local/root-2.crt",
      "pki/authorities/local/root-3.crt",
      "pki/authorities/local/root-4.crt",
    ]);
    expect([...chainLengths].toSorted((a, b) => a - b)).toEqual([2, 3]);
    expect(overlapLooks).toBeGreaterThan(30);
  },
  120_000,
);

test("acme 12.4: the successor comes when 720 days are left, and a client of the old root keeps working until the end", async () => {
  const ca = await openLocalCa({ storage, now });
  const old = ca.root;
  nowMs = old.certificate.notAfterMs - 720 * DAY - HOUR;
  await look(ca);
  expect(ca.root.pem).toBe(old.pem);
  nowMs += 2 * HOUR;
  const chain = certificatesFromPem(await look(ca));
  expect(ca.root.storageKey).toBe("pki/authorities/local/root-2.crt");
  expect(chain).toHaveLength(3);
  const [, intermediate, cross] = chain;
  expect(intermediate!.issuer).toEqual(ca.root.certificate.subject);
  expect(cross!.subject).toEqual(ca.root.certificate.subject);
  expect(cross!.spki).toEqual(ca.root.certificate.spki);
  expect(cross!.issuer).toEqual(old.certificate.subject);
  expect(cross!.authorityKeyId).toEqual(old.certificate.subjectKeyId);
  expect(cross!.notAfterMs).toBe(old.certificate.notAfterMs);
  nowMs = old.certificate.notAfterMs - 13 * HOUR;
  await look(ca);
  for (let hours = 0; hours < 12; hours += 4) {
    expect(await showThatAllRootsVerify(await look(ca))).toBe(2);
    nowMs += 4 * HOUR;
  }
  nowMs = old.certificate.notAfterMs + HOUR;
  expect(certificatesFromPem(await look(ca))).toHaveLength(2);
});

test("acme 12.4: it is the same CA after a restart amid a roll-over, and new clients may start with either root", async () => {
  const first = await openLocalCa({ storage, now });
  nowMs += 2900 * DAY;
  const restarted = await openLocalCa({ storage, now });
  const chainPem = await look(restarted);
  const again = await openLocalCa({ storage, now });
  expect(await look(again)).toBe(chainPem);
  expect(again.rootPem).not.toBe(first.rootPem);
  expect(await showThatAllRootsVerify(chainPem)).toBe(2);
  expect(currentRoot(await readLocalRoots(storage), nowMs)?.pem).toBe(again.rootPem);
});

test("acme 12.4: a root that Caddy made has a successor, too, although it allows one level of CAs", async () => {
  nowMs = Date.now() + 1000;
  const imported = importedRoot(folder, 3600);
  for (const [extension, pem] of Object.entries(imported)) {
    await storage.put(`pki/authorities/local/root.${extension}`, new TextEncoder().encode(pem));
  }
  const ca = await openLocalCa({ storage, now });
  expect(ca.rootPem).toBe(imported.crt);
  await showThatAllRootsVerify(await look(ca));
  nowMs += 2900 * DAY;
  const chainPem = await look(ca);
  expect(certificatesFromPem(chainPem)).toHaveLength(3);
  expect(await showThatAllRootsVerify(chainPem)).toBe(2);
});

test("acme 12.4: without the old root's key there is no successor before its end, and leaves go on", async () => {
  const ca = await openLocalCa({ storage, now });
  nowMs = ca.root.certificate.notAfterMs - 721 * DAY;
  await look(ca);
  await storage.delete("pki/authorities/local/root.key");
  nowMs += 2 * DAY;
  expect(await showThatAllRootsVerify(await look(ca))).toBe(1);
  nowMs += 5 * DAY;
  await expect(ca.renew()).rejects.toThrow(/root\.key in files in .* is missing/);
  nowMs += 721 * DAY;
  const anew = await look(ca);
  expect(ca.root.storageKey).toBe("pki/authorities/local/root-2.crt");
  expect(await showThatAllRootsVerify(anew)).toBe(1);
});
