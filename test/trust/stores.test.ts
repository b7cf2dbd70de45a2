import { execFileSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";

import { planJava } from "../../src/trust/java.ts";
import { planNss } from "../../src/trust/nss.ts";
import { describePlan, perform } from "../../src/trust/step.ts";
import { planTrust, rememberTry, trustOnce } from "../../src/trust/trust.ts";
import { has, PROGRAMS, rootOn, type TestMachine, testMachine } from "./support.ts";

const run = (program: string, args: readonly string[]): string =>
  execFileSync(PROGRAMS.get(program) ?? program, args, { encoding: "utf8", stdio: "pipe" });

function makeDatabase(machine: TestMachine, path: string): string {
  const folder = join(machine.home, path);
  mkdirSync(folder, { recursive: true });
  run("certutil", ["-N", "-d", `sql:${folder}`, "--empty-password"]);
  return folder;
}

describe.runIf(has("certutil"))("acme 12.6: NSS databases", () => {
  const programs = Object.fromEntries(PROGRAMS);

  test("of Chromium and of every Firefox profile trust the root for servers, and forget it", async () => {
    const machine = testMachine({ programs });
    const { root } = await rootOn(machine);
    const folders = [
      ".pki/nssdb",
      ".mozilla/firefox/a b.default",
      ".mozilla/firefox/x.dev",
      "snap/firefox/common/.mozilla/firefox/y.default",
    ].map((path) => makeDatabase(machine, path));
    mkdirSync(join(machine.home, ".mozilla/firefox/Crash Reports"));
    writeFileSync(join(machine.home, ".mozilla/firefox/profiles.ini"), "");
    const trusted = (folder: string): string => run("certutil", ["-L", "-d", `sql:${folder}`]);

    const steps = await planNss(machine, root, "trusted");
    expect(steps.map(({ place }) => place)).toEqual(folders);
    expect(describePlan(steps)[1]).toBe(
      `${PROGRAMS.get("certutil")} -A -d 'sql:${
        folders[1]
      }' -n ${root.label} -t C,, -i ${root.file} -f /dev/null`,
    );
    expect(await perform(steps, machine)).toEqual(
      folders.map((place) => ({ store: "nss", place, outcome: "trusted" })),
    );
    for (const folder of folders) {
      expect(trusted(folder)).toMatch(new RegExp(`${root.label}\\s+C,,`));
      const pem = run("certutil", ["-L", "-d", `sql:${folder}`, "-n", root.label, "-a"]);
      expect(pem.replaceAll("\r", "").trim()).toBe(root.pem.trim());
    }
    expect((await perform(steps, machine)).map(({ outcome }) => outcome)).toEqual(
      folders.map(() => "already"),
    );

    const undo = await planNss(machine, root, "untrusted");
    expect((await perform(undo, machine)).map(({ outcome }) => outcome)).toEqual(
      folders.map(() => "untrusted"),
    );
    for (const folder of folders) expect(trusted(folder)).not.toContain(root.label);
    expect((await perform(undo, machine)).map(({ outcome }) => outcome)).toEqual(
      folders.map(() => "already"),
    );
  });

  test("hold two roots of the same name apart", async () => {
    const machine = testMachine({ programs });
    const [one, two] = [await rootOn(machine, "one"), await rootOn(machine, "two")];
    const folder = makeDatabase(machine, ".pki/nssdb");
    for (const { root } of [one, two]) {
      await perform(await planNss(machine, root, "trusted"), machine);
    }
    await perform(await planNss(machine, one.root, "untrusted"), machine);
    const listed = run("certutil", ["-L", "-d", `sql:${folder}`]);
    expect(listed).not.toContain(one.root.label);
    expect(listed).toContain(two.root.label);
  });

  test("with a password fail at once where nobody may be asked for it", async () => {
    const machine = testMachine({ programs });
    const { root } = await rootOn(machine);
    const folder = join(machine.home, ".pki/nssdb");
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(machine.folder, "password"), "correct horse\n");
    run("certutil", ["-N", "-d", `sql:${folder}`, "-f", join(machine.folder, "password")]);
    expect(await perform(await planNss(machine, root, "trusted"), machine)).toMatchObject([
      { outcome: "failed", detail: expect.stringContaining("SEC_ERROR_BAD_PASSWORD") },
    ]);
  });

  test("that are broken fail with certutil's words, and the next one has its turn", async () => {
    const machine = testMachine({ programs });
    const { root } = await rootOn(machine);
    mkdirSync(join(machine.home, ".pki/nssdb"), { recursive: true });
    writeFileSync(join(machine.home, ".pki/nssdb/cert9.db"), "this is no database".repeat(100));
    makeDatabase(machine, ".mozilla/firefox/x.dev");
    expect(await perform(await planNss(machine, root, "trusted"), machine)).toMatchObject([
      { outcome: "failed", detail: expect.stringMatching(/certutil ended with \d+: .*SEC_ERROR/) },
      { outcome: "trusted" },
    ]);
  });
});

test("acme 12.6: databases without certutil are skipped with the packages that have it; none, no word", async () => {
  const machine = testMachine();
  const { root } = await rootOn(machine);
  expect(await planNss(machine, root, "trusted")).toEqual([]);
  mkdirSync(join(machine.home, ".pki/nssdb"), { recursive: true });
  writeFileSync(join(machine.home, ".pki/nssdb/cert9.db"), "");
  expect(await perform(await planNss(machine, root, "trusted"), machine)).toMatchObject([
    { outcome: "skipped", detail: expect.stringContaining("libnss3-tools") },
  ]);
  expect(machine.ran).toEqual([]);
});

describe.runIf(has("keytool"))("acme 12.6: Java's keystore", () => {
  test("takes the root and gives it back", async () => {
    const machine = testMachine({ programs: Object.fromEntries(PROGRAMS) });
    const { root } = await rootOn(machine);
    const javaHome = join(machine.folder, "java");
    const cacerts = join(javaHome, "lib/security/cacerts");
    mkdirSync(dirname(cacerts), { recursive: true });
    copyFileSync(realCacerts(), cacerts);
    const here = { ...machine, javaHome };
    const holds = (): boolean =>
      run("keytool", ["-list", "-keystore", cacerts, "-storepass", "changeit"])
        .includes(root.label);

    const steps = await planJava(here, root, "trusted");
    expect(await perform(steps, here)).toEqual([
      { store: "java", place: cacerts, outcome: "trusted" },
    ]);
    expect(holds()).toBe(true);
    expect(await perform(steps, here)).toMatchObject([{ outcome: "already" }]);
    const undo = await planJava(here, root, "untrusted");
    expect(await perform(undo, here)).toMatchObject([{ outcome: "untrusted" }]);
    expect(holds()).toBe(false);
    expect(await perform(undo, here)).toMatchObject([{ outcome: "already" }]);
  }, 120_000); // each keytool is a Java that starts
});

test("acme 12.6: a keystore in jre/ is found, too, and its Java's own keytool is preferred", async () => {
  const machine = testMachine({ programs: { keytool: "/usr/bin/keytool" } });
  const { root } = await rootOn(machine);
  const javaHome = join(machine.folder, "java");
  mkdirSync(join(javaHome, "jre/lib/security"), { recursive: true });
  writeFileSync(join(javaHome, "jre/lib/security/cacerts"), "");
  const plan = async (): Promise<string> =>
    describePlan(await planJava({ ...machine, javaHome }, root, "trusted")).join();
  expect(await plan()).toBe(
    `/usr/bin/keytool -importcert -noprompt -keystore ${javaHome}/jre/lib/security/cacerts ` +
      `-storepass changeit -alias ${root.label} -file ${root.file}`,
  );
  mkdirSync(join(javaHome, "bin"));
  writeFileSync(join(javaHome, "bin/keytool"), "");
  expect(await plan()).toContain(`${javaHome}/bin/keytool -importcert`);
});

test("acme 12.6: without JAVA_HOME, or with one that has no keystore, Java is left alone", async () => {
  const machine = testMachine();
  const { root } = await rootOn(machine);
  expect(await planJava(machine, root, "trusted")).toEqual([]);
  expect(await planJava({ ...machine, javaHome: machine.folder }, root, "trusted")).toEqual([]);
});

describe("acme 12.6: the try that is made by itself", () => {
  test("is made once for each root, also where it fails, and never throws for a store", async () => {
    const machine = testMachine();
    const { root, storage } = await rootOn(machine);
    const folder = join(machine.folder, "anchors");
    mkdirSync(folder);
    const here = {
      ...machine,
      anchorFolders: [{ folder, extension: "crt", update: ["false"] }] as const,
      find: () => Promise.resolve("/bin/false"),
    };
    const results = await trustOnce(storage, here, root, Date.UTC(2026, 0, 2));
    expect(results).toMatchObject([{ store: "system", outcome: "failed" }]);
    expect(await trustOnce(storage, here, root, Date.now())).toBeUndefined();
    const record = JSON.parse(readFileSync(
      join(machine.folder, "data/pki/authorities/local/trust.json"),
      "utf8",
    ));
    expect(record).toEqual({
      tried: { [root.fingerprint]: { at: "2026-01-02T00:00:00.000Z", results } },
    });
    const other = await rootOn(machine, "other");
    expect(await trustOnce(storage, here, other.root, Date.now())).toBeDefined();
    expect(await trustOnce(storage, here, root, Date.now())).toBeUndefined();
  });

  test("is not made after a person has trusted or untrusted it", async () => {
    const machine = testMachine();
    const { root, storage } = await rootOn(machine);
    await rememberTry(storage, root, [], Date.now());
    expect(await trustOnce(storage, machine, root, Date.now())).toBeUndefined();
    expect(machine.ran).toEqual([]);
  });

  test("takes a record that cannot be read for none", async () => {
    const machine = testMachine();
    const { root, storage } = await rootOn(machine);
    for (const text of ["", "[", "null", '{"tried":3}', "[]"]) {
      await storage.put("pki/authorities/local/trust.json", new TextEncoder().encode(text));
      expect(await trustOnce(storage, machine, root, Date.now())).toMatchObject([
        { outcome: "skipped" },
      ]);
    }
  });
});

test("a plan looks, and changes nothing", async () => {
  const machine = testMachine({ programs: Object.fromEntries(PROGRAMS) });
  const { root, data } = await rootOn(machine);
  expect(await planTrust(machine, root)).toHaveLength(1);
  expect(machine.ran).toEqual([]);
  expect(existsSync(join(data, "pki/authorities/local/trust.json"))).toBe(false);
});

/** The keystore of the Java that keytool belongs to. */
function realCacerts(): string {
  const javaHome = dirname(dirname(realpathSync(PROGRAMS.get("keytool")!)));
  const found = ["lib/security/cacerts", "jre/lib/security/cacerts"].map((path) =>
    join(javaHome, path)
  ).find((path) => existsSync(path));
  if (found === undefined) throw new Error(`no cacerts below ${javaHome}`);
  return found;
}
