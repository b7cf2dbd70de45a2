import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

import { afterEach, beforeEach, expect, test } from "vitest";

import { curl, type Program, startProgram, whenReady } from "../support/program.ts";

let folder: string;
let programs: Program[];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "sotto-takeover-"));
  programs = [];
});
afterEach(async () => {
  for (const { child, ended } of programs) {
    child.kill("SIGKILL");
    await ended;
  }
  await rm(folder, { recursive: true });
});

function begin(data: string, httpsPort: string, httpPort: string, ...args: string[]): Program {
  const ports = ["--listen", "127.0.0.1", "--https-port", httpsPort, "--http-port", httpPort];
  const started = startProgram([...ports, "--data", join(folder, data), ...args], { cwd: folder });
  programs.push(started);
  return started;
}

async function serve(data: string, httpsPort = "0", httpPort = "0", ...args: string[]) {
  const file = join(folder, `ready-${programs.length}`);
  const started = begin(data, httpsPort, httpPort, "--ready-file", file, ...args);
  const ready = await whenReady(started, file);
  const port = (places: readonly string[]) => places[0]!.split(":").at(-1)!;
  return { ...started, ready, https: port(ready.https), http: port(ready.http) };
}

// Where two processes cannot share a port there is nothing to follow.
test.runIf(process.platform === "linux")(
  "design 12: one that takes over has both ports, and the one before ends in order",
  async () => {
    const first = await serve("data");
    const second = await serve("data", first.https, first.http, "--takeover");
    expect((await first.ended).code, first.stderr()).toBe(0);
    expect(second.ready).toMatchObject({ https: first.ready.https, http: first.ready.http });
    expect(second.ready.health).toBe(first.ready.health);
    const { root, health } = second.ready;
    expect(await curl("--cacert", root, `https://localhost:${second.https}/`)).toContain(
      "It serves",
    );
    const head = await curl(
      "-o",
      join(folder, "body"),
      "-D",
      "-",
      `http://localhost:${second.http}/`,
    );
    expect(head).toMatch(/^HTTP\/1\.1 308 /);
    expect(await curl("--unix-socket", health!, "http://localhost/readyz")).toBe("ready\n");
  },
);

test("design 12: a second process with the address says so, and names --takeover", async () => {
  const first = await serve("data");
  const ended = await begin("data", first.https, "0").ended;
  expect(ended.code).toBe(1);
  expect(ended.stderr).toBe(
    `sotto: Cannot serve on 127.0.0.1:${first.https}: sotto with process id ${first.ready.pid} ` +
      "serves there from the same data folder. Add --takeover to follow it without losing a " +
      `connection, or stop it with: kill ${first.ready.pid}\n`,
  );
  // Another port from the same folder is nobody's business.
  await serve("data");
});

test("A port that a sotto with other data has is refused, --takeover or not", async () => {
  const first = await serve("data");
  for (const more of [[], ["--takeover"]]) {
    const ended = await begin("other", first.https, "0", ...more).ended;
    expect(ended.code).toBe(1);
    expect(ended.stderr).toContain(
      `Cannot listen on 127.0.0.1:${first.https}: another process has it`,
    );
  }
});

test("Who was killed leaves a lock that stops nobody", async () => {
  const first = await serve("data");
  first.child.kill("SIGKILL");
  await first.ended;
  const second = await serve("data", first.https);
  expect(second.https).toBe(first.https);
});

test("A takeover that cannot start leaves the one before alone", async () => {
  const first = await serve("data");
  await writeFile(join(folder, "sotto.toml"), "respnd = 1\n");
  const ended = await begin("data", first.https, "0", "--takeover").ended;
  expect(ended.code).toBe(1);
  expect(await curl("--cacert", first.ready.root, `https://localhost:${first.https}/`)).toContain(
    "It serves",
  );
});
