import { execFileSync } from "node:child_process";
import { chmod, chown, mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { connect } from "node:tls";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { curl, EDGE, whenReady } from "../support/program.ts";
import { CliKit, LOOPBACK, portsOf } from "./cli-kit.ts";

const cli = new CliKit("failures");
let mounts: string[];
beforeEach(() => mounts = []);
afterEach(async () => {
  await cli.end(); // what it has open there would keep them
  for (const mount of mounts) execFileSync("umount", [mount]);
});

const serve = (data: string) => cli.serve([], { data });

/** Starts where it cannot serve, and says what it says then. */
async function refused(data: string, ...within: string[]): Promise<string> {
  const ended = await cli.program([...LOOPBACK, "--data", data], { within }).ended;
  expect(ended.code).toBe(1);
  return ended.stderr;
}

async function tmpfs(size: string): Promise<string> {
  const path = join(cli.folder, "disk");
  await mkdir(path);
  execFileSync("mount", ["-t", "tmpfs", "-o", `size=${size},mode=700`, "none", path]);
  mounts.push(path);
  return path;
}

/** root, but for one of its rights. */
const without = (right: string) => ["setpriv", "--bounding-set", `-${right}`];

describe.runIf(process.getuid?.() === 0)("Where root can take rights away", () => {
  test("design 12: without the right to bind 443 the message names the capability", async () => {
    const ended = await cli.program(
      ["--listen", "127.0.0.1", "--https-port", "443", "--data", join(cli.folder, "data")],
      { within: ["unshare", "--net", ...without("net_bind_service")] },
    ).ended;
    expect(ended.code).toBe(1);
    // On a slow machine the log says before how far it is.
    expect(ended.stderr.replace(/^[^]*\n(?=.+\n$)/, "")).toBe(
      "sotto: Cannot listen on 127.0.0.1:443: ports below 1024 take the right CAP_NET_BIND_SERVICE, " +
        "which this user lacks. Take another port with https_port in sotto.toml or --https-port N, " +
        "or have the right: in a systemd unit by AmbientCapabilities=CAP_NET_BIND_SERVICE, else, " +
        "for everything that this runtime runs, by: " +
        `sudo setcap cap_net_bind_service=+ep ${process.execPath}\n`,
    );
  });

  test("policy 1.9: a data folder of somebody else's is named, before anything is bound", async () => {
    const data = join(cli.folder, "data");
    await mkdir(data, { mode: 0o700 });
    await chown(data, 65534, 65534);
    expect(await refused(data, ...without("dac_override"))).toBe(
      `sotto: Cannot write to ${data}: permission denied. Give the folder to the user that sotto ` +
        "runs as, or name another one\nThe data folder is --data DIR, else SOTTO_DATA.\n",
    );
    expect(await readdir(data)).toEqual([]);
  });

  test("A read-only data folder is named", async () => {
    const data = await tmpfs("64k");
    execFileSync("mount", ["-o", "remount,ro", data]);
    expect(await refused(data)).toContain(
      `Cannot write to ${data}: the file system is read-only. Mount it writable, or name another folder`,
    );
  });

  test("A full disk is told of at start, and what lies there is left as it is", async () => {
    const data = await tmpfs("64k");
    const first = await serve(data).catch(() => undefined);
    await first?.stop();
    const before = await contents(data);
    // What is left of the disk.
    await writeFile(join(data, "filler"), new Uint8Array(64 * 1024)).catch(() => {});
    expect(await refused(data)).toMatch(
      /^sotto: Cannot write .*: the disk is full\. Free some space; what was stored before is intact\n/,
    );
    await rm(join(data, "filler"));
    expect(await contents(data)).toEqual(before);
  });

  test("A disk that fills up during the first start leaves nothing by halves: the next one goes on", async () => {
    const data = await tmpfs("16k");
    expect(await refused(data)).toContain("the disk is full");
    const kept = await contents(data);
    execFileSync("mount", ["-o", "remount,size=4m", data]);
    const { get, stop } = await serve(data);
    expect(await get("localhost")).toContain("It serves");
    const now = await contents(data);
    for (const [name, bytes] of kept) expect(now.get(name), name).toEqual(bytes);
    expect(await stop()).toBe(0);
  });

  test("A disk that fills up later ends nothing", async () => {
    const data = await tmpfs("1m");
    const { get, child, stop } = await serve(data);
    await writeFile(join(data, "filler"), new Uint8Array(1024 * 1024)).catch(() => {});
    expect(await get("localhost")).toContain("It serves");
    process.kill(child.pid!, "SIGHUP");
    expect(await get("localhost")).toContain("It serves");
    expect(await stop()).toBe(0);
  });

  for (const workers of ["1", "2"]) {
    test(`With ${workers} workers a disk that becomes read-only keeps nobody from ending in order`, async () => {
      const data = await tmpfs("4m");
      const file = join(data, "ready.json");
      const args = ["--data", data, "--ready-file", file, "--workers", workers];
      const started = cli.program([...LOOPBACK, ...args]);
      const ready = await whenReady(started, file);
      const port = ready.https[0]!.split(":").at(-1)!;
      const held = connect({
        port: Number(port),
        host: "127.0.0.1",
        servername: "localhost",
        ca: await readFile(ready.root),
      });
      held.on("error", () => {});
      let answer = "";
      held.on("data", (bytes: Buffer) => answer += bytes.toString());
      await new Promise((resolve) => void held.once("secureConnect", resolve));
      held.write("GET / HTTP/1.1\r\n");
      execFileSync("mount", ["-o", "remount,ro", data]);
      process.kill(started.child.pid!, "SIGTERM");
      while (!started.stderr().includes("stopping")) await delay(10);
      await delay(300); // long enough to fail
      held.write("Host: localhost\r\nConnection: close\r\n\r\n");
      await new Promise((resolve) => void held.once("close", resolve));
      expect(answer).toContain("It serves");
      expect((await started.ended).code, started.stderr()).toBe(0);
    });
  }

  test("A worker that dies while the disk is full is replaced all the same", async () => {
    const data = await tmpfs("4m");
    const { ready, child, stderr, get, stop } = await cli.serve(["--workers", "2"], { data });
    await writeFile(join(data, "filler"), new Uint8Array(4 * 1024 * 1024)).catch(() => {});
    process.kill(ready.workers![0]!, "SIGKILL");
    while (!/worker_started|worker_failed/.test(stderr())) await delay(20);
    expect(stderr()).not.toContain("worker_failed");
    expect(stderr()).toContain("the disk is full");
    expect(await get("localhost")).toContain("It serves");
    expect(child.exitCode).toBe(null);
    expect(await stop()).toBe(0);
  });

  const nobody = ["--reuid", "nobody", "--regid", "65534", "--clear-groups"];
  const isReachable = succeeds("setpriv", ...nobody, "test", "-r", EDGE);

  test.runIf(isReachable)(
    "design 12: with `user` it binds 443 as root, and everything else is the user's",
    async () => {
      await chmod(cli.folder, 0o777);
      await writeFile(
        join(cli.folder, "sotto.toml"),
        'user = "nobody"\n[[site]]\nnames = ["localhost"]\n',
      );
      const data = join(cli.folder, "data");
      const { ready, child, stop } = await cli.serve([], {
        data,
        ports: portsOf("443", "80"),
        within: ["unshare", "--net"],
      });
      expect(ready.https).toEqual(["127.0.0.1:443"]);
      expect(ready.http).toEqual(["127.0.0.1:80"]);
      const status = await readFile(`/proc/${child.pid}/status`, "latin1");
      expect(status).toMatch(/^Uid:\t65534\t65534\t65534\t65534$/m);
      expect(status).toMatch(/^CapPrm:\t0+$/m);
      for (const name of (await contents(data)).keys()) {
        expect((await stat(join(data, name))).uid, name).toBe(65534);
      }
      expect(await curl("--unix-socket", ready.health!, "http://localhost/readyz")).toBe("ready\n");
      expect(await stop()).toBe(0);
    },
  );

  test("A user that there is not ends it before anything is touched", async () => {
    await writeFile(join(cli.folder, "sotto.toml"), 'user = "no-such-user"\n');
    const data = join(cli.folder, "data");
    expect(await refused(data)).toBe(
      "sotto: Cannot become no-such-user: there is no such user. Make one with: " +
        "useradd --system no-such-user\n",
    );
    await expect(stat(data)).rejects.toThrow("ENOENT");
  });
});

function succeeds(command: string, ...args: string[]): boolean {
  try {
    execFileSync(command, args, { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

/** Files below a folder, by name. */
async function contents(path: string): Promise<Map<string, Buffer>> {
  const files = new Map<string, Buffer>();
  for (const entry of await readdir(path, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || entry.name === "filler") continue;
    const full = join(entry.parentPath, entry.name);
    files.set(full.slice(path.length + 1), await readFile(full));
  }
  return files;
}
