import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { parseConfig } from "../../src/config/load.ts";
import {
  type ControlPlane,
  type ControlPlaneParts,
  startControlPlane,
} from "../../src/control/control-plane.ts";
import { SnapshotFile } from "../../src/control/snapshot-file.ts";
import { openFileStorage } from "../../src/control/storage/files.ts";
import type { Storage } from "../../src/control/storage/storage.ts";
import { chooseCrypto } from "../../src/crypto/choose.ts";
import type { SiteCredential } from "../../src/snapshot/credential.ts";
import type { PackedSites } from "../../src/snapshot/packed-sites.ts";
import type { Snapshot } from "../../src/snapshot/snapshot.ts";
import { DAY, type Made, make } from "../x509/make.ts";

const crypto = chooseCrypto();
const HOUR = 3600_000;
let folder: string;
/** They write to the folder behind a reload. */
const planes: ControlPlane[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "sotto-stored-"));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  for (const plane of planes.splice(0)) await plane.written();
  await rm(folder, { recursive: true });
});

/** Runs to its end: what it leaves is there. */
async function start(toml: string, more: Partial<ControlPlaneParts> = {}) {
  const trouble: unknown[] = [];
  const asked: string[] = [];
  const plane = await startControlPlane({
    config: await parseConfig(toml, join(folder, "sotto.toml")),
    openStorage: async () => watched(await openFileStorage(join(folder, "data")), asked),
    file: new SnapshotFile(join(folder, "data"), crypto),
    crypto,
    keyLog: undefined,
    now: Date.now,
    onTrouble: (error) => void trouble.push(error),
    ...more,
  });
  planes.push(plane);
  await plane.settled();
  await plane.written();
  expect(trouble).toEqual([]);
  return { plane, leavesAskedFor: asked.filter((key) => key.startsWith("certificates/")) };
}

/** Notes which keys are read. */
function watched(storage: Storage, asked: string[]): Storage {
  return new Proxy(storage, {
    get(target, key: keyof Storage) {
      const member = target[key];
      if (typeof member !== "function") return member;
      return (...args: [string]) => {
        if (key === "get") asked.push(args[0]);
        return (member as (...args: unknown[]) => unknown).apply(target, args);
      };
    },
  });
}

const site = (name: string, text = "") => `[[site]]\nnames = ["${name}"]\nrespond = "${text}"\n`;
const THREE = site("a.localhost") + site("b.localhost") + site("c.localhost");

const leaf = ({ snapshot }: { snapshot: Snapshot }, name: string) =>
  snapshot.findText(name)!.tls.credentials[0] as SiteCredential;
const chain = (plane: ControlPlane, name: string) => leaf(plane, name).chain;

async function put(name: string, { pem, keyPem }: Pick<Made, "pem" | "keyPem">): Promise<void> {
  await writeFile(join(folder, `${name}.crt`), pem);
  await writeFile(join(folder, `${name}.key`), keyPem, { mode: 0o600 });
}

const certified = (name: string) =>
  make({ subject: "CN=x", names: [{ type: "dns", value: name }], notAfter: Date.now() + DAY });

describe("A start of the same configuration", () => {
  test("goes on from what the last run has left, without a look at any leaf in storage", async () => {
    const first = await start(THREE);
    const { plane, leavesAskedFor } = await start(THREE);
    expect(leavesAskedFor).toEqual([]);
    expect(plane.snapshot.slots.looseCount).toBe(0);
    for (const name of ["a.localhost", "b.localhost", "c.localhost", "cover.localhost"]) {
      expect(chain(plane, name)).toEqual(chain(first.plane, name));
    }
    expect(plane.snapshot.findText("a.localhost")).toBe(plane.snapshot.findText("a.localhost"));
    expect(plane.snapshot.server.flightPadding).toBe(first.plane.snapshot.server.flightPadding);
    expect(plane.warnings).toEqual([]);
  });

  test("shows no certificate that has expired since, and renews what is due", async () => {
    const { plane } = await start(THREE);
    const before = leaf(plane, "b.localhost");
    for (const hours of [10, 13, 24 * 60]) {
      const now = () => Date.now() + hours * HOUR;
      const later = leaf((await start(THREE, { now })).plane, "b.localhost");
      expect(later.notBeforeMs).toBeGreaterThan(before.notBeforeMs);
      expect(later.notAfterMs).toBeGreaterThan(now());
    }
  });

  test("under another root than before has every chain lead to that one", async () => {
    const first = await start(THREE);
    await rm(join(folder, "data/pki"), { recursive: true });
    await rm(join(folder, "data/certificates"), { recursive: true });
    const { plane } = await start(THREE);
    expect(plane.localCa.rootPem).not.toBe(first.plane.localCa.rootPem);
    for (const name of ["a.localhost", "c.localhost", "cover.localhost"]) {
      expect(chain(plane, name)[1]).not.toEqual(chain(first.plane, name)[1]);
    }
    const again = await start(THREE);
    expect(again.leavesAskedFor).toEqual([]);
    expect(chain(again.plane, "a.localhost")).toEqual(chain(plane, "a.localhost"));
  });

  test("under another root has also those names lead to it that no file of their site covers, whatever became of the file", async () => {
    const toml = `[[site]]\nnames = ["a.example", "b.localhost"]\n` +
      `certificate = "a.crt"\nkey = "a.key"\n`;
    await put("a", await certified("a.example"));
    for (const [file, isKept] of [["as it was", true], ["broken", false]] as const) {
      const first = await start(toml);
      if (!isKept) await writeFile(join(folder, "a.crt"), file);
      await rm(join(folder, "data/pki"), { recursive: true });
      await rm(join(folder, "data/certificates"), { recursive: true });
      const { plane } = await start(toml);
      expect(chain(plane, "b.localhost")[1], file).not.toEqual(
        chain(first.plane, "b.localhost")[1],
      );
      expect(chain(plane, "a.example"), file).toEqual(chain(first.plane, "a.example"));
    }
  });

  test("renews what the local CA issued also while a file of the site cannot be used", async () => {
    const toml = `[[site]]\nnames = ["a.example", "b.localhost"]\n` +
      `certificate = "a.crt"\nkey = "a.key"\n`;
    await put("a", await certified("a.example"));
    const before = leaf((await start(toml)).plane, "b.localhost");
    await writeFile(join(folder, "a.crt"), "broken");
    const now = () => Date.now() + 11 * HOUR;
    const { plane } = await start(toml, { now });
    expect(leaf(plane, "b.localhost").notBeforeMs).toBeGreaterThan(before.notBeforeMs);
    expect(plane.warnings.join()).toContain("What was read before goes on serving");
  });

  test("has the local CA issue for names that a file covers no longer", async () => {
    const toml = `[[site]]\nnames = ["b.localhost", "c.localhost", "a.example"]\n` +
      `certificate = "a.crt"\nkey = "a.key"\n`;
    const names = ["a.example", "c.localhost"].map((value) => ({ type: "dns", value }) as const);
    await put("a", await make({ subject: "CN=x", names, notAfter: Date.now() + DAY }));
    const first = await start(toml);
    expect(leaf(first.plane, "b.localhost").names).toEqual(["b.localhost"]);
    await put("a", await certified("a.example"));
    const { plane } = await start(toml);
    for (const name of ["b.localhost", "c.localhost"]) {
      expect(leaf(plane, name).names).toEqual(["b.localhost", "c.localhost"]);
    }
  });

  test("reads files that have changed meanwhile, and no others", async () => {
    const toml = ["a", "b"].map((name) =>
      `[[site]]\nnames = ["${name}.example"]\ncertificate = "${name}.crt"\nkey = "${name}.key"\n`
    ).join("");
    for (const name of ["a", "b"]) await put(name, await certified(`${name}.example`));
    const first = await start(toml);
    const next = await certified("a.example");
    await put("a", next);
    const { plane } = await start(toml);
    expect(chain(plane, "a.example")).toEqual([next.certificate.der]);
    expect(chain(plane, "b.example")).toEqual(chain(first.plane, "b.example"));
    expect(plane.snapshot.slots.looseCount).toBe(1);
  });

  test("keeps what was read before where a file cannot be used any more, and says so each time", async () => {
    const toml = `[[site]]\nnames = ["a.example"]\ncertificate = "a.crt"\nkey = "a.key"\n`;
    await put("a", await certified("a.example"));
    const first = await start(toml);
    await writeFile(join(folder, "a.crt"), "nonsense");
    for (let i = 0; i < 2; i++) {
      const { plane } = await start(toml);
      expect(chain(plane, "a.example")).toEqual(chain(first.plane, "a.example"));
      expect(plane.warnings).toEqual([
        expect.stringMatching(/^Cannot use .*a\.crt: .* What was read before goes on serving$/),
      ]);
    }
    await rm(join(folder, "data/snapshot.bin"));
    await expect(start(toml)).rejects.toThrow(/a\.crt/);
  });

  test("says again what it said of files, and what has become true of them", async () => {
    const toml = `[[site]]\nnames = ["b.example"]\ncertificate = "a.crt"\nkey = "a.key"\n`;
    await put("a", await certified("a.example"));
    const first = await start(toml);
    expect(first.plane.warnings).toEqual([expect.stringContaining("covers it")]);
    expect((await start(toml)).plane.warnings).toEqual(first.plane.warnings);
    const late = await start(toml, { now: () => Date.now() + 2 * DAY });
    expect(late.plane.warnings).toContainEqual(expect.stringMatching(/a\.crt expired at/));
  });

  test("takes a key from the environment as it is now", async () => {
    const toml =
      `[[site]]\nnames = ["a.example"]\ncertificate = "a.crt"\nkey = "env:SOTTO_TEST_KEY"`;
    const made = await certified("a.example");
    await put("a", made);
    vi.stubEnv("SOTTO_TEST_KEY", made.keyPem);
    await start(toml);
    vi.stubEnv("SOTTO_TEST_KEY", "");
    const { plane } = await start(toml);
    expect(plane.warnings).toEqual([
      expect.stringMatching(/environment variable SOTTO_TEST_KEY: it is not set. What was read/),
    ]);
    expect(chain(plane, "a.example")).toEqual([made.certificate.der]);
  });
});

describe("A start of another configuration", () => {
  test("builds what is not the same as before, and nothing else", async () => {
    const first = await start(THREE);
    const toml = site("c.localhost") + site("b.localhost", "other") + site("d.localhost");
    const { plane, leavesAskedFor } = await start(toml);
    expect(new Set(leavesAskedFor)).toEqual(
      new Set(["b", "d"].map((name) => `certificates/local/${name}.localhost.json`)),
    );
    expect(plane.snapshot.findText("a.localhost")).toBeUndefined();
    expect(plane.snapshot.findText("b.localhost")!.handler).toMatchObject({ text: "other" });
    for (const name of ["b.localhost", "c.localhost", "cover.localhost"]) {
      expect(chain(plane, name)).toEqual(chain(first.plane, name));
    }
    const again = await start(toml);
    expect(again.leavesAskedFor).toEqual([]);
    expect(again.plane.snapshot.findText("d.localhost")).toBeDefined();
  });

  test("refuses a file that cannot be used", async () => {
    await start(THREE);
    const toml = `${THREE}[[site]]\nnames = ["a.example"]\ncertificate = "a.crt"\nkey = "a.key"\n`;
    await expect(start(toml)).rejects.toThrow(/a\.crt: there is no such file/);
  });
});

describe("A site that cannot be read any more", () => {
  const toml = THREE + `[[site]]\nnames = ["d.example", "e.localhost"]\n` +
    `certificate = "d.crt"\nkey = "d.key"\n`;
  const names = ["b.localhost", "e.localhost", "cover.localhost"];

  async function damaged(more: Partial<ControlPlaneParts> = {}) {
    await put("d", await certified("d.example"));
    await start(toml);
    const { plane } = await start(toml, more);
    const { snapshot } = plane;
    const find = (name: string) => snapshot.find(new TextEncoder().encode(name));
    for (const name of names) {
      const { base } = snapshot.slots;
      (base as PackedSites).siteBytes(snapshot.slotOf(name)!)!.fill(0xff);
      expect(() => find(name)).toThrow("Cannot read the site in place");
    }
    expect(find("a.localhost")?.names).toEqual(["a.localhost"]);
    return plane;
  }

  const isWhole = ({ snapshot }: ControlPlane) => {
    for (const name of [...names, "a.localhost", "c.localhost", "d.example"]) {
      expect(snapshot.findText(name)?.names).toEqual([name]);
      expect(snapshot.findText(name)!.tls.credentials.length).toBe(1);
    }
  };

  test("is made anew by the next build", async () => {
    const plane = await damaged();
    const before = plane.snapshot.findText("a.localhost");
    await plane.reload(await parseConfig(toml, join(folder, "sotto.toml")));
    isWhole(plane);
    expect(plane.snapshot.findText("a.localhost")).toBe(before);
    await plane.written();
    const again = await start(toml);
    isWhole(again.plane);
    expect(again.leavesAskedFor).toEqual([]);
  });

  test("is made anew within a minute", async () => {
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
    try {
      const plane = await damaged();
      plane.keepFresh(() => {});
      vi.advanceTimersByTime(60_000);
      await plane.settled();
      isWhole(plane);
      plane.stop();
      await plane.written();
    } finally {
      vi.useRealTimers();
    }
  });

  test("goes where the configuration has it no more", async () => {
    const plane = await damaged();
    await plane.reload(await parseConfig(site("a.localhost"), join(folder, "sotto.toml")));
    for (const name of ["b.localhost", "d.example", "e.localhost"]) {
      expect(plane.snapshot.slotOf(name)).toBeUndefined();
    }
    expect(plane.snapshot.findText("cover.localhost")?.publicNameOnly).toBe(true);
  });
});

test("Sites that are many are packed once they are written, and go on as they were", async () => {
  const toml = "[ech]\nenabled = false\n" + Array.from(
    { length: 2500 },
    (_, i) => `[[site]]\nnames = ["n${i}.localhost"]\npassthrough = "app:${i % 9 + 1}"\n`,
  ).join("");
  const { plane } = await start(toml);
  expect(plane.snapshot.slots.looseCount).toBe(0);
  expect(plane.snapshot.findText("n2499.localhost")!.handler.kind).toBe("passthrough");
  await plane.reload(await parseConfig(toml + site("one.localhost"), join(folder, "sotto.toml")));
  expect(plane.snapshot.slots.looseCount).toBe(1);
  await plane.written();
  const { stored } = await new SnapshotFile(join(folder, "data"), crypto).read();
  expect(stored!.table.slots.length).toBe(2501);
  expect(stored!.table.slots.get(2500)!.names).toEqual(["one.localhost"]);
  expect(stored!.table.slots.get(7)!.names).toEqual(["n7.localhost"]);
});
