import { spawn } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";

import type { Ready } from "../../src/cli/ready-file.ts";
import { freePort } from "../support/free-port.ts";
import { IPSEC_MB_FILE, isIpsecMbOfUse } from "../support/ipsec-mb.ts";
import { must, run, words } from "./support/run.ts";
import { PROJECT, SERVER } from "./support/server.ts";

const UNITS = join(PROJECT, "deploy/systemd");

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "sotto-deploy-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const unit = readFileSync(join(UNITS, `sotto-${SERVER}.service`), "utf8");

/** The value of each line `key=`, with continued lines put together. */
function values(key: string): string[] {
  const lines = unit.replaceAll("\\\n", "").split("\n");
  return lines.filter((line) => line.startsWith(`${key}=`)).map((line) =>
    line.slice(key.length + 1)
  );
}

describe(`deploy/systemd/sotto-${SERVER}.service`, () => {
  test.each(["sotto.service", "sotto@.service"])(
    "systemd has nothing to say of it as %s",
    async (name) => {
      // It looks for the programs that are named.
      const binary = join(folder, SERVER);
      writeFileSync(binary, "#!/bin/sh\n");
      chmodSync(binary, 0o755);
      const path = join(folder, name);
      const verified = unit.replaceAll(`/usr/local/bin/${SERVER}`, binary);
      const verify = () => run("systemd-analyze", ["verify", "--man=no", path]);
      writeFileSync(path, verified);
      expect(await verify()).toMatchObject({ code: 0, stdout: "", stderr: "" });
      // It would, of a mistake.
      writeFileSync(path, verified.replace("NoNewPrivileges=yes", "$&\nNoOldPrivileges=yes"));
      expect((await verify()).stderr).toContain("NoOldPrivileges");
    },
  );

  test("systemd finds it well enclosed", async () => {
    const path = join(folder, "sotto.service");
    writeFileSync(path, unit);
    // Fails where the exposure is greater: 10 is worst. The system's own services have 9 and more.
    const analyse = () =>
      run("systemd-analyze", ["security", "--offline=yes", "--threshold=25", path]);
    expect(await analyse()).toMatchObject({ code: 0 });
    writeFileSync(path, unit.replaceAll(/^(?:Protect|Restrict|SystemCall).*\n/gm, ""));
    expect(await analyse()).toMatchObject({ code: 1 });
  });

  test("design 12: it names the runtime, not npx, has one capability, no core dumps and many files", () => {
    const [command] = values("ExecStart");
    expect(command).toMatch(new RegExp(`^/usr/local/bin/${SERVER} `));
    expect(unit).not.toMatch(/npx|bunx/);
    expect(values("AmbientCapabilities")).toEqual(["CAP_NET_BIND_SERVICE"]);
    expect(values("CapabilityBoundingSet")).toEqual(["CAP_NET_BIND_SERVICE"]);
    expect(values("NoNewPrivileges")).toEqual(["yes"]);
    expect(values("LimitCORE")).toEqual(["0"]);
    expect(Number(values("LimitNOFILE")[0])).toBeGreaterThan(100_000);
    expect(values("User")).toEqual(["sotto"]);
  });
});

test(`The command of ${SERVER}'s unit serves, follows itself, and needs no more than it asks for`, async () => {
  const port = await freePort();
  const first = await startUnit(port, "1");
  const second = await startUnit(port, "2");
  expect(await first.ended, first.said()).toBe(0);
  const { root, health } = second.ready;
  const curl = (...args: string[]) => must("curl", ["-sS", "--max-time", "10", ...args]);
  const page = await curl("--cacert", root, `https://localhost:${port}/connection.json`);
  expect(JSON.parse(page.stdout)).toMatchObject({ "TLS version": "TLS 1.3" });
  const ready = await curl("--unix-socket", health!, "http://localhost/readyz");
  expect(ready.stdout).toBe("ready\n");
  // Node has no wide arithmetic yet; Deno has it by a flag, which the unit sets.
  const variant = SERVER === "node" ? "narrow" : "wide";
  // Deno's unit allows it to call no library.
  const libraries = SERVER === "bun"
    ? " \\+ openssl 3\\.\\d+\\.\\d+" + (isIpsecMbOfUse ? " \\+ ipsec-mb [12]\\.\\d+\\.\\d+" : "")
    : "";
  expect(second.said()).toMatch(
    new RegExp(`crypto: native \\+ wasm \\(${variant}\\)${libraries}$`, "m"),
  );
  // As systemd ends it.
  second.child.kill(values("KillSignal")[0] as NodeJS.Signals);
  expect(await second.ended, second.said()).toBe(0);
});

test(`design 12: what ${SERVER}'s unit reloads with fails where the configuration is refused`, async () => {
  const config = join(folder, "etc/sotto.toml");
  const site = (name: string, more = "") => `[[site]]\nnames = ["${name}"]\n${more}`;
  const { ready } = await startUnit(await freePort(), "reloaded");
  const [address] = ready.https;
  const isServed = async (name: string) => {
    const { port } = new URL(`https://${address}`);
    const { code } = await run(
      "curl",
      words`-sS --max-time 10 -o /dev/null --cacert ${ready.root}
      --resolve ${name}:${port}:127.0.0.1 https://${name}:${port}/`,
    );
    return code === 0;
  };
  expect(await isServed("other.localhost")).toBe(false);
  writeFileSync(config, site("localhost") + site("other.localhost"));
  const good = await execute(values("ExecReload")[0]!);
  expect(good).toMatchObject({
    code: 0,
    said: expect.stringContaining("reloaded: 2 sites from"),
  });
  expect(await isServed("other.localhost")).toBe(true);
  writeFileSync(config, site("localhost", 'certificate = "no.crt"\nkey = "no.key"'));
  const bad = await execute(values("ExecReload")[0]!);
  expect(bad).toMatchObject({ code: 1, said: expect.stringContaining("there is no such file") });
  expect(await isServed("other.localhost")).toBe(true);
});

/** A line of the unit, as systemd runs it, but for the place of files. */
function begin(line: string, ...more: string[]) {
  const here = (text: string) =>
    text
      .replaceAll(`/usr/local/bin/${SERVER}`, join(PROJECT, "node_modules/.bin", SERVER))
      .replaceAll("/opt/sotto", PROJECT)
      .replaceAll(/\/(etc|var\/lib|var\/cache)\/sotto/g, join(folder, "$1"));
  const [command, ...args] = here(line).trim().split(/\s+/);
  const child = spawn(command!, [...args, ...more], {
    cwd: PROJECT,
    // Nothing of the test's own environment: systemd's services have little more.
    env: {
      PATH: process.env["PATH"],
      ...Object.fromEntries(values("Environment").map((line) => here(line).split("=", 2))),
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  child.stdout.on("data", (text: Buffer) => void (said += text.toString()));
  child.stderr.on("data", (text: Buffer) => void (said += text.toString()));
  const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
  return { child, ended, said: () => said };
}

async function execute(line: string) {
  const { ended, said } = begin(line);
  return { code: await ended, said: said() };
}

test.runIf(SERVER === "deno")("Deno's unit calls libraries as its comment says", async () => {
  const [hint] = /--allow-ffi=\S+\.so\.3/.exec(unit) ?? [];
  const flag = hint!.replace(
    "/x86_64-linux-gnu/",
    process.arch === "x64" ? "$&" : "/aarch64-linux-gnu/",
  );
  const file = flag.slice(flag.indexOf("=") + 1);
  // Units written before there were these do not allow to read them.
  const flags = isIpsecMbOfUse ? `${flag},${IPSEC_MB_FILE}` : flag;
  const line = values("ExecStart")[0]!.replace("--allow-net", `${flags} --allow-net`)
    .replace(",SOTTO_OPENSSL,SOTTO_IPSEC_MB", "");
  const started = await startUnit(await freePort(), "openssl", {
    line,
    toml: `[crypto]\nopenssl = "${file}"\n` +
      (isIpsecMbOfUse ? `ipsec_mb = "${IPSEC_MB_FILE}"\n` : ""),
  });
  expect(started.said()).toMatch(/crypto: native \+ wasm \(wide\) \+ openssl 3\./);
  expect(/ \+ ipsec-mb /.test(started.said())).toBe(isIpsecMbOfUse);
  const { ready: { root, https } } = started;
  const url = `https://localhost:${new URL(`https://${https[0]}`).port}/connection.json`;
  const page = await must("curl", ["-sS", "--max-time", "10", "--cacert", root, url]);
  expect(JSON.parse(page.stdout)).toMatchObject({ "TLS version": "TLS 1.3" });
});

/** With a port and a ready file of the test's own; ends with the test. */
async function startUnit(
  port: number,
  name: string,
  { line = values("ExecStart")[0]!, toml = "" }: { line?: string; toml?: string } = {},
) {
  const data = join(folder, "var/lib");
  mkdirSync(data, { recursive: true, mode: 0o700 });
  mkdirSync(join(folder, "etc"), { recursive: true });
  writeFileSync(join(folder, "etc/sotto.toml"), `${toml}[[site]]\nnames = ["localhost"]\n`);
  const readyFile = join(data, `ready-${name}`);
  const own =
    words`--listen 127.0.0.1 --https-port ${port} --http-port 0 --ready-file ${readyFile}`;
  const started = begin(line, ...own);
  onTestFinished(async () => {
    started.child.kill("SIGKILL");
    await started.ended; // it would write on, into a folder that goes
  });
  const deadline = Date.now() + 30_000;
  while (!existsSync(readyFile)) {
    const { exitCode } = started.child;
    if (exitCode !== null) throw new Error(`ended with ${exitCode}: ${started.said()}`);
    if (Date.now() > deadline) throw new Error(`does not serve: ${started.said()}`);
    await delay(20);
  }
  return { ...started, ready: JSON.parse(readFileSync(readyFile, "utf8")) as Ready };
}

test("The units differ in how they start, and in nothing else", () => {
  const rest = readdirSync(UNITS).map((name) =>
    readFileSync(join(UNITS, name), "utf8")
      .replaceAll(/^# sotto on .*$/gm, "")
      .replace(/(?<=SOTTO_DATA=.*\n)[^]*?(?=# What has come)/, "")
      .replace(/(?<=tcp_migrate_req=1\n)[^]*?(?=# Unlike a signal)/, "")
      .replace(/(?<=^# Unlike a signal.*\n)[^]*?(?=# It lets)/m, "")
  );
  expect(new Set(rest).size).toBe(1);
});
