import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";

import { expect, test } from "vitest";

import { curl, type Program } from "../support/program.ts";
import { CliKit, portsOf, type Serving } from "./cli-kit.ts";

const cli = new CliKit("takeover");

function begin(data: string, httpsPort: string, httpPort: string, ...args: string[]): Program {
  return cli.program([...portsOf(httpsPort, httpPort), "--data", join(cli.folder, data), ...args]);
}

function serve(data: string, httpsPort = "0", httpPort = "0", ...args: string[]): Promise<Serving> {
  return cli.serve(args, { data, ports: portsOf(httpsPort, httpPort) });
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
      join(cli.folder, "body"),
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
  await writeFile(join(cli.folder, "sotto.toml"), "respnd = 1\n");
  const ended = await begin("data", first.https, "0", "--takeover").ended;
  expect(ended.code).toBe(1);
  expect(await curl("--cacert", first.ready.root, `https://localhost:${first.https}/`)).toContain(
    "It serves",
  );
});
