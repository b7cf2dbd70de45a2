import {
  chmod,
  mkdir,
  mkdtemp,
  readdir,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { afterEach, expect, test } from "vitest";
import { explainFileError, openFileStorage } from "../../../src/control/storage/files.ts";
import { safeSegment } from "../../../src/control/storage/storage.ts";
import { storageSuite } from "./suite.ts";

const folders: string[] = [];
async function freshFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "sotto-storage-"));
  folders.push(folder);
  return folder;
}
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

storageSuite("files", async () => openFileStorage(await freshFolder()));

const modeOf = async (path: string): Promise<string> =>
  ((await stat(path)).mode & 0o777).toString(8);
const one = Uint8Array.of(1);

test("acme 14.2: folders are 0700 and files 0600, whatever the umask, also after a replacement", async () => {
  const root = join(await freshFolder(), "new", "store");
  const before = process.umask(0);
  try {
    const storage = await openFileStorage(root);
    await storage.put("a/b/c.key", one);
    await storage.put("a/b/c.key", one);
  } finally {
    process.umask(before);
  }
  for (const path of ["", "a", "a/b"]) expect(await modeOf(join(root, path)), path).toBe("700");
  expect(await modeOf(join(root, "a/b/c.key"))).toBe("600");
  expect(await readdir(join(root, "a/b"))).toEqual(["c.key"]);
});

test("acme 14.2: a secret that others can read is refused with the command that helps, a certificate is not", async () => {
  const root = await freshFolder();
  const storage = await openFileStorage(root);
  await storage.put("x/root.key", one);
  await storage.put("x/root.crt", one);
  for (const file of ["x/root.key", "x/root.crt"]) await chmod(join(root, file), 0o640);
  expect(await storage.get("x/root.crt")).toEqual(one);
  await expect(storage.get("x/root.key")).rejects.toMatchObject({
    trouble: "exposed",
    message: expect.stringContaining(`(mode 0640). Run: chmod 600 ${root}/x/root.key`),
  });
});

test("acme 14.2: a folder that others can enter is worth a warning", async () => {
  const root = await freshFolder();
  expect((await openFileStorage(root)).warnings).toEqual([]);
  await chmod(root, 0o755);
  expect((await openFileStorage(root)).warnings[0]).toContain(`chmod 700 ${root}`);
});

test("policy 1.9: a file where the folder should be is an error that names it, and what to do", async () => {
  const root = await freshFolder();
  const file = join(root, "file");
  await writeFile(file, "");
  await symlink("nowhere", join(root, "link"));
  const after = "Move it away, or name another data folder";
  const messages: [string, string][] = [
    [file, `it is a file, a folder is needed. ${after}`],
    [join(file, "below"), `${file} is a file, a folder is needed. ${after}`],
    [join(file, "far", "below"), `${file} is a file, a folder is needed. ${after}`],
    [join(root, "link"), `it is a link that leads nowhere. ${after}`],
  ];
  for (const [path, message] of messages) {
    const error = await openFileStorage(path).catch((error: unknown) => error);
    expect(error).toMatchObject({
      name: "StorageError",
      message: `Cannot write to ${path}: ${message}`,
    });
  }
});

test.runIf(process.getuid?.() !== 0)(
  "policy 1.9: a folder that may not be written to says so at once",
  async () => {
    const root = await freshFolder();
    await chmod(root, 0o500);
    await expect(openFileStorage(root)).rejects.toMatchObject({
      trouble: "permission denied",
      message: expect.stringContaining(`Cannot write to ${root}: permission denied`),
    });
    await chmod(root, 0o700);
  },
);

test("a key where a folder lies is refused, not merged", async () => {
  const root = await freshFolder();
  const storage = await openFileStorage(root);
  await storage.put("a/b", one);
  const after = "Move it away, or name another data folder";
  await expect(storage.put("a", one)).rejects.toMatchObject({
    trouble: "key is a folder",
    message: `Cannot write ${root}/a: it is a folder, a file is needed. ${after}`,
  });
  await expect(storage.put("a/b/c", one)).rejects.toMatchObject({
    trouble: "key is a folder",
    message: `Cannot write ${root}/a/b/c: ${root}/a/b is a file, a folder is needed. ${after}`,
  });
  await expect(storage.create("a", one)).rejects.toMatchObject({ trouble: "key is a folder" });
  await expect(storage.create("a/b/c", one)).rejects.toMatchObject({ trouble: "key is a folder" });
  expect(await storage.list("")).toEqual(["a/b"]);
});

test("what a crash left half-written is no key", async () => {
  const root = await freshFolder();
  await mkdir(join(root, "a"));
  await writeFile(join(root, "a", "~0123456789abcdef"), "half");
  const storage = await openFileStorage(root);
  expect(await storage.list("")).toEqual([]);
});

test("what a crash left half-written is swept once it is an hour old, and nothing else is", async () => {
  const root = await freshFolder();
  await (await openFileStorage(root)).put("a/b/key", one);
  const old = new Date(Date.now() - 2 * 3600_000);
  const leave = async (path: string, isOld: boolean): Promise<void> => {
    await writeFile(join(root, path), "half");
    if (isOld) await utimes(join(root, path), old, old);
  };
  await utimes(join(root, "a/b/key"), old, old);
  await leave("probe~0123456789abcdef", true);
  await leave("a/b/~0123456789abcdef", true);
  await leave("a/b/~fedcba9876543210", false);
  await leave("a/~notes", true);
  const storage = await openFileStorage(root);
  expect((await readdir(root, { recursive: true })).sort()).toEqual(
    ["a", "a/b", "a/b/key", "a/b/~fedcba9876543210", "a/~notes"],
  );
  expect(await storage.get("a/b/key")).toEqual(one);
});

test("acme 14.2: a created file is 0600 and leaves no temporary one", async () => {
  const root = await freshFolder();
  const storage = await openFileStorage(root);
  await Promise.all([storage.create("a/key", one), storage.create("a/key", one)]);
  expect(await modeOf(join(root, "a/key"))).toBe("600");
  expect(await readdir(join(root, "a"))).toEqual(["key"]);
});

test("acme 14.9: safe names are Caddy's", () => {
  expect(safeSegment(" *.Example.com ")).toBe("wildcard_.example.com");
  expect(safeSegment("a+b c")).toBe("a_plus_b_c");
  expect(safeSegment("::1")).toBe("--1");
  expect(safeSegment("../../etc/passwd")).toBe("etcpasswd");
});

test.each([
  ["ENOSPC", "full", "the disk is full. Free some space"],
  ["EDQUOT", "full", "the disk quota is used up"],
  ["EROFS", "read-only", "the file system is read-only"],
  ["EACCES", "permission denied", "permission denied. Give the folder to the user"],
  ["EIO", "failed", "EIO happened"],
])("policy 1.9: %s says where, what and how to go on", (code, trouble, why) => {
  const cause = Object.assign(new Error(`${code} happened`), { code });
  const error = explainFileError("write", "/some/path", cause);
  expect(error).toMatchObject({ name: "StorageError", trouble, cause });
  expect(error.message).toContain(`Cannot write /some/path: ${why}`);
});
