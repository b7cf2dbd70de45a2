import { spawn } from "node:child_process";
import { rmSync } from "node:fs";
import { chmod, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { dirname, join, relative } from "node:path";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";

import { describe, expect, onTestFinished, test, vi } from "vitest";

import { CommandError } from "../../src/cli/explain.ts";
import { reload } from "../../src/cli/reload.ts";
import {
  instancesFolder,
  instanceSocket,
  takeInstanceLock,
} from "../../src/control/instance-lock.ts";
import { thisProcess } from "../../src/control/process-identity.ts";
import { serve } from "../../src/mod.ts";
import { serveUnix } from "../../src/runtime/unix-http.ts";
import { testCertificate } from "../support/certificates.ts";
import { EDGE, type Ended } from "../support/program.ts";
import { CliKit, type Serving } from "./cli-kit.ts";

const runtime = (["bun", "deno"] as const).find((name) => name in process.versions) ?? "node";
const cli = new CliKit("reload");
const path = (name: string) => join(cli.folder, name);
const configure = (toml: string) => writeFile(path("sotto.toml"), toml);
const site = (name: string, more: string) => `[[site]]\nnames = ["${name}"]\n${more}\n`;
const respond = (name: string, text: string) => site(name, `respond = "${text}"`);
const serveHere = (...args: string[]) => cli.serve(["--log", "json", ...args]);
async function askToReload(...args: string[]): Promise<Ended> {
  const ended = await cli.program(["reload", "--data", path("data"), ...args]).ended;
  // That depends on the machine.
  return { ...ended, stderr: ended.stderr.replace(/^waiting for the sotto on .* …\n/gm, "") };
}
const placeOf = ({ https }: Serving) => `127.0.0.1:${https}`;

async function logged({ stderr }: Serving, event: string): Promise<void> {
  while (!stderr().includes(`"event":"${event}"`)) await delay(10);
}

const counts = process.platform === "linux" ? ["1", "2"] : ["1"];

describe.for(counts)("With %s workers", (workers) => {
  test("reload says what is served now, after it is: who asked may visit it at once", async () => {
    await configure(respond("a.localhost", "one"));
    const serving = await serveHere("--workers", workers);
    await configure(respond("a.localhost", "two") + respond("b.localhost", "new"));
    expect(await askToReload()).toEqual({
      code: 0,
      stdout: `reloaded: 2 sites from ${path("sotto.toml")}, on ${placeOf(serving)}\n`,
      stderr: "",
    });
    expect(await serving.get("a.localhost")).toBe("two");
    expect(await serving.get("b.localhost")).toBe("new");
  });

  test("reload ends with 1 and the reason where what serves refuses what looked good", async () => {
    const [own, other] = [
      await testCertificate({ names: ["a.localhost"] }),
      await testCertificate({ kind: "p384" }),
    ];
    await writeFile(path("a.crt"), own.chainPem);
    await writeFile(path("a.key"), other.keyPem, { mode: 0o600 });
    await configure(respond("a.localhost", "one"));
    const serving = await serveHere("--workers", workers);
    await configure(site("a.localhost", 'respond = "two"\ncertificate = "a.crt"\nkey = "a.key"'));
    expect(await askToReload()).toEqual({
      code: 1,
      stdout: "",
      stderr: `sotto: the sotto on ${placeOf(serving)} goes on with its old configuration: ` +
        `sotto.toml:4:15: site[0].certificate: The key in ${path("a.key")} ` +
        `does not belong to the certificate in ${path("a.crt")}\n`,
    });
    expect(await serving.get("a.localhost")).toBe("one");
    await writeFile(path("a.key"), own.keyPem);
    expect(await askToReload()).toMatchObject({ code: 0 });
    expect(await serving.get("a.localhost", "-k")).toBe("two");
  });

  test("Those who ask for a reload at once are all told of one that had what they asked for", async () => {
    await configure(respond("a.localhost", "one"));
    const serving = await serveHere("--workers", workers);
    await configure(respond("a.localhost", "two"));
    const told = await Promise.all(Array.from({ length: 5 }, () => askToReload()));
    for (const one of told) expect(one).toEqual({ ...told[0], code: 0, stderr: "" });
    expect(await serving.get("a.localhost")).toBe("two");
    expect(serving.stderr().split('"event":"reloaded"').length - 1).toBeLessThanOrEqual(5);
  });
});

test.runIf(process.platform === "linux")(
  "A configuration that is served is no refused one, even where no worker takes the place of an old one",
  async () => {
    await configure(respond("a.localhost", "one"));
    const serving = await serveHere("--workers", "2");
    const instances = path("data/instances");
    const all = await readdir(instances, { recursive: true });
    await rm(join(instances, all.find((name) => name.endsWith(".gate"))!)); // new ones find no way in
    await configure(`[limits]\nmaxConnections = 99\n${respond("a.localhost", "two")}`);
    const { code, stdout, stderr } = await askToReload();
    expect(stdout).toContain("reloaded: 1 site from");
    expect(stderr).toMatch(/^warning: Old workers serve on, by the limits of before: worker 1: /);
    expect(code).toBe(0);
    expect(await serving.get("a.localhost")).toBe("two");
    expect(serving.stderr()).not.toContain("reload_failed");
  },
);

test("reload says what is to be known of the new configuration, as the log does", async () => {
  await configure(respond("a.localhost", "one"));
  const serving = await serveHere();
  const old = await testCertificate({
    names: ["a.localhost"],
    notAfter: new Date(1_700_000_000_000),
  });
  await writeFile(path("a.pem"), old.chainPem + old.keyPem, { mode: 0o644 });
  const files = 'certificate = "a.pem"\nkey = "a.pem"';
  await configure(`user = "nobody"\n${site("a.localhost", files)}`);
  const { code, stderr } = await askToReload();
  expect(code).toBe(0);
  for (
    const what of [
      "warning: A new configuration changes the user: that takes a restart",
      `warning: The key in ${path("a.pem")} is open to others`,
      `warning: The certificate in ${path("a.pem")} expired at`,
    ]
  ) expect(stderr).toContain(what);
  for (const line of stderr.trimEnd().split("\n")) {
    expect(serving.stderr()).toContain(JSON.stringify(line.replace("warning: ", "")));
  }
});

test("What is wrong with its text is said before anybody is asked", async () => {
  await configure(respond("a.localhost", "one"));
  const serving = await serveHere();
  await configure(site("a.localhost", "respond = 3"));
  expect(await askToReload()).toEqual({
    code: 1,
    stdout: "",
    stderr:
      "sotto: sotto.toml:3:11: site[0].respond: found 3, accepted: the text to answer with, in quotes\n" +
      `The sotto on ${placeOf(serving)} was not told, and goes on with its old configuration\n`,
  });
  expect(serving.stderr()).not.toContain("reload_failed");
  expect(await serving.get("a.localhost")).toBe("one");
  expect((await askToReload("--data", path("no"))).stderr).toBe(
    "sotto: sotto.toml:3:11: site[0].respond: found 3, accepted: the text to answer with, in quotes\n",
  );
});

test("Who is told by a signal says in its log that the old configuration goes on", async () => {
  await configure(respond("a.localhost", "one"));
  const serving = await serveHere();
  await configure(site("a.localhost", "respond = 3"));
  process.kill(serving.ready.pid, "SIGHUP");
  await logged(serving, "reload_failed");
  const line = serving.stderr().split("\n").find((line) => line.includes("reload_failed"))!;
  expect(JSON.parse(line)).toMatchObject({
    level: "error",
    err: "sotto.toml:3:11: site[0].respond: found 3, accepted: the text to answer with, in quotes",
    what: "the old configuration goes on serving",
  });
});

test("Where nobody serves it is said how to start one", async () => {
  const start = { bun: "bun run", deno: "deno run -A", node: "node" }[runtime];
  const program = `${start} ${relative(cli.folder, EDGE)}`;
  const ended = await askToReload("--config", "/dev/null");
  expect(ended).toEqual({
    code: 1,
    stdout: "",
    stderr:
      `sotto: no sotto serves from ${
        path("data")
      }, and none began to within 2 s. Start one with: ` +
      `${program} --config /dev/null --data ${path("data")}. ` +
      "One that serves from another folder, as another user's does, " +
      "is named with --data DIR\n",
  });
});

test.runIf(process.platform === "linux" && process.getuid?.() === 0)(
  "reload does not say that nobody serves where it may not look",
  async () => {
    await configure(respond("a.localhost", "one"));
    await serveHere();
    await chmod(cli.folder, 0o755);
    await chmod(path("sotto.toml"), 0o644);
    const within = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
    const ask = async () => {
      const { code, stderr } = await cli.program(["reload", "--data", path("data")], { within })
        .ended;
      expect(code).toBe(1);
      return stderr;
    };
    const mayNotLook =
      /^sotto: Cannot look into .*: ask as root or as the user that sotto runs as\n/;
    expect(await ask()).toMatch(mayNotLook);
    const folder = instancesFolder(path("data"));
    for (const at of [path("data"), dirname(folder), folder]) await chmod(at, 0o755);
    expect(await ask()).toMatch(mayNotLook); // into a lock
    const lock = (await readdir(folder)).find((name) => name.endsWith(".json"))!;
    await chmod(join(folder, lock), 0o644);
    expect(await ask()).toMatch(
      /^sotto: cannot ask the sotto on .*: do it as root or as the user that it runs as\n$/,
    );
  },
);

test("A file that is not the one that is served is told of", async () => {
  await configure(respond("a.localhost", "one"));
  await serveHere();
  await writeFile(path("other.toml"), respond("a.localhost", "two"));
  const { code, stdout, stderr } = await askToReload("--config", path("other.toml"));
  expect(code).toBe(0);
  expect(stdout).toContain(`1 site from ${path("sotto.toml")}, on`);
  expect(stderr).toBe(
    `warning: ${path("other.toml")}, which was checked here, ` +
      "is not what this sotto was started with\n",
  );
});

test("Without a socket a signal tells it, and it is said where to look", async () => {
  await configure(respond("a.localhost", "one"));
  const serving = await serveHere();
  rmSync(serving.ready.health!);
  await configure(respond("a.localhost", "two"));
  expect(await askToReload()).toEqual({
    code: 0,
    stdout: `told process ${serving.ready.pid} on ${placeOf(serving)} to reload, ` +
      "by a signal as it has no socket: its log says what came of it\n",
    stderr: "",
  });
  await logged(serving, "reloaded");
  expect(await serving.get("a.localhost")).toBe("two");
});

test("A program that only uses sotto has nothing to reload, and gets no signal that would end it", async () => {
  const fetch = () => new Response("app");
  const server = await serve({ fetch, port: 0, listen: ["127.0.0.1"], data: path("data") });
  onTestFinished(() => server.stop());
  const ended = await askToReload();
  expect(ended.code).toBe(1);
  expect(ended.stderr).toBe(
    `sotto: the sotto on ${server.https[0]} cannot be asked to reload: ` +
      "it is part of another program, or older than this one\n",
  );
});

test.runIf(process.platform === "linux")(
  "A program that a signal would end gets none, even where it has no socket",
  async () => {
    const address = "127.0.0.1:44397";
    const program = spawn("sleep", ["60"], { stdio: "ignore" });
    onTestFinished(() => void process.kill(program.pid!, "SIGKILL"));
    const stat = () => readFile(`/proc/${program.pid}/stat`, "latin1");
    const identity = {
      ...await thisProcess(),
      pid: program.pid,
      began: (await stat()).split(" ")[21],
    };
    const file = instanceSocket(path("data"), address).replace(/sock$/, "json");
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, JSON.stringify({ ...identity, address }));
    await expect(reload({ config: undefined, data: path("data") })).rejects.toThrow(
      `the sotto on ${address} cannot be told to reload: ` +
        `it is part of another program, process ${program.pid}`,
    );
    expect(await stat()).toMatch(/ S /);
  },
);

describe("What a sotto answers that", () => {
  const address = "127.0.0.1:44398";

  /** As this process would be one. */
  async function pretend(answer: () => Response | Promise<Response>): Promise<string> {
    const data = path("data");
    const socket = instanceSocket(data, address);
    await mkdir(dirname(socket), { recursive: true, mode: 0o700 });
    const lock = await takeInstanceLock(data, address);
    const server = await serveUnix(socket, answer);
    onTestFinished(async () => {
      await server.stop();
      await lock.release();
    });
    return data;
  }

  function heard(stream: "stdout" | "stderr"): string[] {
    const lines: string[] = [];
    vi.spyOn(process[stream], "write").mockImplementation((text) => lines.push(String(text)) > 0);
    onTestFinished(() => void vi.restoreAllMocks());
    return lines;
  }

  test("takes its time: who waits is told so", async () => {
    const answer = { pid: process.pid, config: null, sites: 1, warnings: [] };
    const data = await pretend(async () => {
      while (stderr.length === 0) await delay(10);
      return Response.json(answer);
    });
    const [stdout, stderr] = [heard("stdout"), heard("stderr")];
    await reload({ config: undefined, data });
    expect(stderr).toEqual([`waiting for the sotto on ${address} …\n`]);
    expect(stdout).toEqual([
      "reloaded: 1 site from the default, as there is no sotto.toml where it was started, " +
      `on ${address}\n`,
    ]);
  });

  test("is another process's, which the sotto has followed: a signal reaches the right one", async () => {
    let signals = 0;
    const hear = () => void signals++;
    process.on("SIGHUP", hear);
    onTestFinished(() => void process.off("SIGHUP", hear));
    const answer = { pid: process.pid + 1, config: null, sites: 1, warnings: [] };
    const data = await pretend(() => Response.json(answer));
    const stdout = heard("stdout");
    await reload({ config: undefined, data });
    expect(stdout[0]).toContain(`told process ${process.pid} on ${address} to reload, by a signal`);
    while (signals === 0) await delay(10);
  });

  test("comes to serve while it is asked for: it is waited for", async () => {
    const stdout = heard("stdout");
    const asked = reload({ config: undefined, data: path("data") });
    await delay(300); // after the first look
    await pretend(() => Response.json({ pid: process.pid, config: null, sites: 1, warnings: [] }));
    await asked;
    expect(stdout[0]).toContain("reloaded: 1 site from the default");
  });

  test("has not read its configuration says no word of what is wrong with it", async () => {
    const err = "32 others wait for a reload already. Try again in a moment";
    const data = await pretend(() =>
      Response.json({ pid: process.pid, err, isUnread: true }, { status: 503 })
    );
    await expect(reload({ config: undefined, data })).rejects.toThrow(
      new CommandError(`the sotto on ${address} has not read its configuration: ${err}`),
    );
  });

  test("breaks off is no answer, and no reason for a signal", async () => {
    const data = await pretend(() => new Response());
    const path = instanceSocket(data, address);
    rmSync(path);
    const server = createServer((socket) => {
      socket.on("error", () => {});
      socket.once("data", () => socket.destroy());
    });
    await new Promise<void>((resolve) => void server.listen(path, resolve));
    onTestFinished(() => void server.close());
    await expect(reload({ config: undefined, data })).rejects.toThrow(
      `the sotto on ${address} went away before it said what came of it: `,
    );
  });

  test("cannot be read is told of", async () => {
    const data = await pretend(() => {
      throw new Error("broken");
    });
    await expect(reload({ config: undefined, data })).rejects.toThrow(
      `the sotto on ${address} answered with 500 and nothing that this version knows`,
    );
  });
});
