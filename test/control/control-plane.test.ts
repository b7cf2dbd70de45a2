import { execFileSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { DEFAULT_CONFIG, type SiteOptions } from "../../src/config/config.ts";
import { parseConfig } from "../../src/config/load.ts";
import {
  type ControlPlane,
  type ControlPlaneParts,
  startControlPlane,
} from "../../src/control/control-plane.ts";
import { publishedConfigList } from "../../src/control/ech/ech-keys.ts";
import { openFileStorage } from "../../src/control/storage/files.ts";
import { chooseCrypto } from "../../src/crypto/choose.ts";
import { SiteCredential } from "../../src/snapshot/credential.ts";
import type { Snapshot } from "../../src/snapshot/snapshot.ts";

const HOUR = 3600_000;
let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "sotto-control-"));
});
afterEach(async () => {
  vi.useRealTimers();
  await rm(folder, { recursive: true });
});

async function start(
  config = DEFAULT_CONFIG,
  now: () => number = Date.now,
  more: Partial<ControlPlaneParts> = {},
) {
  return await startControlPlane({
    ...more,
    config,
    openStorage: () => openFileStorage(join(folder, "data")),
    crypto: chooseCrypto(),
    keyLog: undefined,
    now,
    onTrouble: (error) => {
      throw error;
    },
  });
}

const leaf = (snapshot: Snapshot, name: string) =>
  snapshot.findText(name)!.tls.credentials[0] as SiteCredential;

test("policy 1.5: without configuration there is localhost, and the public name without a site", async () => {
  const { snapshot, warnings } = await start();
  expect(warnings).toEqual([]);
  expect(
    snapshot.sites.map(({ names, handler, publicNameOnly }) => [names, handler, publicNameOnly]),
  )
    .toEqual([
      [["localhost"], { kind: "app", app: "welcome" }, false],
      [["cover.localhost"], { kind: "respond", text: "" }, true],
    ]);
  expect(leaf(snapshot, "localhost").covers("localhost")).toBe(true);
  expect(leaf(snapshot, "localhost").covers("cover.localhost")).toBe(false);
  expect(leaf(snapshot, "cover.localhost").covers("cover.localhost")).toBe(true);
  expect(snapshot.server.ech!.isPublicName(new TextEncoder().encode("cover.localhost"))).toBe(true);
});

test("A restart comes back with the same ECH keys and certificates", async () => {
  const before = await start();
  const after = await start();
  expect(publishedConfigList(after.ech!)).toBe(publishedConfigList(before.ech!));
  expect(leaf(after.snapshot, "localhost").chain).toEqual(leaf(before.snapshot, "localhost").chain);
  expect(after.localCa.rootPem).toBe(before.localCa.rootPem);
});

test("With ECH off there is no key, no public name and no padding", async () => {
  const config = { ...DEFAULT_CONFIG, ech: { ...DEFAULT_CONFIG.ech, enabled: false } };
  const { snapshot, ech } = await start(config);
  expect(ech).toBeUndefined();
  expect(snapshot.server.ech).toBeUndefined();
  expect(snapshot.server.flightPadding).toBe(0);
  expect(snapshot.sites).toHaveLength(1);
});

test("policy 8.4: a public name that is a site too stays one site, and is served", async () => {
  const config = await parseConfig(
    `[ech]\npublic_name = "a.localhost"\n[[site]]\nnames = ["a.localhost"]`,
    "sotto.toml",
  );
  const { snapshot } = await start(config);
  expect(snapshot.sites.map((site) => site.publicNameOnly)).toEqual([false]);
});

test("ech 10: the flight has room for the longest chain, in steps of 1 KiB", async () => {
  const { snapshot } = await start();
  const chain = leaf(snapshot, "localhost").chain.reduce((sum, one) => sum + one.length, 0);
  expect(snapshot.server.flightPadding % 1024).toBe(0);
  expect(snapshot.server.flightPadding).toBeGreaterThan(chain + 500);
});

/** A self-signed pair of files. */
function selfSigned(name: string, sans: string): Pick<SiteOptions, "certificates"> {
  const [certificate, key] = [join(folder, `${name}.crt`), join(folder, `${name}.key`)];
  const request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
  execFileSync("openssl", [
    ...request.split(" "),
    "-subj",
    `/CN=${name}`,
    "-addext",
    `subjectAltName=${sans}`,
    "-keyout",
    key,
    "-out",
    certificate,
  ], { stdio: "ignore" });
  return { certificates: [{ certificate, key }] };
}

async function withSite(site: Partial<SiteOptions>): Promise<ControlPlane> {
  return await start({
    ...DEFAULT_CONFIG,
    ech: { ...DEFAULT_CONFIG.ech, enabled: false },
    sites: [{ ...DEFAULT_CONFIG.sites[0]!, ...site }],
  });
}

test("policy 1.4: a supplied certificate covers its own names alone, the rest is the local CA's", async () => {
  const { snapshot, warnings } = await withSite({
    names: ["a.example", "b.example", "*.c.example"],
    ...selfSigned("a", "DNS:a.example,DNS:x.c.example"),
  });
  expect(snapshot.sites.map((site) => site.names)).toEqual([
    ["a.example"],
    ["b.example", "*.c.example"],
  ]);
  expect(leaf(snapshot, "a.example").origin).toBe("operator");
  expect(leaf(snapshot, "b.example").origin).toBe("managed");
  expect(warnings).toEqual([
    "No certificate given for b.example, *.c.example covers it: the local CA issues one",
  ]);
});

test("A supplied certificate that covers none of its names is shown as it is, with a warning", async () => {
  const { snapshot, warnings } = await withSite({
    names: ["b.example"],
    ...selfSigned("a", "DNS:a.example"),
  });
  expect(leaf(snapshot, "b.example").origin).toBe("operator");
  expect(warnings).toEqual([expect.stringContaining("shown as they are")]);
});

test("policy 7.3: a site with client authentication has no tickets, and names its CAs", async () => {
  const { certificates } = selfSigned("ca", "DNS:ca.example");
  const ca = [certificates[0]!.certificate];
  const { snapshot } = await withSite({ clientAuth: { mode: "require_and_verify", ca } });
  const { tls } = snapshot.sites[0]!;
  expect(tls.tickets).toBe(false);
  expect(tls.policyId).not.toBe(0);
  expect(tls.clientAuth!.mode).toBe("require_and_verify");
  expect(tls.clientAuth!.authorities).toHaveLength(1);
});

test("A file that cannot be used is named", async () => {
  await writeFile(join(folder, "no.pem"), "nothing");
  const ca = [join(folder, "no.pem")];
  await expect(withSite({ clientAuth: { mode: "require_and_verify", ca } })).rejects.toThrow(
    /Cannot use the CA file .*no\.pem: /,
  );
  const none = join(folder, "none.pem");
  await expect(withSite({ clientAuth: { mode: "require_and_verify", ca: [none] } })).rejects
    .toThrow(`Cannot read the CA file ${none}: there is no such file`);
});

test("policy 5: ticket keys rotate every 12 h, four generations, and leaves are renewed in time", async () => {
  vi.useFakeTimers({ now: Date.UTC(2030, 0, 1), toFake: ["setInterval", "clearInterval", "Date"] });
  const plane = await start();
  const first = plane.snapshot;
  const names = (snapshot: Snapshot) =>
    snapshot.server.tickets!.keys.map((key) => Buffer.from(key.name).toString("hex"));
  let next: ((snapshot: Snapshot) => void) | undefined;
  plane.keepFresh((snapshot) => next?.(snapshot));
  const after = async (hours: number): Promise<Snapshot> => {
    const arrived = new Promise<Snapshot>((resolve) => next = resolve);
    vi.setSystemTime(Date.now() + hours * HOUR);
    vi.advanceTimersByTime(60_000);
    return await arrived;
  };

  const renewed = await after(10);
  expect(leaf(renewed, "localhost").notAfterMs).toBeGreaterThan(
    leaf(first, "localhost").notAfterMs + 9 * HOUR,
  );
  expect(names(renewed)).toEqual(names(first));

  const rotated = await after(3);
  expect(names(rotated)).toHaveLength(2);
  expect(names(rotated)[1]).toBe(names(first)[0]);
  let last = rotated;
  for (let i = 0; i < 3; i++) last = await after(12.1);
  expect(names(last)).toHaveLength(4);
  expect(names(last)).not.toContain(names(first)[0]);
  expect(last.server.tickets!.lifetimeSeconds).toBe(36 * 3600);
  plane.stop();
});

/** A plane under an injected clock, and what it makes of a minute's tick after so many hours. */
async function underClock(more: Partial<ControlPlaneParts> = {}, begin = Date.UTC(2030, 0, 1)) {
  vi.useFakeTimers({ now: begin, toFake: ["setInterval", "clearInterval", "Date"] });
  const warnings: string[] = [];
  let jumped = 0;
  const plane = await start(DEFAULT_CONFIG, Date.now, {
    monotonicMs: () => Date.now() - begin - jumped,
    onWarning: (what) => void warnings.push(what),
    ...more,
  });
  let next: ((snapshot: Snapshot) => void) | undefined;
  plane.keepFresh((snapshot) => next?.(snapshot));
  return {
    plane,
    warnings,
    /** The snapshot that the next tick brings. */
    after: async (hours: number): Promise<Snapshot> => {
      const arrived = new Promise<Snapshot>((resolve) => next = resolve);
      vi.setSystemTime(Date.now() + hours * HOUR);
      vi.advanceTimersByTime(60_000);
      return await arrived;
    },
    /** The wall clock alone is set. */
    set: (hours: number) => {
      jumped += hours * HOUR;
      vi.setSystemTime(Date.now() + hours * HOUR);
    },
  };
}

test("acme 12.2: an intermediate that is due is renewed, and all leaves with it, under the same root", async () => {
  const { plane, after } = await underClock();
  const root = plane.localCa.rootPem;
  const issuer = (snapshot: Snapshot) => leaf(snapshot, "localhost").chain[1];
  const first = plane.snapshot;
  let last = first;
  for (let day = 0; day < 5; day++) last = await after(24);
  expect(issuer(last)).toEqual(issuer(first));
  last = await after(24);
  expect(issuer(last)).not.toEqual(issuer(first));
  expect(plane.localCa.rootPem).toBe(root);
  plane.stop();
});

test("acme 12.4: a root that is due gets a successor, which is told of once, with its path", async () => {
  const told: string[] = [];
  const { plane, after } = await underClock({
    onNewRoot: (storageKey) => void told.push(storageKey),
  });
  const { rootPem } = plane.localCa;
  const { storageKey } = plane.localCa.root;
  const last = await after(2900 * 24);
  expect(plane.localCa.rootPem).not.toBe(rootPem);
  expect(plane.localCa.root.storageKey).not.toBe(storageKey);
  expect(told).toEqual([plane.localCa.root.storageKey]);
  await after(24);
  expect(told).toHaveLength(1);
  expect(leaf(last, "localhost").chain).toHaveLength(3);
  plane.stop();
});

test("acme 14.15b: a clock that is set is told of, and certificates are good by either time", async () => {
  const { plane, warnings, after, set } = await underClock();
  const key = publishedConfigList(plane.ech!);
  set(24);
  const ahead = await after(0);
  expect(warnings).toEqual([expect.stringContaining("set forward by 1440 minutes")]);
  expect(leaf(ahead, "localhost").notAfterMs).toBeGreaterThan(Date.now());
  set(-24 * 400);
  const behind = await after(0);
  expect(warnings[1]).toContain("set back by");
  expect(leaf(behind, "localhost").notBeforeMs).toBeLessThan(Date.now());
  expect(publishedConfigList(plane.ech!)).toBe(key);
  plane.stop();
});

test("acme 14.12: once a day what has expired for two weeks is swept, the clock permitting", async () => {
  const { plane, after } = await underClock();
  const sweep = vi.spyOn(plane.localCa, "sweep");
  await after(10);
  expect(sweep).not.toHaveBeenCalled();
  await after(20);
  expect(sweep.mock.calls).toEqual([[true]]);
  await after(10);
  expect(sweep).toHaveBeenCalledTimes(1);
  plane.stop();
});
