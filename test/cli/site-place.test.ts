import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";

import { beforeEach, expect, test } from "vitest";

import { validate } from "../../src/cli/validate.ts";
import { type Made, make } from "../x509/make.ts";
import { CliKit, LOOPBACK } from "./cli-kit.ts";

const cli = new CliKit("site-place");
const path = (name: string) => join(cli.folder, name);

let own: Made;
beforeEach(async () => {
  own = await make({ names: [{ type: "dns", value: "a.example" }] });
  const other = await make();
  await writeFile(path("a.crt"), own.pem);
  await writeFile(path("a.key"), own.keyPem, { mode: 0o600 });
  await writeFile(path("other.key"), other.keyPem, { mode: 0o600 });
  await writeFile(path("text"), "text");
});

/** The first site is good. */
const SITES = `[[site]]\nnames = ["localhost"]\n\n[[site]]\nnames = ["a.example"]\n`;

/** What is written below the names, and what is wrong with it: line 6 is its first one. */
const wrong: [what: string, site: string, message: (at: typeof path) => string][] = [
  [
    "no certificate file",
    'certificate = "none"\nkey = "a.key"',
    (at) =>
      `6:15: site[1].certificate: Cannot read the certificate file ${at("none")}: ` +
      "there is no such file",
  ],
  [
    "no key file",
    'certificate = "a.crt"\nkey = "none"',
    (at) => `7:7: site[1].key: Cannot read the key file ${at("none")}: there is no such file`,
  ],
  [
    "no certificate in a file",
    'certificate = "text"\nkey = "a.key"',
    (at) =>
      `6:15: site[1].certificate: Cannot use ${at("text")}: ` +
      'it holds no "BEGIN CERTIFICATE" block',
  ],
  [
    "no key in a file",
    'certificate = "a.crt"\nkey = "text"',
    (at) => `7:7: site[1].key: Cannot use ${at("text")}: it holds no "BEGIN PRIVATE KEY" block`,
  ],
  [
    "another certificate's key, the second of a list",
    'certificate = ["a.crt", "a.crt"]\nkey = ["a.key", "other.key"]',
    (at) =>
      `6:25: site[1].certificate[1]: The key in ${at("other.key")} ` +
      `does not belong to the certificate in ${at("a.crt")}`,
  ],
  [
    "no CA in a file",
    'client_auth = { ca = "text" }',
    (at) =>
      `6:22: site[1].client_auth.ca: Cannot use the CA file ${at("text")}: ` +
      'it holds no "BEGIN CERTIFICATE" block',
  ],
];

for (const [what, site, message] of wrong) {
  test(`validate names the place in the configuration: ${what}`, async () => {
    const config = path("sotto.toml");
    await writeFile(config, SITES + site);
    await expect(validate({ config, data: undefined, limits: false }))
      .rejects.toHaveProperty("message", `${config}:${message(path)}`);
  });
}

test("A start names it, and so does the log of a reload, without the site's name", async () => {
  await writeFile(path("sotto.toml"), `${SITES}certificate = "a.crt"\nkey = "other.key"\n`);
  const ended = await cli.program([...LOOPBACK, "--data", path("refused")]).ended;
  const expected = `sotto.toml:6:15: site[1].certificate: The key in ${path("other.key")} ` +
    `does not belong to the certificate in ${path("a.crt")}`;
  expect(ended).toMatchObject({ code: 1, stderr: `sotto: ${expected}\n` });

  await writeFile(path("sotto.toml"), `${SITES}certificate = "a.crt"\nkey = "a.key"\n`);
  const serving = await cli.serve(["--log", "json"]);
  await writeFile(path("sotto.toml"), `${SITES}certificate = "a.crt"\nkey = "other.key"\n`);
  process.kill(serving.child.pid!, "SIGHUP");
  while (!serving.stderr().includes("reload_failed")) await delay(20); // as long as the test may take
  const line = serving.stderr().split("\n").find((one) => one.includes("reload_failed"))!;
  expect(JSON.parse(line)).toMatchObject({ err: expected });
  expect(line).not.toContain("a.example");
  expect(await serving.stop()).toBe(0);
});
