import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  type LocalCa,
  openLocalCa,
  readLocalRoots,
} from "../../../src/control/certificates/local-ca.ts";
import { ClockWatch } from "../../../src/control/clock-watch.ts";
import { openFileStorage } from "../../../src/control/storage/files.ts";
import type { Storage } from "../../../src/control/storage/storage.ts";
import { verifyWithOpenssl } from "./openssl-verify.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

let folder: string;
let storage: Storage;
let nowMs: number;
const now = (): number => nowMs;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "sotto-ca-clock-"));
  storage = await openFileStorage(join(folder, "store"));
  nowMs = Date.UTC(2026, 10, 25, 12);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** All that lies under `prefix`, by hash. */
async function contents(prefix: string): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const key of await storage.list(prefix)) {
    const hash = createHash("sha256").update((await storage.get(key))!).digest("hex");
    found.set(key, hash);
  }
  return found;
}

async function serve(ca: LocalCa): Promise<string> {
  await ca.renew();
  const { certificatePem } = await ca.obtain(["localhost"]);
  await ca.sweep(true); // the worst case: a clock that is wrong for hours looks right
  for (const root of await readLocalRoots(storage)) {
    const { notBeforeMs, notAfterMs } = root.certificate;
    if (nowMs < notBeforeMs || nowMs >= notAfterMs) continue;
    const verdict = verifyWithOpenssl(folder, {
      rootPem: root.pem,
      chainPem: certificatePem,
      name: "localhost",
      nowMs,
    });
    expect(verdict).toContain("OK");
  }
  return certificatePem;
}

describe("acme 14.15b: a clock that is wrong", () => {
  test.each([
    ["a day ahead", DAY],
    ["a day behind", -DAY],
    ["400 days ahead", 400 * DAY],
    ["400 days behind", -400 * DAY],
  ])(
    "by %s for one start destroys no key and no root, and its chains verify all the time",
    async (_, jumpMs) => {
      const right = nowMs;
      const before = await openLocalCa({ storage, now });
      await serve(before);
      const [pki, leaf] = [await contents("pki"), await before.obtain(["localhost"])];

      nowMs = right + jumpMs;
      const wrong = await openLocalCa({ storage, now });
      await wrong.renew();
      const { certificatePem } = await wrong.obtain(["localhost"]);
      await wrong.sweep(false);
      expect(certificatePem).not.toBe(leaf.certificatePem);
      expect(await contents("pki")).toEqual(new Map([...await contents("pki"), ...pki]));

      nowMs = right + HOUR;
      const after = await openLocalCa({ storage, now });
      await serve(after);
      expect(await contents("pki")).toEqual(new Map([...await contents("pki"), ...pki]));
      const issuedBefore = before.rootPem;
      expect((await readLocalRoots(storage)).map(({ pem }) => pem)).toContain(issuedBefore);
      // Forward, the leaf that was there serves on; back, a root that began in the past is preferred.
      if (jumpMs > 0) expect(await after.obtain(["localhost"])).toEqual(leaf);
    },
  );

  test.each([DAY, -DAY, 400 * DAY, -400 * DAY])(
    "by %d ms while running, and right again, has every client served under the first root",
    async (jumpMs) => {
      const right = nowMs;
      const ca = await openLocalCa({ storage, now });
      const first = ca.rootPem;
      for (const atMs of [0, jumpMs, HOUR, jumpMs + HOUR, 2 * HOUR]) {
        nowMs = right + atMs;
        const chainPem = await serve(ca);
        const [root] = await readLocalRoots(storage);
        expect(root?.pem).toBe(first);
        expect(chainPem).toContain("BEGIN CERTIFICATE");
      }
    },
  );

  test.each([
    [[-HOUR]],
    [[-HOUR, -2 * HOUR, -3 * HOUR]],
    [[-3 * HOUR, -2 * HOUR, -5 * HOUR, -HOUR, -4 * HOUR]],
    [[-2 * MINUTE, -4 * MINUTE, 0, -8 * MINUTE]],
    [[3000 * DAY, -HOUR, -2 * HOUR]],
  ])(
    "by %j ms, one after the other, leaves clients with the right time and the first root served",
    async (jumps) => {
      const right = nowMs;
      const ca = await openLocalCa({ storage, now });
      const [rootPem, storageKey] = [ca.rootPem, ca.root.storageKey];
      for (const [i, jumpMs] of [...jumps, 0].entries()) {
        const realMs = right + i * MINUTE + MINUTE;
        nowMs = realMs + jumpMs;
        const chainPem = await serve(ca);
        if (jumpMs > DAY) continue; // a leaf from years ahead is nobody's
        const verdict = verifyWithOpenssl(folder, {
          rootPem,
          chainPem,
          name: "localhost",
          nowMs: realMs,
        });
        expect(verdict, `${storageKey} after ${jumpMs}`).toContain("OK");
      }
    },
  );

  test("that starts in 1970 each time makes one root for it, not one for each start", async () => {
    const right = nowMs;
    for (let start = 0; start < 4; start++) {
      nowMs = start * HOUR;
      await serve(await openLocalCa({ storage, now }));
      nowMs = right + start * DAY;
      await serve(await openLocalCa({ storage, now }));
    }
    expect(await readLocalRoots(storage)).toHaveLength(2);
  });

  test("amid a roll-over makes roots that certify each other in a line", async () => {
    const right = nowMs;
    const ca = await openLocalCa({ storage, now });
    nowMs = right + 2850 * DAY + 60 * DAY; // 60 days ahead: the successor comes early
    await serve(ca);
    nowMs = right + 2850 * DAY;
    await serve(ca); // it is not valid yet
    nowMs = right + 2890 * DAY;
    await serve(ca); // the first one is due, its successor still not valid: another one
    nowMs = right + 2920 * DAY;
    const chainPem = await serve(ca); // all three are valid
    expect((await readLocalRoots(storage)).map(({ storageKey }) => storageKey)).toHaveLength(3);
    expect(chainPem.match(/BEGIN/g)).toHaveLength(4);
  });
});

describe("acme 12.2: the schedule", () => {
  test("asks for a look every 10 minutes, or as soon as something is due", async () => {
    const ca = await openLocalCa({ storage, now });
    const leaf = { notBeforeMs: nowMs - MINUTE, notAfterMs: nowMs + 12 * HOUR };
    expect(ca.schedule([leaf])).toEqual({
      authoritiesDue: false,
      leavesDue: [],
      nextLookMs: nowMs + 10 * MINUTE,
    });
    const soon = { notBeforeMs: nowMs - 76 * MINUTE, notAfterMs: nowMs + 20 * MINUTE };
    expect(ca.schedule([leaf, soon]).nextLookMs).toBeCloseTo(nowMs + 0.8 * MINUTE + 1);
    nowMs += MINUTE;
    expect(ca.schedule([leaf, soon])).toMatchObject({ authoritiesDue: false, leavesDue: [soon] });
  });

  test("knows when intermediate and root are due, and that nothing is after they were renewed", async () => {
    const ca = await openLocalCa({ storage, now });
    for (const days of [5.61, 2875]) {
      nowMs += days * DAY;
      expect(ca.schedule([])).toMatchObject({
        authoritiesDue: true,
        nextLookMs: nowMs + 10 * MINUTE,
      });
      expect(await ca.renew()).toBe(true);
      expect(ca.schedule([]).authoritiesDue).toBe(false);
      expect(await ca.renew()).toBe(false);
    }
    nowMs -= DAY;
    expect(ca.schedule([]).authoritiesDue).toBe(true);
  });

  test("a look in time for each of 30 days renews every leaf and intermediate before it ends", async () => {
    const ca = await openLocalCa({ storage, now });
    const end = nowMs + 30 * DAY;
    let leaf = (await import("../../../src/x509/certificate.ts")).certificatesFromPem(
      (await ca.obtain(["localhost"])).certificatePem,
    );
    while (nowMs < end) {
      const { authoritiesDue, leavesDue, nextLookMs } = ca.schedule([leaf[0]!]);
      const isRenewed = authoritiesDue && await ca.renew();
      if (isRenewed || leavesDue.length > 0) {
        const { certificatesFromPem } = await import("../../../src/x509/certificate.ts");
        leaf = certificatesFromPem((await ca.obtain(["localhost"])).certificatePem);
      }
      for (const { notAfterMs } of leaf) expect(notAfterMs - nowMs).toBeGreaterThan(2 * HOUR);
      nowMs = nextLookMs;
    }
  });
});

describe("acme 14.12: the sweep", () => {
  test("erases what expired two weeks ago, never the newest, never a root, and nothing without leave", async () => {
    const ca = await openLocalCa({ storage, now });
    await ca.obtain(["localhost"]);
    await ca.obtain(["gone.test"]);
    nowMs += 6 * DAY;
    await serve(ca); // intermediate-2
    nowMs += 16 * DAY;
    const intermediates = async (): Promise<string[]> =>
      (await storage.list("pki")).filter((key) => key.includes("intermediate"));
    expect(await ca.sweep(false)).toEqual({ intermediates: 0, leaves: 0 });
    expect(await intermediates()).toHaveLength(4);
    expect(await ca.sweep(true)).toEqual({ intermediates: 1, leaves: 2 });
    expect(await intermediates()).toEqual([
      "pki/authorities/local/intermediate-2.crt",
      "pki/authorities/local/intermediate-2.key",
    ]);
    expect(await storage.list("certificates")).toEqual([]);
    nowMs += 5000 * DAY;
    await serve(ca);
    expect((await readLocalRoots(storage)).map(({ storageKey }) => storageKey)).toEqual([
      "pki/authorities/local/root.crt",
      "pki/authorities/local/root-2.crt",
    ]);
    expect(await intermediates()).toContain("pki/authorities/local/intermediate-3.crt");
  });
});

describe("acme 14.15b: leave to erase", () => {
  let monotonicMs = 0;
  const pass = (ms: number): void => {
    nowMs += ms;
    monotonicMs += ms;
  };

  test("comes with two readings an hour apart that agree, and goes with a jump", () => {
    const watch = new ClockWatch(now, () => monotonicMs);
    expect(watch.look()).toEqual({ mayErase: false, jumpMs: 0 });
    pass(59 * MINUTE);
    expect(watch.look().mayErase).toBe(false);
    pass(MINUTE);
    expect(watch.look()).toEqual({ mayErase: true, jumpMs: 0 });
    for (const jumpMs of [DAY, -DAY, 400 * DAY, -400 * DAY, 6 * MINUTE]) {
      nowMs += jumpMs;
      pass(10 * MINUTE);
      expect(watch.look()).toEqual({ mayErase: false, jumpMs });
      pass(59 * MINUTE);
      expect(watch.look().mayErase).toBe(false);
      pass(2 * MINUTE);
      expect(watch.look().mayErase).toBe(true);
    }
    nowMs += 4 * MINUTE; // within what clocks are allowed to differ
    expect(watch.look()).toEqual({ mayErase: true, jumpMs: 0 });
  });
});
