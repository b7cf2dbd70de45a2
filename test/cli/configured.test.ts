import { execFileSync } from "node:child_process";
import { createServer } from "node:http";
import { writeFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";

import { beforeEach, expect, onTestFinished, test } from "vitest";

import { type Program } from "../support/program.ts";
import { CliKit } from "./cli-kit.ts";

const cli = new CliKit("configured");
const program = (...args: string[]) => cli.program(args);
let served: number;
beforeEach(() => void (served = 0));
/** Each with keys of its own. */
const serve = (...args: string[]) =>
  cli.serve(["--log", "json", ...args], { data: `data-${served++}` });

const configure = (toml: string) => writeFile(join(cli.folder, "sotto.toml"), toml);

/** An HTTP server that says its name. */
async function upstream(name: string): Promise<string> {
  const server = createServer((_request, response) => response.end(name));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Waits for a line of the log. */
async function logged({ stderr }: Program, event: string, times = 1): Promise<void> {
  while (stderr().split(`"event":"${event}"`).length <= times) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

test("--from NAME --to ADDR forwards without a file", async () => {
  const { get, ready, stdout } = await serve("--from", "a.localhost", "--to", await upstream("up"));
  expect(ready.sites).toEqual([{ names: ["a.localhost"], handler: "forward" }]);
  expect(await get("a.localhost")).toBe("up");
  expect(stdout()).toContain("forwards to 127.0.0.1:");
});

test("--domain NAME serves the page without a file", async () => {
  const { get } = await serve("--domain", "a.localhost", "--domain", "b.localhost");
  expect(await get("a.localhost")).toContain("TLS 1.3");
  expect(await get("b.localhost")).toContain("TLS 1.3");
});

test("One site from the command line goes through the checks of a file", async () => {
  const wrong = await program("--from", "a.localhost", "--to", "3000").ended;
  expect(wrong.code).toBe(1);
  expect(wrong.stderr).toBe(
    'sotto: --to: found "3000", accepted: "host:port" as in "127.0.0.1:3000", or "unix:/path"; its port is missing\n' +
      "See: edge.ts help\n",
  );
});

test("forward and passthrough: what is passed on has the other server's certificate", async () => {
  const inner = await serve("--domain", "inner.localhost");
  await configure(`
auto_https = "no_redirects"
[[site]]
names = ["a.localhost"]
forward = "${await upstream("forwarded")}"
[[site]]
names = ["inner.localhost"]
passthrough = "127.0.0.1:${inner.https}"
`);
  const { get, ready, stderr } = await serve();
  expect(ready.http).toEqual([]);
  expect(stderr()).toContain("passthrough goes by the name in the hello as it was sent");
  expect(await get("a.localhost")).toBe("forwarded");
  await expect(get("inner.localhost")).rejects.toThrow(/certificate/);
  expect(await get("inner.localhost", "--cacert", inner.ready.root)).toContain("TLS 1.3");
});

test("policy 6.5, 8.7: default_sni, fallback_sni and require_ech", async () => {
  await configure(`
default_sni = "a.localhost"
fallback_sni = "b.localhost"
[[site]]
names = ["a.localhost"]
respond = "a"
[[site]]
names = ["b.localhost"]
respond = "b"
[[site]]
names = ["hidden.localhost"]
respond = "hidden"
require_ech = true
`);
  const { https: port } = await serve();
  const shown = (servername: string | undefined) =>
    new Promise<string | undefined>((resolve, reject) => {
      const options = { port: Number(port), host: "127.0.0.1", rejectUnauthorized: false };
      const socket = connectTls({ ...options, ...(servername && { servername }) }, () => {
        resolve(socket.getPeerCertificate().subjectaltname);
        socket.destroy();
      });
      socket.on("error", reject);
    });
  expect(await shown(undefined)).toBe("DNS:a.localhost");
  expect(await shown("unknown.localhost")).toBe("DNS:b.localhost");
  expect(await shown("hidden.localhost")).toBe("DNS:b.localhost");
});

test("SIGHUP takes the configuration anew, as a whole or not at all; connections stay", async () => {
  const site = (name: string, text: string) =>
    `[[site]]\nnames = ["${name}"]\nrespond = "${text}"\n`;
  await configure(site("a.localhost", "one"));
  const serving = await serve();
  const { get, https: port, child } = serving;
  expect(await get("a.localhost")).toBe("one");

  const socket = connectTls({
    port: Number(port),
    host: "127.0.0.1",
    servername: "a.localhost",
    rejectUnauthorized: false,
  });
  const ask = async (): Promise<string> => {
    socket.write("GET / HTTP/1.1\r\nHost: a.localhost\r\n\r\n");
    return await new Promise((resolve) => {
      let text = "";
      const hear = (bytes: Buffer): void => {
        text += bytes.toString();
        if (!/\r\n\r\n\w/.test(text)) return;
        socket.off("data", hear);
        resolve(text);
      };
      socket.on("data", hear);
    });
  };
  await new Promise((resolve) => socket.once("secureConnect", resolve));
  expect(await ask()).toMatch(/one$/);

  await configure(site("a.localhost", "two") + site("b.localhost", "b"));
  process.kill(child.pid!, "SIGHUP");
  await logged(serving, "reloaded");
  expect(await get("a.localhost")).toBe("two");
  expect(await get("b.localhost")).toBe("b");
  expect(await ask()).toMatch(/one$/); // the connection keeps what it had

  await configure(`${site("c.localhost", "c")}\nnonsense = 1`);
  process.kill(child.pid!, "SIGHUP");
  await logged(serving, "reload_failed");
  expect(serving.stderr()).toContain('unknown key \\"nonsense\\"');
  expect(await get("a.localhost")).toBe("two");
  await expect(get("c.localhost")).rejects.toThrow();

  await configure(`user = "nobody"\n[limits]\nmaxConnections = 9\n${site("a.localhost", "three")}`);
  process.kill(child.pid!, "SIGHUP");
  await logged(serving, "reloaded", 2);
  expect(await get("a.localhost")).toBe("three");
  for (const what of ["the user", "limits of connections"]) {
    expect(serving.stderr()).toContain(`A new configuration changes ${what}: that takes a restart`);
  }
  expect(serving.stderr()).not.toContain("changes addresses");
  expect(await ask()).toMatch(/one$/);
  socket.destroy();
});

test("schema prints JSON", async () => {
  const { code, stdout } = await program("schema").ended;
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({ title: "sotto.toml", additionalProperties: false });
});

test("A certificate's file that changes is shown within a minute; the test asks by SIGHUP", async () => {
  const [certificate, key] = [join(cli.folder, "a.crt"), join(cli.folder, "a.key")];
  const renew = () =>
    execFileSync("openssl", [
      ..."req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2".split(" "),
      "-subj",
      "/CN=a",
      "-addext",
      "subjectAltName=DNS:a.localhost",
      "-keyout",
      key,
      "-out",
      certificate,
    ], { stdio: "ignore" });
  renew();
  await configure(
    `[[site]]\nnames = ["a.localhost"]\nrespond = "a"\ncertificate = "a.crt"\nkey = "a.key"`,
  );
  const serving = await serve();
  expect(await serving.get("a.localhost", "--cacert", certificate)).toBe("a");
  renew();
  await expect(serving.get("a.localhost", "--cacert", certificate)).rejects.toThrow(/certificate/);
  process.kill(serving.child.pid!, "SIGHUP");
  await logged(serving, "reloaded");
  expect(await serving.get("a.localhost", "--cacert", certificate)).toBe("a");
});
