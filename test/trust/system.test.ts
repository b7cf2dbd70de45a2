import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { describe, expect, test } from "vitest";

import { ANCHOR_FOLDERS, type AnchorFolder } from "../../src/trust/machine.ts";
import { describePlan, perform } from "../../src/trust/step.ts";
import { planSystem } from "../../src/trust/system.ts";
import { has, PROGRAMS, rootOn, script, testMachine } from "./support.ts";

describe("acme 12.6: the system's store on Linux", () => {
  test("is a folder and an update program, the first pair that is there", async () => {
    const machine = testMachine();
    const { root } = await rootOn(machine);
    const log = join(machine.folder, "log");
    const update = script(
      machine,
      "update",
      `echo "$@" >> ${log}; ls ${machine.folder}/b >> ${log}`,
    );
    const anchorFolders: AnchorFolder[] = [
      { folder: join(machine.folder, "none"), extension: "pem", update: ["update", "extract"] },
      { folder: join(machine.folder, "a"), extension: "pem", update: ["no-such", "extract"] },
      { folder: join(machine.folder, "b"), extension: "crt", update: ["update", "now"] },
      { folder: join(machine.folder, "c"), extension: "crt", update: ["update", "late"] },
    ];
    for (const name of ["a", "b", "c"]) mkdirSync(join(machine.folder, name));
    const here = { ...machine, anchorFolders, find: finder({ update }) };
    const path = join(machine.folder, "b", `${root.label}.crt`);

    const steps = await planSystem(here, root, "trusted");
    expect(describePlan(steps)).toEqual([`write ${path}`, `${update} now`]);
    expect(existsSync(path)).toBe(false);

    const umask = process.umask(0o077);
    try {
      expect(await perform(steps, here)).toEqual([
        { store: "system", place: join(machine.folder, "b"), outcome: "trusted" },
      ]);
    } finally {
      process.umask(umask);
    }
    expect(readFileSync(path, "utf8")).toBe(root.pem);
    expect((statSync(path).mode & 0o777).toString(8)).toBe("644");
    expect(readFileSync(log, "utf8")).toBe(`now\n${root.label}.crt\n`);
    expect(await perform(await planSystem(here, root, "trusted"), here)).toMatchObject([
      { outcome: "trusted" },
    ]);

    const undo = await planSystem(here, root, "untrusted");
    expect(describePlan(undo)).toEqual([`rm ${path}`, `${update} now`]);
    expect(await perform(undo, here)).toMatchObject([{ outcome: "untrusted" }]);
    expect(existsSync(path)).toBe(false);
    expect(await planSystem(here, root, "untrusted")).toEqual([]);
  });

  test("goes through sudo for others than root, and asks for no password unless it may", async () => {
    const machine = testMachine();
    const { root } = await rootOn(machine);
    const folder = join(machine.folder, "anchors");
    mkdirSync(folder);
    const sudo = script(machine, "sudo", 'while [ "$1" = -n ]; do shift; done; exec "$@"');
    const here = {
      ...machine,
      isRoot: false,
      anchorFolders: [{ folder, extension: "crt", update: ["true"] }] as const,
      find: finder({ sudo, true: "/bin/true" }),
    };
    const path = join(folder, `${root.label}.crt`);
    const steps = await planSystem(here, root, "trusted");
    expect(describePlan(steps)).toEqual([
      `${sudo} -n tee -- ${path} < certificate`,
      `${sudo} -n chmod 644 -- ${path}`,
      `${sudo} -n /bin/true`,
    ]);
    expect(await perform(steps, here)).toMatchObject([{ outcome: "trusted" }]);
    expect(readFileSync(path, "utf8")).toBe(root.pem);
    expect((statSync(path).mode & 0o777).toString(8)).toBe("644");
    const undo = await planSystem({ ...here, mayAsk: true }, root, "untrusted");
    expect(describePlan(undo)).toEqual([`${sudo} rm -f -- ${path}`, `${sudo} /bin/true`]);
    expect(await perform(undo, here)).toMatchObject([{ outcome: "untrusted" }]);
    expect(readdirSync(folder)).toEqual([]);

    const alone = { ...here, find: finder({ true: "/bin/true" }) };
    expect(await perform(await planSystem(alone, root, "trusted"), alone)).toMatchObject([
      { outcome: "skipped", detail: "only root may do it, and there is no sudo" },
    ]);
  });

  test("is never fatal: a program that fails is a result with its last words", async () => {
    const machine = testMachine();
    const { root } = await rootOn(machine);
    const update = script(machine, "update", "echo first; echo no space left >&2; exit 3");
    const folder = join(machine.folder, "anchors");
    mkdirSync(folder);
    const here = {
      ...machine,
      anchorFolders: [{ folder, extension: "crt", update: ["update"] }] as const,
      find: finder({ update }),
    };
    expect(await perform(await planSystem(here, root, "trusted"), here)).toEqual([
      {
        store: "system",
        place: folder,
        outcome: "failed",
        detail: `${update} ended with 3: no space left`,
      },
    ]);
    const gone = { ...here, find: finder({ update: join(folder, "gone") }) };
    expect(await perform(await planSystem(gone, root, "trusted"), gone)).toMatchObject([
      { outcome: "failed", detail: expect.stringContaining("gone ended with -1") },
    ]);
    mkdirSync(join(folder, "x"));
    writeFileSync(join(folder, "x", "y"), "");
    const inTheWay = {
      ...here,
      anchorFolders: [{
        folder: join(folder, "x", "y"),
        extension: "crt",
        update: ["update"],
      }] as const,
    };
    expect(await perform(await planSystem(inTheWay, root, "trusted"), here)).toMatchObject([
      { outcome: "failed", detail: expect.stringContaining(root.label) },
    ]);
  });

  test("says what was looked for where there is none, and what to do on other systems", async () => {
    const machine = testMachine({ anchorFolders: ANCHOR_FOLDERS });
    const { root } = await rootOn(machine);
    const [step] = await planSystem(machine, root, "trusted");
    expect(step?.missing).toContain("/usr/local/share/ca-certificates");
    const windows = testMachine({ platform: "win32" });
    expect((await planSystem(windows, root, "trusted"))[0]?.missing).toContain("by hand");
  });

  test.runIf(has("update-ca-certificates"))(
    "is Debian's: its own tool takes the root up and lets it go",
    async () => {
      const machine = testMachine();
      const { root, chain } = await rootOn(machine);
      const [anchors, certs, empty] = ["anchors", "certs", "empty"].map((name) => {
        mkdirSync(join(machine.folder, name));
        return join(machine.folder, name);
      }) as [string, string, string];
      // One of the same name; and the tool keeps the old bundle where not one root is left.
      writeFileSync(join(anchors, "other.crt"), (await rootOn(machine, "other")).root.pem);
      const tool = PROGRAMS.get("update-ca-certificates")!;
      const options = ["--localcertsdir", anchors, "--etccertsdir", certs, "--hooksdir", empty];
      writeFileSync(join(machine.folder, "conf"), "\n");
      const config = ["--certsconf", join(machine.folder, "conf"), "--certsdir", empty];
      const here = {
        ...machine,
        anchorFolders: [{
          folder: anchors,
          extension: "crt",
          update: ["tool", ...options, ...config],
        }] as const,
        find: finder({ tool }),
      };
      const sources = ["-CApath", certs, "-no-CAfile", "-no-CAstore", "-untrusted", chain];
      const verify = (): string =>
        execFileSync("openssl", ["verify", ...sources, chain], { encoding: "utf8", stdio: "pipe" });
      expect(verify).toThrow("unable to get");
      expect(await perform(await planSystem(here, root, "trusted"), here)).toMatchObject([
        { outcome: "trusted" },
      ]);
      expect(verify()).toContain("OK");
      expect(readFileSync(join(certs, "ca-certificates.crt"), "utf8")).toContain(root.pem);
      expect(await perform(await planSystem(here, root, "untrusted"), here)).toMatchObject([
        { outcome: "untrusted" },
      ]);
      expect(verify).toThrow("unable to get");
      expect(readFileSync(join(certs, "ca-certificates.crt"), "utf8")).not.toContain(root.pem);
    },
  );
});

test("acme 12.6: the folders are those of Fedora, Debian, openSUSE and Arch, in this order", () => {
  expect(
    ANCHOR_FOLDERS.map(({ folder, extension, update }) =>
      `${folder}/%.${extension} ${update.join(" ")}`
    ),
  )
    .toEqual([
      "/etc/pki/ca-trust/source/anchors/%.pem update-ca-trust extract",
      "/usr/local/share/ca-certificates/%.crt update-ca-certificates",
      "/usr/share/pki/trust/anchors/%.crt update-ca-certificates",
      "/etc/ca-certificates/trust-source/anchors/%.crt trust extract-compat",
    ]);
});

test("acme 12.6: macOS is planned by its keychain, through sudo", async () => {
  const machine = testMachine({
    platform: "darwin",
    isRoot: false,
    mayAsk: true,
    programs: { sudo: "/usr/bin/sudo", security: "/usr/bin/security" },
  });
  const { root } = await rootOn(machine);
  expect(describePlan(await planSystem(machine, root, "trusted"))).toEqual([
    "/usr/bin/sudo /usr/bin/security add-trusted-cert -d -r trustRoot -p ssl -p basic " +
    `-k /Library/Keychains/System.keychain ${root.file}`,
  ]);
  expect(describePlan(await planSystem(machine, root, "untrusted"))).toEqual([
    `/usr/bin/sudo /usr/bin/security remove-trusted-cert -d ${root.file}`,
  ]);
});

function finder(programs: Record<string, string>) {
  return (program: string): Promise<string | undefined> => Promise.resolve(programs[program]);
}
