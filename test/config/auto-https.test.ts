import { expect, test } from "vitest";

import { ConfigError } from "../../src/config/error.ts";
import { parseConfig } from "../../src/config/load.ts";
import { keysNotYet } from "../../src/config/not-yet.ts";
import { KEYS } from "../../src/config/schema.ts";

const FILE = "/etc/sotto/sotto.toml";
const FILES = `certificate = "c.pem"\nkey = "k.pem"\n`;

/** Top, site's line; what redirects and certificates come to for the names a.example and b.example. */
test.each<[top: string, site: string, noRedirects: unknown, noCertificates: unknown]>([
  ["", "", undefined, []],
  [`auto_https = "on"`, "", undefined, []],
  [`auto_https = "off"`, "", true, true],
  [`auto_https = "no_redirects"`, "", true, []],
  [`auto_https = "no_certificates"`, "", undefined, true],
  [`auto_https = { off = true, no_redirects = false }`, "", undefined, true],
  [`auto_https = "off"`, `auto_https = "on"`, undefined, []],
  [`auto_https = "off"`, `auto_https = { no_certificates = false }`, true, []],
  ["", `auto_https = "off"`, true, true],
  ["", `auto_https = { skip = ["B.example"] }`, ["b.example"], ["b.example"]],
  [`auto_https = { skip = ["a.example"] }`, "", ["a.example"], ["a.example"]],
  [`auto_https = { skip_certificates = ["b.example"] }`, "", undefined, ["b.example"]],
  [
    `auto_https = { skip = ["a.example"] }`,
    `auto_https = { skip = ["b.example"] }`,
    true,
    true,
  ],
])("policy 1.3: %s at the top, %s for the site", async (top, site, noRedirects, noCertificates) => {
  const config = await parseConfig(
    `${top}\n[[site]]\nnames = ["a.example", "b.example"]\n${FILES}${site}`,
    FILE,
  );
  const [{ hosts, automation }] = config.sites as [(typeof config.sites)[number]];
  expect(hosts?.noRedirects).toEqual(noRedirects);
  expect(automation).toEqual({ noCertificates, ignoreLoaded: false });
  expect(config.redirects).toBe(noRedirects !== true);
});

test("policy 1.3: one site that redirects is enough for HTTP to be listened for", async () => {
  const config = await parseConfig(
    `auto_https = "no_redirects"\n[[site]]\nnames = ["a.example"]\n` +
      `[[site]]\nnames = ["b.example"]\nauto_https = "on"`,
    FILE,
  );
  expect(config.redirects).toBe(true);
  expect(config.sites.map(({ hosts }) => hosts?.noRedirects)).toEqual([true, undefined]);
});

test("policy 1.3: without a site, no_redirects is no HTTP", async () => {
  expect((await parseConfig(`auto_https = "no_redirects"`, FILE)).redirects).toBe(false);
});

test("policy 1.2: ignore_loaded is kept", async () => {
  const { sites } = await parseConfig(
    `auto_https = { ignore_loaded = true }\n[[site]]\nnames = ["a.example"]\n${FILES}`,
    FILE,
  );
  expect(sites[0]!.automation).toEqual({ noCertificates: [], ignoreLoaded: true });
});

test("policy 2.2: names beyond ASCII are meant in either spelling, wherever they stand", async () => {
  for (const name of ["Bücher.example", "xn--bcher-kva.example"]) {
    const toml = (rest: string) =>
      `default_sni = "${name}"\nfallback_sni = "${name}"\n[[site]]\n` +
      `names = ["bücher.example", "a.example"]\n${rest}`;
    const config = await parseConfig(toml(`auto_https = { skip = ["${name}"] }\n${FILES}`), FILE);
    expect(config.defaultSni).toBe("xn--bcher-kva.example");
    expect(config.fallbackSni).toBe("xn--bcher-kva.example");
    expect(config.sites[0]!.hosts?.noRedirects).toEqual(["xn--bcher-kva.example"]);
    expect(config.sites[0]!.automation.noCertificates).toEqual(["xn--bcher-kva.example"]);

    const refusal = (rest: string) =>
      parseConfig(toml(rest), FILE).catch((error: unknown) => (error as Error).message);
    expect(await refusal(`auto_https = { skip_certificates = ["${name}"] }`)).toContain(
      'site[0].names[0]: "bücher.example" gets no certificate, for auto_https says so',
    );
    expect(await refusal(`redirect = "https://${name}"`)).toContain("is the site itself");
  }
});

test("Every key that is to come is none yet, and says so at its place", async () => {
  for (const [table, key] of keysNotYet()) {
    expect(KEYS[table], `${table}.${key}`).not.toContain(key);
    const head = {
      "": "",
      ech: "[ech]\n",
      site: `[[site]]\nnames = ["a.example"]\n`,
      auto_https: "[auto_https]\n",
    }[table]!;
    const error = await parseConfig(`${head}${key} = "x"`, FILE).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(ConfigError);
    const line = head.split("\n").length;
    expect((error as Error).message).toMatch(
      new RegExp(`^${FILE}:${line}:1: .*"${key}" is not built yet: `),
    );
    expect((error as Error).message).not.toContain("unknown key");
  }
});

test("What is to come for a site's automatic HTTPS is said there as well", async () => {
  const text = `[[site]]\nnames = ["a.example"]\nauto_https = { prefer_wildcard = false }`;
  await expect(parseConfig(text, FILE)).rejects.toThrow(
    `${FILE}:3:16: site[0].auto_https: "prefer_wildcard" is not built yet: `,
  );
});
