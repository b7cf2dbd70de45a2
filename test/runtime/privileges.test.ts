import { execFile, execFileSync } from "node:child_process";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { findUser, UserError } from "../../src/runtime/privileges.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "sotto-user-"));
  await chmod(folder, 0o711);
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

/** @param command what starts the fixture, its own arguments behind it */
function becomes(name: string, port = "0", ...command: string[]) {
  const deno = "Deno" in globalThis ? ["run", "-A", "--cached-only"] : [];
  const script = join(import.meta.dirname, "fixtures/drop-privileges.ts");
  const [program, ...args] = [...command, process.execPath, ...deno, script];
  return new Promise<Record<string, unknown>>((resolve, reject) => {
    execFile(
      program!,
      [...args, name, join(folder, "data"), port],
      { env: { ...process.env, DENO_NO_UPDATE_CHECK: "1" } },
      (error, stdout, stderr) => {
        if (stdout === "") reject(new Error(stderr, { cause: error }));
        else resolve(JSON.parse(stdout) as Record<string, unknown>);
      },
    );
  });
}

test("A user is found with its groups, and an unknown one is told of", () => {
  expect(findUser("root")).toMatchObject({ name: "root", uid: 0, gid: 0 });
  expect(() => findUser("no-such-user")).toThrow(
    "Cannot become no-such-user: there is no such user. Make one with: useradd --system no-such-user",
  );
  for (const name of ["", "-u", "a b", "0", "../x"]) {
    expect(() => findUser(name)).toThrow(UserError);
  }
});

// Only root can become somebody else.
describe.runIf(process.getuid?.() === 0)("Started as root", () => {
  const nobody = execFileSync("id", ["-u", "nobody"]).toString().trim();
  const group = execFileSync("id", ["-g", "nobody"]).toString().trim();
  const groups = execFileSync("id", ["-G", "nobody"]).toString().trim();

  test("design 12: it is the user with all ids and groups, and root does not come back", async () => {
    const report = await becomes("nobody", "0", "setpriv", "--groups", "4,5,6");
    expect(report).toEqual({
      same: false,
      uids: [nobody, nobody, nobody, nobody].join("\t"),
      gids: [group, group, group, group].join("\t"),
      groups,
      capabilities: "0000000000000000",
      owner: Number(nobody),
      folderMode: "700",
      again: "EPERM",
      root: "EACCES",
      system: "EACCES",
    });
  });

  test("design 12: a port below 1024 is bound as root on the way", async () => {
    const report = await becomes("nobody", "1023", "unshare", "--net");
    expect(report).toMatchObject({ again: "EPERM", capabilities: "0000000000000000" });
  });

  test("A user whose id is 0 too is refused", async () => {
    const report = await becomes("root");
    expect(report).toMatchObject({ error: "UserError", message: expect.stringMatching(/id is 0/) });
  });

  test("Another user is left as it is, and cannot become a third", async () => {
    const as = ["setpriv", "--reuid", nobody, "--regid", group, "--clear-groups"];
    await chmod(folder, 0o777);
    expect(await becomes("daemon", "0", ...as)).toEqual({
      error: "UserError",
      message: `Cannot become daemon: only root can, and this is user ${nobody}. ` +
        "Start as root, or leave `user` out",
    });
  });
});
