import { execFileSync } from "node:child_process";
import { createServer } from "node:net";
import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { expect, test } from "vitest";

import { decodeEchConfigList } from "../../src/tls/wire/ech-config.ts";
import { curl } from "../support/program.ts";
import { CliKit } from "./cli-kit.ts";

const cli = new CliKit("run");
const program = (...args: string[]) => cli.program(args);
const ports = ["--https-port", "0", "--http-port", "0"];
const serve = (...args: string[]) => cli.serve(args, { ports });

test("Without configuration it serves the welcome page on localhost, and says so", async () => {
  const { child, kill, ready, https, http, ended, file, stdout } = await serve();
  expect(ready.pid).toBe(child.pid);
  expect(ready.https[0]).toBe(`127.0.0.1:${https}`);
  expect(ready.root).toBe(join(cli.folder, "data/pki/authorities/local/root.crt"));
  expect(ready.sites).toEqual([{ names: ["localhost"], handler: "app" }]);
  expect(ready.ech!.publicName).toBe("cover.localhost");
  const configs = decodeEchConfigList(Buffer.from(ready.ech!.configList, "base64"));
  expect(configs.map((config) => config.publicName)).toEqual(["cover.localhost"]);

  const page = await curl("--cacert", ready.root, `https://localhost:${https}/`);
  expect(page).toContain("Encrypted Client Hello: <strong>not offered</strong>");
  expect(page).toContain("TLS 1.3");
  expect(page).toContain(`ecl:${ready.ech!.configList}`);

  const head = await curl(
    "-o",
    join(cli.folder, "body"),
    "-D",
    "-",
    `http://localhost:${http}/a?b`,
  );
  expect(head).toMatch(/^HTTP\/1\.1 308 /);
  expect(head).toContain(`Location: https://localhost:${https}/a?b\r\n`);

  expect(stdout()).toContain(`https://localhost:${https}/`);
  expect(stdout()).toContain(`curl --cacert ${ready.root} https://localhost:${https}/`);

  kill();
  expect((await ended).code).toBe(0);
  await expect(stat(file)).rejects.toThrow("ENOENT");
});

test("A restart has the same ECH key and root, and ech list prints what is served", async () => {
  const first = await serve();
  first.kill();
  await first.ended;
  const second = await serve();
  expect(second.ready.ech).toEqual(first.ready.ech);
  const list = await program("ech", "list", "--data", join(cli.folder, "data")).ended;
  expect(list).toEqual({ code: 0, stdout: first.ready.ech!.configList + "\n", stderr: "" });
});

test("A configuration's sites answer, each under its names", async () => {
  const toml = `
[ech]
public_name = "cloud.example"
[[site]]
names = ["one.example", "*.many.example"]
respond = "one"
[[site]]
names = ["two.example"]
respond = "two"
`;
  await writeFile(join(cli.folder, "sotto.toml"), toml);
  const { ready, https } = await serve("--listen", "127.0.0.1");
  expect(ready.https).toEqual([`127.0.0.1:${https}`]);
  expect(ready.ech!.publicName).toBe("cloud.example");
  expect(ready.sites).toEqual([
    { names: ["one.example", "*.many.example"], handler: "respond" },
    { names: ["two.example"], handler: "respond" },
  ]);
  const get = (name: string) =>
    curl(
      "--cacert",
      ready.root,
      "--resolve",
      `${name}:${https}:127.0.0.1`,
      `https://${name}:${https}/`,
    );
  expect(await get("one.example")).toBe("one");
  expect(await get("x.many.example")).toBe("one");
  expect(await get("two.example")).toBe("two");
  await expect(get("three.example")).rejects.toThrow(/unrecognized name/);
});

test("policy 7.1: a site that verifies its clients serves those of its CA alone", async () => {
  const at = (name: string) => join(cli.folder, name);
  const openssl = (line: string) =>
    execFileSync("openssl", line.split(" "), { cwd: cli.folder, stdio: "ignore" });
  const fresh = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
  openssl(`req -x509 ${fresh} -days 2 -subj /CN=ca -keyout ca.key -out ca.pem`);
  openssl(`req ${fresh} -subj /CN=client -keyout client.key -out client.csr`);
  openssl("x509 -req -in client.csr -CA ca.pem -CAkey ca.key -days 2 -out client.pem");
  openssl(`req -x509 ${fresh} -days 2 -subj /CN=client -keyout other.key -out other.pem`);
  const toml = `[[site]]\nnames = ["localhost"]\nclient_auth = { ca = ["ca.pem"] }`;
  await writeFile(at("sotto.toml"), toml);
  const { ready, https } = await serve("--listen", "127.0.0.1");
  const get = (...args: string[]) =>
    curl("--cacert", ready.root, ...args, `https://localhost:${https}/connection.json`);
  const facts = await get("--cert", at("client.pem"), "--key", at("client.key"));
  expect(JSON.parse(facts)).toMatchObject({ "Client certificate": "verified" });
  await expect(get()).rejects.toThrow(/certificate required/);
  await expect(get("--cert", at("other.pem"), "--key", at("other.key"))).rejects.toThrow(
    /unknown ca/i,
  );
});

test("With ECH off the ready file says null", async () => {
  await writeFile(join(cli.folder, "sotto.toml"), "[ech]\nenabled = false");
  const { ready } = await serve("--listen", "127.0.0.1");
  expect(ready.ech).toBeNull();
});

test("A mistake in the configuration ends it before anything is touched", async () => {
  const file = join(cli.folder, "mine.toml");
  await writeFile(file, `[[site]]\nnames = ["a.example"]\nrespnd = "x"`);
  const ended = await program("--config", file, "--data", join(cli.folder, "data")).ended;
  expect(ended.code).toBe(1);
  expect(ended.stderr).toContain('mine.toml:3:1: site[0]: unknown key "respnd"');
  expect(ended.stderr).toContain('did you mean "respond"?');
  await expect(stat(join(cli.folder, "data"))).rejects.toThrow("ENOENT");
});

/** On a slow machine the log says before how far it is. */
function lastLine(text: string): string {
  return text.replace(/^[^]*\n(?=.+\n$)/, "");
}

test("policy 1.7: a taken HTTPS port is told with the way out, a taken HTTP port is only missed", async () => {
  const holder = createServer();
  await new Promise<void>((resolve) => holder.listen(0, "127.0.0.1", resolve));
  const { port } = holder.address() as { port: number };
  try {
    const ended = await program(
      "--listen",
      "127.0.0.1",
      "--https-port",
      `${port}`,
      "--data",
      join(cli.folder, "data"),
    ).ended;
    expect(ended.code).toBe(1);
    expect(lastLine(ended.stderr)).toBe(
      `sotto: Cannot listen on 127.0.0.1:${port}: another process has it. See which one with: ` +
        `ss -ltnp 'sport = :${port}'. ` +
        "Stop it, or take another port with https_port in sotto.toml or --https-port N\n",
    );
    const { ready, stdout } = await serve("--listen", "127.0.0.1", "--http-port", `${port}`);
    expect(ready.http).toEqual([]);
    expect(stdout()).toContain(`A redirect from HTTP. Cannot listen on 127.0.0.1:${port}`);
  } finally {
    holder.close();
  }
});

test("policy 1.9: a data folder that cannot be written to is named with the way out", async () => {
  const file = join(cli.folder, "file");
  await writeFile(file, "");
  const ended = await program("--https-port", "0", "--data", join(file, "data")).ended;
  expect(ended.code).toBe(1);
  expect(ended.stderr).toBe(
    `sotto: Cannot write to ${join(file, "data")}: ${file} is a file, a folder is needed. ` +
      "Move it away, or name another data folder\n" +
      "The data folder is --data DIR, else SOTTO_DATA.\n",
  );
});

test("tls13 15: --key-log writes a private file and warns of it", async () => {
  const keys = join(cli.folder, "keys.log");
  const { ready, https, stderr } = await serve("--key-log", keys, "--log", "json");
  await curl("--cacert", ready.root, `https://localhost:${https}/`);
  const text = await readFile(keys, "utf8");
  for (
    const label of [
      "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
      "SERVER_HANDSHAKE_TRAFFIC_SECRET",
      "CLIENT_TRAFFIC_SECRET_0",
      "SERVER_TRAFFIC_SECRET_0",
      "EXPORTER_SECRET",
    ]
  ) expect(text).toMatch(new RegExp(`^${label} [0-9a-f]{64} [0-9a-f]{64,96}$`, "m"));
  expect((await stat(keys)).mode & 0o777).toBe(0o600);
  const events = stderr().trim().split("\n").map((line) => JSON.parse(line) as { event: string });
  expect(events.map(({ event }) => event)).toContain("key_log");
});

test("What it says to type is about its own files, and one word each", async () => {
  const [data, config] = [join(cli.folder, "da ta"), join(cli.folder, "it's mine.toml")];
  await writeFile(config, `[ech]\npublic_name = "mine.localhost"\n`);
  const { ready, stdout } = await cli.serve(["--config", config], { data, ports });
  expect(stdout()).toContain(`  curl --cacert '${ready.root}' https://localhost:`);
  expect(stdout()).toContain(` trust --data '${data}'\n`);
  const file = config.replace("'", "'\\''");
  expect(stdout()).toContain(` ech list --config '${file}' --data '${data}'\n`);
  const list = await program("ech", "list", "--config", config, "--data", data).ended;
  expect(list.stdout).toBe(`${ready.ech!.configList}\n`);
});
