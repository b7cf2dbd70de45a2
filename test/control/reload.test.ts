import { chmod, mkdtemp, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import type { Config } from "../../src/config/config.ts";
import { parseConfig } from "../../src/config/load.ts";
import {
  type ControlPlane,
  type ControlPlaneParts,
  startControlPlane,
} from "../../src/control/control-plane.ts";
import { SnapshotFile } from "../../src/control/snapshot-file.ts";
import { openFileStorage } from "../../src/control/storage/files.ts";
import { StorageError } from "../../src/control/storage/storage.ts";
import { chooseCrypto } from "../../src/crypto/choose.ts";
import type { SiteCredential } from "../../src/snapshot/credential.ts";
import type { Snapshot } from "../../src/snapshot/snapshot.ts";
import { DAY, type Made, make } from "../x509/make.ts";

const crypto = chooseCrypto();
let folder: string;
let planes: ControlPlane[];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "sotto-reload-"));
  planes = [];
});
afterEach(async () => {
  vi.useRealTimers();
  for (const plane of planes) {
    plane.stop();
    await plane.written();
  }
  await rm(folder, { recursive: true });
});

interface Started {
  readonly plane: ControlPlane;
  readonly warnings: string[];
  readonly trouble: unknown[];
  /** What a minute's tick makes of it; undefined: nothing was due. */
  readonly tick: () => Promise<Snapshot | undefined>;
}

async function start(toml: string, more: Partial<ControlPlaneParts> = {}): Promise<Started> {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
  const [warnings, trouble]: [string[], unknown[]] = [[], []];
  const plane = await startControlPlane({
    config: await configOf(toml),
    openStorage: () => openFileStorage(join(folder, "data")),
    file: new SnapshotFile(join(folder, "data"), crypto),
    crypto,
    keyLog: undefined,
    now: Date.now,
    onWarning: (what) => void warnings.push(what),
    onTrouble: (error) => void trouble.push(error),
    ...more,
  });
  planes.push(plane);
  let got: Snapshot | undefined;
  plane.keepFresh((snapshot) => got = snapshot);
  const tick = async (): Promise<Snapshot | undefined> => {
    got = undefined;
    vi.advanceTimersByTime(60_000);
    await plane.settled();
    return got;
  };
  return { plane, warnings, trouble, tick };
}

function configOf(toml: string): Promise<Config> {
  return parseConfig(toml, join(folder, "sotto.toml"));
}

const leaf = (snapshot: Snapshot, name: string) =>
  snapshot.findText(name)!.tls.credentials[0] as SiteCredential;

async function put(name: string, { pem, keyPem }: Pick<Made, "pem" | "keyPem">): Promise<void> {
  await writeFile(join(folder, `${name}.crt`), pem);
  await writeFile(join(folder, `${name}.key`), keyPem, { mode: 0o600 });
}

const certified = (name: string) =>
  make({
    subject: "CN=x",
    names: [{ type: "dns", value: name }],
    notAfter: Date.now() + DAY,
  });

const FROM_FILES = `
[[site]]
names = ["a.example"]
certificate = "a.crt"
key = "a.key"
[[site]]
names = ["b.localhost"]
`;

describe("Automatic HTTPS", () => {
  const OF_TWO = (more: string) =>
    `${more}\n[[site]]\nnames = ["a.example", "b.localhost"]\ncertificate = "a.crt"\nkey = "a.key"`;

  test("policy 1.4: names without a file of their own get a certificate, or are refused where none may be issued", async () => {
    await put("a", await certified("a.example"));
    const { plane } = await start(OF_TWO(""));
    expect(leaf(plane.snapshot, "b.localhost").names).toEqual(["b.localhost"]);
    for (const off of ['"no_certificates"', '"off"', '{ skip_certificates = ["b.localhost"] }']) {
      const config = await configOf(OF_TWO(`auto_https = ${off}`));
      await expect(plane.reload(config)).rejects.toThrow(
        "There is no certificate for b.localhost: auto_https lets none be issued",
      );
    }
    await plane.reload(
      await configOf(OF_TWO(`auto_https = { skip_certificates = ["a.example"] }`)),
    );
  });

  test("policy 1.2: with ignore_loaded one is issued also where a file covers the name, and comes second", async () => {
    await put("a", await certified("a.example"));
    const { plane } = await start(OF_TWO("auto_https = { ignore_loaded = true }"));
    const { credentials } = plane.snapshot.findText("a.example")!.tls;
    expect(credentials.map((one) => (one as SiteCredential).origin)).toEqual([
      "operator",
      "managed",
    ]);
  });
});

describe("Certificates from files", () => {
  test("are read again when they change, and nothing else is made anew", async () => {
    await put("a", await certified("a.example"));
    const { plane, tick, warnings } = await start(FROM_FILES);
    const before = plane.snapshot;
    expect(await tick()).toBeUndefined();

    const next = await certified("a.example");
    await put("a", next);
    const after = (await tick())!;
    expect(leaf(after, "a.example").chain).toEqual([next.certificate.der]);
    expect(after.findText("b.localhost")).toBe(before.findText("b.localhost"));
    expect(after.index).toBe(before.index);
    expect(after.server).toBe(before.server);
    expect(warnings).toEqual([]);
    expect(await tick()).toBeUndefined();
  });

  test("keep what was read before while a pair is half written, with one warning", async () => {
    await put("a", await certified("a.example"));
    const { plane, tick, warnings } = await start(FROM_FILES);
    const before = plane.snapshot;
    const next = await certified("a.example");
    await writeFile(join(folder, "a.crt"), next.pem);
    await tick();
    expect(leaf(plane.snapshot, "a.example").chain)
      .toEqual(leaf(before, "a.example").chain);
    expect(warnings).toEqual([
      expect.stringMatching(/^The key in .*a\.key does not belong .* goes on serving$/),
    ]);
    expect(await tick()).toBeUndefined();
    expect(warnings).toHaveLength(1);

    await writeFile(join(folder, "a.key"), next.keyPem);
    expect(leaf((await tick())!, "a.example").chain).toEqual([next.certificate.der]);
    expect(warnings.slice(1)).toEqual([]);
  });

  test("that go away, or come back as nonsense, change nothing either", async () => {
    const made = await certified("a.example");
    await put("a", made);
    const { plane, tick, warnings } = await start(FROM_FILES);
    await rm(join(folder, "a.key"));
    await tick();
    await writeFile(join(folder, "a.key"), "nonsense");
    await tick();
    expect(leaf(plane.snapshot, "a.example").chain).toEqual([made.certificate.der]);
    expect(warnings).toEqual([
      expect.stringContaining("there is no such file"),
      expect.stringContaining('it holds no "BEGIN PRIVATE KEY" block'),
    ]);
  });

  test("that do not fit together at start are an error that names both", async () => {
    const [a, b] = [await certified("a.example"), await certified("a.example")];
    await put("a", { pem: a.pem, keyPem: b.keyPem });
    await expect(start(FROM_FILES)).rejects.toThrow(
      /The key in .*a\.key does not belong to the certificate in .*a\.crt/,
    );
  });

  test("have their key in an environment variable", async () => {
    const made = await certified("a.example");
    await put("a", made);
    const toml =
      `[[site]]\nnames = ["a.example"]\ncertificate = "a.crt"\nkey = "env:SOTTO_TEST_KEY"`;
    await expect(start(toml)).rejects.toThrow(
      "Cannot read the key from the environment variable SOTTO_TEST_KEY: it is not set",
    );
    vi.stubEnv("SOTTO_TEST_KEY", made.keyPem);
    const { plane } = await start(toml);
    expect(leaf(plane.snapshot, "a.example").chain).toEqual([made.certificate.der]);
    vi.unstubAllEnvs();
  });
});

describe("Another configuration", () => {
  const ONE = `[[site]]\nnames = ["a.localhost"]\nrespond = "one"`;

  test("is taken as a whole; sites that stay are the same ones", async () => {
    const { plane } = await start(`${ONE}\n[[site]]\nnames = ["b.localhost"]`);
    const before = plane.snapshot;
    let got: Snapshot | undefined;
    plane.keepFresh((snapshot) => got = snapshot);
    await plane.reload(
      await configOf(
        `default_sni = "c.localhost"\n${ONE}\n[[site]]\nnames = ["c.localhost"]\nforward = "x:1"`,
      ),
    );
    expect(got).toBe(plane.snapshot);
    expect(got!.findText("a.localhost")).toBe(before.findText("a.localhost"));
    expect(got!.findText("b.localhost")).toBeUndefined();
    expect(got!.findText("c.localhost")!.handler.kind).toBe("forward");
    expect(got!.findWithoutName("10.0.0.1")).toBe(got!.findText("c.localhost"));
    expect(got!.server.tickets).toBe(before.server.tickets);
  });

  test("with ECH off, and on again, has the keys that there were", async () => {
    const { plane } = await start(ONE);
    const keys = plane.ech!.retryConfigs;
    await plane.reload(await configOf(`[ech]\nenabled = false\n${ONE}`));
    expect(plane.ech).toBeUndefined();
    expect(plane.snapshot.server.ech).toBeUndefined();
    expect(plane.snapshot.findText("cover.localhost")).toBeUndefined();
    await plane.reload(await configOf(ONE));
    expect(plane.snapshot.server.ech!.retryConfigs).toEqual(keys);
  });

  test("that names a file which cannot be used leaves everything as it was", async () => {
    const { plane } = await start(ONE);
    const before = plane.snapshot;
    const wrong = await configOf(`[[site]]\nnames = ["n.localhost"]\n${FROM_FILES}`);
    await expect(plane.reload(wrong)).rejects.toThrow(/a\.crt: there is no such file/);
    expect(plane.snapshot).toBe(before);
    expect(plane.snapshot.findText("n.localhost")).toBeUndefined();
  });
});

test("Many changes are folded into a new base on another thread; sites keep their places", async () => {
  const sites = (count: number) =>
    Array.from({ length: count }, (_, i) => `n${i}.localhost`).map((name, i) =>
      `[[site]]\nnames = ["${name}"]\npassthrough = "app:${i % 9 + 1}"`
    ).join("\n");
  const off = "[ech]\nenabled = false\n";
  const { plane, trouble } = await start(off + sites(10));
  const { base } = plane.snapshot.index;
  const first = plane.snapshot.findText("n9.localhost");
  let got: Snapshot | undefined;
  plane.keepFresh((snapshot) => got = snapshot);
  await plane.reload(await configOf(off + sites(2500)));
  expect(plane.snapshot.index.base).toBe(base);
  await plane.settled();
  expect(trouble).toEqual([]);
  expect(got).toBe(plane.snapshot);
  expect(plane.snapshot.index.base.size).toBe(2500);
  expect(plane.snapshot.index.overlay.size).toBe(0);
  // A place holds bytes; the object that was made of them may have been let go and made again.
  expect(plane.snapshot.slots.get(9)).toEqual(first);
  expect(plane.snapshot.findText("n2499.localhost")!.names).toEqual(["n2499.localhost"]);

  await plane.reload(await configOf(off + sites(2499)));
  expect(plane.snapshot.index.overlay.size).toBe(1);
  expect(plane.snapshot.findText("n2499.localhost")).toBeUndefined();
});

describe("The snapshot's file", () => {
  const TOML = `fallback_sni = "a.localhost"\n[[site]]\nnames = ["a.localhost"]\nrespond = "one"`;
  const down = () =>
    Promise.reject(new StorageError("read-only", "Cannot write to /data: it is read-only"));
  const bin = () => join(folder, "data/snapshot.bin");

  test("serves where storage fails, until storage is back", async () => {
    const first = await start(TOML);
    await first.plane.written();
    let openStorage: ControlPlaneParts["openStorage"] = down;
    const { plane, trouble, tick } = await start(TOML, { openStorage: () => openStorage() });
    const served = plane.snapshot;
    expect(plane.warnings).toEqual([
      expect.stringMatching(
        /^Storage cannot be used, what it held at 20.* is served: .*read-only$/,
      ),
    ]);
    expect(leaf(served, "a.localhost").chain).toEqual(
      leaf(first.plane.snapshot, "a.localhost").chain,
    );
    expect(served.find(new TextEncoder().encode("b.test"))).toBe(served.findText("a.localhost"));
    expect(served.server.ech!.retryConfigs).toEqual(first.plane.ech!.retryConfigs);
    expect(served.server.flightPadding).toBe(first.plane.snapshot.server.flightPadding);
    expect(plane.rootKey).toBe(first.plane.rootKey);
    // Ticket keys are this process's own.
    expect(served.server.tickets!.keys).not.toEqual(first.plane.snapshot.server.tickets!.keys);
    const [scheme] = leaf(served, "a.localhost").schemes;
    expect(leaf(served, "a.localhost").sign!(scheme!, Uint8Array.of(1)).length).toBeGreaterThan(32);

    expect(await tick()).toBeUndefined();
    expect(trouble).toEqual([expect.any(StorageError)]);
    await expect(plane.reload(await configOf(TOML))).rejects.toThrow("read-only");
    openStorage = () => openFileStorage(join(folder, "data"));
    const after = (await tick())!;
    expect(leaf(after, "a.localhost").chain).toEqual(leaf(served, "a.localhost").chain);
    expect(plane.localCa.rootPem).toBe(first.plane.localCa.rootPem);
  });

  test("of another configuration does not serve", async () => {
    const { plane } = await start(TOML);
    await plane.written();
    await expect(start(`${TOML}\n[[site]]\nnames = ["b.localhost"]`, { openStorage: down }))
      .rejects.toThrow("read-only");
  });

  test("is passed over where it is damaged, exposed or absent, and written anew", async () => {
    const { plane } = await start(TOML);
    await plane.written();
    const whole = await readFile(bin());
    await writeFile(bin(), whole.subarray(0, whole.length - 1));
    const damaged = await start(TOML);
    expect(damaged.plane.warnings).toEqual([
      `The snapshot in ${bin()} is ignored: its checksum is wrong`,
    ]);
    await damaged.plane.written();
    await expect(new SnapshotFile(join(folder, "data"), crypto).read())
      .resolves.toHaveProperty("stored");

    expect((await stat(bin())).mode & 0o777).toBe(0o600);
    await chmod(bin(), 0o644);
    expect((await start(TOML)).plane.warnings[0]).toContain("Run: chmod 600");
    await rm(bin());
    expect((await start(TOML)).plane.warnings).toEqual([]);
  });

  test("is not written where nothing has changed", async () => {
    const { plane, tick } = await start(TOML);
    await plane.written();
    await utimes(bin(), 1, 1);
    await plane.reload(await configOf(TOML));
    expect(await tick()).toBeUndefined();
    await plane.written();
    expect((await stat(bin())).mtimeMs).toBe(1000);
  });

  test("that cannot be written is trouble, and nothing stops for it", async () => {
    await writeFile(join(folder, "blocked"), "");
    const file = new SnapshotFile(join(folder, "blocked"), crypto);
    const { plane, trouble } = await start(TOML, { file });
    await plane.written();
    expect(trouble).toEqual([expect.any(StorageError)]);
    expect(plane.snapshot.findText("a.localhost")).toBeDefined();
  });
});
