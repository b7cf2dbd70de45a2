import { Buffer } from "node:buffer";
import { execFileSync } from "node:child_process";
import { createPrivateKey, createPublicKey } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  type IssuedCertificate,
  needsRenewal,
  openLocalCa,
} from "../../../src/control/certificates/local-ca.ts";
import { openFileStorage } from "../../../src/control/storage/files.ts";
import type { Storage } from "../../../src/control/storage/storage.ts";
import {
  type Certificate,
  certificatesFromPem,
  ExtendedKeyUsage,
  KeyUsage,
} from "../../../src/x509/certificate.ts";
import { importedRoot, verifyWithOpenssl } from "./openssl-verify.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

let folder: string;
let storage: Storage;
let nowMs: number;
const now = (): number => nowMs;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "sotto-ca-"));
  storage = await openFileStorage(join(folder, "store"));
  nowMs = Date.now();
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const stored = async (key: string): Promise<string> =>
  new TextDecoder().decode(await storage.get(key));
const chainOf = (issued: IssuedCertificate): [Certificate, Certificate] => {
  const chain = certificatesFromPem(issued.certificatePem);
  expect(chain).toHaveLength(2);
  return chain as [Certificate, Certificate];
};

const encodeHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

const opensslVerify = (rootPem: string, issued: IssuedCertificate, name: string): string =>
  verifyWithOpenssl(folder, { rootPem, chainPem: issued.certificatePem, name, nowMs });

describe("acme 12: the local CA", () => {
  test("issues chains that OpenSSL takes for each of their names, and for no other", async () => {
    const ca = await openLocalCa({ storage, now });
    const issued = await ca.issue(["localhost", "*.shop.test", "127.0.0.1", "::1"]);
    for (const name of ["localhost", "a.shop.test", "127.0.0.1", "::1"]) {
      expect(opensslVerify(ca.rootPem, issued, name), name).toContain("OK");
    }
    for (const name of ["other.test", "a.b.shop.test", "127.0.0.2"]) {
      expect(() => opensslVerify(ca.rootPem, issued, name), name).toThrow(/mismatch/);
    }
  });

  test("12.2: gives roots 3600 days, intermediates 7 days, leaves 12 hours, from a minute ago", async () => {
    const ca = await openLocalCa({ storage, now });
    const [root] = certificatesFromPem(ca.rootPem);
    const [leaf, intermediate] = chainOf(await ca.issue(["localhost"]));
    const second = Math.floor(nowMs / 1000) * 1000;
    expect(root?.notAfterMs).toBe(second + 3600 * DAY);
    expect(intermediate.notAfterMs).toBe(second + 7 * DAY);
    expect(leaf.notAfterMs).toBe(second + 12 * HOUR);
    for (const certificate of [root, intermediate, leaf]) {
      expect(certificate?.notBeforeMs).toBe(second - 60_000);
    }
  });

  test("12.2: names its certificates after itself and the year", async () => {
    const ca = await openLocalCa({ storage, now, name: "Ann, Bob & Co" });
    const subjects = [ca.rootPem, await stored("pki/authorities/local/intermediate.crt")].map((
      pem,
    ) => execFileSync("openssl", ["x509", "-noout", "-subject"], { input: pem, encoding: "utf8" }));
    expect(subjects[0]).toContain(`Ann, Bob & Co - ${new Date(nowMs).getUTCFullYear()} ECC Root`);
    expect(subjects[1]).toContain("Ann, Bob & Co - ECC Intermediate");
  });

  test("gives each kind its usage and no more", async () => {
    const ca = await openLocalCa({ storage, now });
    const [root] = certificatesFromPem(ca.rootPem);
    const [leaf, intermediate] = chainOf(await ca.issue(["localhost", "10.1.2.3"]));
    expect(root).toMatchObject({ isCa: true, pathLength: undefined, unprocessed: [] });
    expect(intermediate).toMatchObject({ isCa: true, pathLength: 0, unprocessed: [] });
    expect((intermediate.keyUsage ?? 0) & KeyUsage.keyCertSign).toBe(KeyUsage.keyCertSign);
    expect(leaf).toMatchObject({
      isCa: false,
      keyUsage: KeyUsage.digitalSignature,
      extendedKeyUsages: [ExtendedKeyUsage.serverAuth],
      dnsNames: ["localhost"],
      ipAddresses: ["10.1.2.3"],
      unprocessed: [],
    });
    expect(leaf.authorityKeyId).toEqual(intermediate.subjectKeyId);
  });

  test("hands out the key of the leaf, a fresh one each time", async () => {
    const ca = await openLocalCa({ storage, now });
    const [a, b] = await Promise.all([ca.issue(["localhost"]), ca.issue(["localhost"])]);
    expect(a.keyPem).not.toBe(b.keyPem);
    const spki = createPublicKey(createPrivateKey(a.keyPem)).export({
      format: "der",
      type: "spki",
    });
    expect(new Uint8Array(spki)).toEqual(Uint8Array.from(chainOf(a)[0].spki));
    expect(chainOf(a)[0].serialNumber).not.toEqual(chainOf(b)[0].serialNumber);
    expect(chainOf(a)[1].der).toEqual(chainOf(b)[1].der);
  });

  test("12.1: lives in storage, and is the same CA after a restart", async () => {
    const first = await openLocalCa({ storage, now });
    expect(await storage.list("")).toEqual([
      "pki/authorities/local/intermediate.crt",
      "pki/authorities/local/intermediate.key",
      "pki/authorities/local/root.crt",
      "pki/authorities/local/root.key",
    ]);
    const second = await openLocalCa({ storage, now });
    expect(second.rootPem).toBe(first.rootPem);
    expect(chainOf(await second.issue(["a.test"]))[1]).toEqual(
      chainOf(await first.issue(["a.test"]))[1],
    );
  });

  test("12.3: needs no root key while its intermediate is good", async () => {
    await openLocalCa({ storage, now });
    await storage.delete("pki/authorities/local/root.key");
    const ca = await openLocalCa({ storage, now });
    expect(opensslVerify(ca.rootPem, await ca.issue(["localhost"]), "localhost")).toContain("OK");
    nowMs += 7 * DAY;
    await expect(ca.issue(["localhost"])).rejects.toThrow(
      /pki\/authorities\/local\/root\.key in files in .* is missing or not .*\. Restore it/,
    );
  });

  test("12.2: renews the intermediate at a fifth of its life, while running and at start", async () => {
    const ca = await openLocalCa({ storage, now });
    const before = chainOf(await ca.issue(["localhost"]))[1];
    nowMs += 0.79 * 7 * DAY;
    expect(chainOf(await ca.issue(["localhost"]))[1].der).toEqual(before.der);
    nowMs += 0.02 * 7 * DAY;
    const issued = await ca.issue(["localhost"]);
    expect(chainOf(issued)[1].der).not.toEqual(before.der);
    expect(opensslVerify(ca.rootPem, issued, "localhost")).toContain("OK");
    nowMs += 30 * DAY;
    const restarted = await openLocalCa({ storage, now });
    expect(restarted.rootPem).toBe(ca.rootPem);
    expect(opensslVerify(ca.rootPem, await restarted.issue(["b.test"]), "b.test")).toContain("OK");
  });

  test("12.2: clamps the intermediate and the leaf to the root's end, and starts anew after it", async () => {
    const imported = importedRoot(folder, 5);
    for (const [name, pem] of Object.entries(imported)) {
      await storage.put(`pki/authorities/local/root.${name}`, new TextEncoder().encode(pem));
    }
    nowMs = Date.now() + 4.9 * DAY;
    await storage.delete("pki/authorities/local/root.key"); // no successor can be introduced
    await expect(openLocalCa({ storage, now })).rejects.toThrow("root.key");
    nowMs = Date.now() + 1000;
    await storage.put("pki/authorities/local/root.key", new TextEncoder().encode(imported.key));
    const ca = await openLocalCa({ storage, now });
    const end = ca.root.certificate.notAfterMs;
    const [leaf, intermediate] = chainOf(await ca.issue(["localhost"]));
    expect(intermediate.notAfterMs).toBe(end);
    expect(leaf.notAfterMs).toBeLessThanOrEqual(end);
    nowMs = end + HOUR;
    const issued = await ca.issue(["localhost"]);
    expect(ca.root.storageKey).toBe("pki/authorities/local/root-2.crt");
    expect(chainOf(issued)).toHaveLength(2);
    expect(opensslVerify(ca.rootPem, issued, "localhost")).toContain("OK");
  });

  test("obtains the stored leaf until it is due, and a new one for other names", async () => {
    const ca = await openLocalCa({ storage, now });
    const first = await ca.obtain(["LocalHost", "127.0.0.1"]);
    expect(await storage.list("certificates")).toHaveLength(1);
    nowMs += 9 * HOUR;
    const restarted = await openLocalCa({ storage, now });
    expect(await restarted.obtain(["localhost", "127.0.0.1"])).toEqual(first);
    nowMs += HOUR;
    const second = await restarted.obtain(["localhost", "127.0.0.1"]);
    expect(second.certificatePem).not.toBe(first.certificatePem);
    expect(await restarted.obtain(["localhost"])).not.toEqual(second);
  });

  test("obtains anew where the stored leaf is broken or of an older CA", async () => {
    const ca = await openLocalCa({ storage, now });
    const first = await ca.obtain(["localhost"]);
    await storage.put("certificates/local/localhost.json", Uint8Array.of(0x7b));
    const second = await ca.obtain(["localhost"]);
    expect(second).not.toEqual(first);
    for (const key of await storage.list("pki")) await storage.delete(key);
    const other = await openLocalCa({ storage, now });
    const third = await other.obtain(["localhost"]);
    expect(opensslVerify(other.rootPem, third, "localhost")).toContain("OK");
  });

  test("makes a new intermediate where a crash left it without its key", async () => {
    const ca = await openLocalCa({ storage, now });
    await storage.put(
      "pki/authorities/local/intermediate.key",
      new TextEncoder().encode(await stored("pki/authorities/local/root.key")),
    );
    const issued = await (await openLocalCa({ storage, now })).issue(["localhost"]);
    expect(opensslVerify(ca.rootPem, issued, "localhost")).toContain("OK");
  });

  test("takes a root whose key is SEC 1, as Caddy writes it", async () => {
    const ca = await openLocalCa({ storage, now });
    const key = createPrivateKey(await stored("pki/authorities/local/root.key"));
    const sec1 = key.export({ format: "pem", type: "sec1" });
    await storage.put("pki/authorities/local/root.key", new TextEncoder().encode(String(sec1)));
    await storage.delete("pki/authorities/local/intermediate.crt");
    const issued = await (await openLocalCa({ storage, now })).issue(["localhost"]);
    expect(opensslVerify(ca.rootPem, issued, "localhost")).toContain("OK");
  });

  test("names the storage key of a broken root and leaves it alone", async () => {
    await openLocalCa({ storage, now });
    await storage.put("pki/authorities/local/root.crt", new TextEncoder().encode("no PEM"));
    await expect(openLocalCa({ storage, now })).rejects.toThrow(
      /local CA's pki\/authorities\/local\/root\.crt in files in .*: it holds no CA certificate/,
    );
    expect(await stored("pki/authorities/local/root.crt")).toBe("no PEM");
  });

  test("refuses names that nobody could be", async () => {
    const ca = await openLocalCa({ storage, now });
    await expect(ca.issue([])).rejects.toThrow("without a name");
    await expect(ca.issue(["a..b"])).rejects.toThrow('"a..b": it has two dots in a row');
  });
});

describe("policy 2: what the local CA is asked for", () => {
  test.each([
    ["localhost", "localhost"],
    ["*.dev.localhost", "a.dev.localhost"],
    ["intranet", "intranet"],
    ["printer.local", "printer.local"],
    ["db.internal", "db.internal"],
    ["nas.home.arpa", "nas.home.arpa"],
    ["a.test", "a.test"],
    ["*.b.example", "x.b.example"],
    ["c.invalid", "c.invalid"],
    ["expyuzz4wqqyqhjn.onion", "expyuzz4wqqyqhjn.onion"],
    ["Bücher.test", "xn--bcher-kva.test"],
    ["127.0.0.1", "127.0.0.1"],
    ["10.1.2.3", "10.1.2.3"],
    ["100.64.0.1", "100.64.0.1"],
    ["8.8.8.8", "8.8.8.8"],
    ["::1", "::1"],
    ["[fe80::1]", "fe80::1"],
    ["FC00:0:0::7", "fc00::7"],
    ["2001:db8::1", "2001:db8::1"],
  ])("%s gets a certificate that OpenSSL takes for %s", async (asked, name) => {
    const ca = await openLocalCa({ storage, now });
    const issued = await ca.obtain([asked]);
    expect(opensslVerify(ca.rootPem, issued, name)).toContain("OK");
    const [leaf] = chainOf(issued);
    expect([...leaf.dnsNames, ...leaf.ipAddresses]).toHaveLength(1);
  });

  test("*.localhost gets one that covers one label below it, for clients that take it", async () => {
    const ca = await openLocalCa({ storage, now });
    const [leaf] = chainOf(await ca.obtain(["*.localhost"]));
    expect(leaf.dnsNames).toEqual(["*.localhost"]); // OpenSSL wants two labels behind a wildcard
  });

  test("the longest names there are have records, too", async () => {
    const ca = await openLocalCa({ storage, now });
    const long = `${"a".repeat(63)}.`.repeat(3) + "b".repeat(61);
    for (const names of [[long], [`*.${long.slice(2)}`], [long, "::1"]]) {
      const issued = await ca.obtain(names);
      expect(await ca.obtain(names)).toEqual(issued);
    }
  });

  test("each set of names has a record of its own, in whatever order and case it is asked for", async () => {
    const ca = await openLocalCa({ storage, now });
    const sets = [
      ["localhost"],
      ["localhost", "127.0.0.1"],
      ["localhost", "::1"],
      ["*.example.test"],
      ["wildcard_.example.test"],
      ["xn--bcher-kva.test"],
      ["bcher-kva.test"],
    ];
    const first = [];
    for (const names of sets) first.push(await ca.obtain(names));
    const again = [];
    for (const names of sets) again.push(await ca.obtain(names.toReversed()));
    expect(again).toEqual(first);
    expect(await ca.obtain(["LOCALHOST", "[::1]", "localhost"])).toEqual(first[2]);
    expect(new Set(first.map(({ keyPem }) => keyPem)).size).toBe(sets.length);
    expect(await storage.list("certificates")).toHaveLength(sets.length);
    expect(await storage.list("certificates")).toContain("certificates/local/localhost.json");
  });
});

describe("acme 12.5: several processes on one storage", () => {
  test("agree on root, intermediate and chain when they start at once on an empty store", async () => {
    for (let round = 0; round < 5; round++) {
      const path = join(folder, `shared-${round}`);
      const cas = await Promise.all(
        Array.from(
          { length: 4 },
          async () => openLocalCa({ storage: await openFileStorage(path), now }),
        ),
      );
      const issued = await Promise.all(cas.map((ca) => ca.issue(["localhost"])));
      expect(new Set(cas.map((ca) => ca.rootPem)).size).toBe(1);
      expect(new Set(issued.map((one) => encodeHex(chainOf(one)[1].der))).size).toBe(1);
      expect(opensslVerify(cas[0]!.rootPem, issued[3]!, "localhost")).toContain("OK");
      const shared = await openFileStorage(path);
      expect(await shared.list("pki")).toHaveLength(4);
    }
  });

  test("renew one root and one intermediate, and each goes on with the leaf that another stored", async () => {
    const cas = [await openLocalCa({ storage, now }), await openLocalCa({ storage, now })] as const;
    const before = await cas[0].obtain(["localhost"]);
    nowMs += 3000 * DAY;
    expect(await Promise.all(cas.map((ca) => ca.renew()))).toEqual([true, true]);
    expect(cas[0].rootPem).toBe(cas[1].rootPem);
    expect((await storage.list("pki")).filter((key) => key.includes("root"))).toEqual([
      "pki/authorities/local/root-2-by-1.crt",
      "pki/authorities/local/root-2.crt",
      "pki/authorities/local/root-2.key",
      "pki/authorities/local/root.crt",
      "pki/authorities/local/root.key",
    ]);
    const issued = await cas[0].obtain(["localhost"]);
    expect(issued).not.toEqual(before);
    expect(await cas[1].obtain(["localhost"])).toEqual(issued);
    expect(await Promise.all(cas.map((ca) => ca.renew()))).toEqual([false, false]);
  });

  test("take up a key that another left without its certificate", async () => {
    const ca = await openLocalCa({ storage, now });
    const key = await stored("pki/authorities/local/root.key");
    for (const left of await storage.list("")) {
      if (!left.endsWith("root.key")) await storage.delete(left);
    }
    const other = await openLocalCa({ storage, now });
    expect(await stored("pki/authorities/local/root.key")).toBe(key);
    expect(other.root.certificate.spki).toEqual(ca.root.certificate.spki);
    const issued = await other.issue(["localhost"]);
    expect(opensslVerify(other.rootPem, issued, "localhost")).toContain("OK");
  });
});

test("acme 12.2: renewal is due below a fifth of the life, and before the beginning", () => {
  const certificate = { notBeforeMs: 1000, notAfterMs: 2000 };
  expect([999, 1000, 1800, 1801, 3000].map((at) => needsRenewal(certificate, at))).toEqual(
    [true, false, false, true, true],
  );
});
