import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { expect, test } from "vitest";

import { DEFAULT_CONFIG } from "../../src/config/config.ts";
import { ConfigError } from "../../src/config/error.ts";
import { coreLimits, edgeLimits } from "../../src/config/limits.ts";
import { loadConfig, parseConfig } from "../../src/config/load.ts";
import { KEYS } from "../../src/config/schema.ts";
import { nearest } from "../../src/config/nearest.ts";
import { DEFAULT_EDGE_LIMITS } from "../../src/edge/limits.ts";
import { DEFAULT_LIMITS } from "../../src/tls/limits.ts";
import { NamedGroup } from "../../src/tls/wire/code-points.ts";

const FILE = "/etc/sotto/sotto.toml";

test("A file below the working directory is named from there, another one in full", async () => {
  const here = await parseConfig("a", `${process.cwd()}/conf/my.toml`).catch((e: unknown) => e);
  expect((here as Error).message).toMatch(/^conf\/my\.toml:1:\d+: /);
  const elsewhere = await parseConfig("a", FILE).catch((e: unknown) => e);
  expect((elsewhere as Error).message).toMatch(/^\/etc\/sotto\/sotto\.toml:1:\d+: /);
});

test("A whole configuration comes back checked, its paths relative to its folder", async () => {
  const config = await parseConfig(
    `
[ech]
public_name = "Cloud.Example.net"

[[site]]
names = ["Example.com", "*.example.com"]
certificate = "tls/chain.pem"
key = "/secret/key.pem"
respond = "hello"
alpn = ["http/1.1"]
groups = ["P-256", "X25519MLKEM768", "x25519"]
client_auth = { ca = ["clients.pem"] }

[[site]]
names = ["other.example"]
alpn = []
groups = ["x25519"]
client_auth = { mode = "request" }
`,
    FILE,
  );
  expect(config).toEqual({
    ...DEFAULT_CONFIG,
    file: FILE,
    ech: {
      enabled: true,
      publicName: "cloud.example.net",
      strictOuterSni: false,
      greaseHelloRetry: false,
    },
    sites: [
      {
        names: ["example.com", "*.example.com"],
        certificates: [{ certificate: "/etc/sotto/tls/chain.pem", key: "/secret/key.pem" }],
        handler: { kind: "respond", text: "hello" },
        requireEch: false,
        ech: true,
        automation: { noCertificates: [], ignoreLoaded: false },
        hosts: undefined,
        clientAuth: { mode: "require_and_verify", ca: ["/etc/sotto/clients.pem"] },
        alpn: ["http/1.1"],
        groups: [NamedGroup.secp256r1, NamedGroup.X25519MLKEM768, NamedGroup.x25519],
      },
      {
        names: ["other.example"],
        certificates: [],
        handler: { kind: "app", app: "welcome" },
        requireEch: false,
        ech: true,
        automation: { noCertificates: [], ignoreLoaded: false },
        hosts: undefined,
        clientAuth: { mode: "request", ca: [] },
        alpn: [],
        groups: [NamedGroup.x25519],
      },
    ],
    warnings: [
      expect.stringContaining("differ in alpn"),
      expect.stringContaining("differ in groups"),
    ],
  });
});

test("An empty file is the default configuration", async () => {
  expect(await parseConfig("", FILE)).toEqual({ ...DEFAULT_CONFIG, file: FILE });
});

test("Several certificates of one site pair with their keys in order", async () => {
  const config = await parseConfig(
    `[[site]]\nnames = ["a.example"]\ncertificate = ["/e.pem", "/r.pem"]\nkey = ["/e.key", "/r.key"]`,
    FILE,
  );
  expect(config.sites[0]!.certificates).toEqual([
    { certificate: "/e.pem", key: "/e.key" },
    { certificate: "/r.pem", key: "/r.key" },
  ]);
});

test("policy 8.4: a site under the public name is served, with a warning", async () => {
  const config = await parseConfig(
    `[ech]\npublic_name = "a.example"\n[[site]]\nnames = ["a.example"]`,
    FILE,
  );
  expect(config.warnings).toEqual([expect.stringContaining("a.example is the ECH public name")]);
});

test("acme 12.6: the try to be trusted can be switched off", async () => {
  expect((await parseConfig("install_trust = false", FILE)).installTrust).toBe(false);
});

test("Limits are taken by name", async () => {
  const config = await parseConfig("[limits]\nmaxClientHello = 4096\nlimitLoopback = true", FILE);
  expect(config.limits).toEqual({ maxClientHello: 4096, limitLoopback: true });
  expect(coreLimits(config.limits)).toEqual({ ...DEFAULT_LIMITS, maxClientHello: 4096 });
  expect(edgeLimits(config.limits)).toEqual({ ...DEFAULT_EDGE_LIMITS, limitLoopback: true });
});

/** Text, and the lines that the error must have, in order. */
const refused: [name: string, text: string, ...lines: string[]][] = [
  [
    "an unknown key names the nearest known one",
    `[[site]]\nnmes = ["a.example"]`,
    '/etc/sotto/sotto.toml:1:1: site[0].names: is missing, accepted: a list of host names as in ["example.com", "*.example.com"]',
    `/etc/sotto/sotto.toml:2:1: site[0]: unknown key "nmes", accepted: ${
      KEYS.site!.join(", ")
    }; did you mean "names"?`,
  ],
  [
    "an unknown table is refused at its header",
    `\n[eck]\nenabled = true`,
    `/etc/sotto/sotto.toml:2:1: unknown key "eck", accepted: ${
      KEYS[""]!.join(", ")
    }; did you mean "ech"?`,
  ],
  [
    "an unknown key deep in an inline table has its own column",
    `[[site]]\nnames = ["a.example"]\nclient_auth = { mode = "request", caa = "x" }`,
    '/etc/sotto/sotto.toml:3:35: site[0].client_auth: unknown key "caa", accepted: mode, ca; did you mean "ca"?',
  ],
  [
    "a word far from every known one gets no suggestion",
    `verbosity = 4`,
    `/etc/sotto/sotto.toml:1:1: unknown key "verbosity", accepted: ${KEYS[""]!.join(", ")}`,
  ],
  [
    "a wrong type shows what was found and what is accepted",
    `[ech]\nenabled = "yes"`,
    '/etc/sotto/sotto.toml:2:11: ech.enabled: found "yes", accepted: true or false',
  ],
  [
    "one site in single brackets is told about two",
    `[site]\nnames = ["a.example"]`,
    "/etc/sotto/sotto.toml:1:1: site: found a table, accepted: tables that begin with [[site]], with two brackets",
  ],
  [
    "no names at all",
    `[[site]]\nnames = []`,
    "/etc/sotto/sotto.toml:2:9: site[0].names: found an empty list, accepted: at least one host name",
  ],
  [
    "a name that is no text",
    `[[site]]\nnames = ["a.example", 7]`,
    "/etc/sotto/sotto.toml:2:23: site[0].names[1]: found 7, accepted: text in quotes",
  ],
  [
    "policy 2.5: a name in two sites",
    `[[site]]\nnames = ["a.example"]\n[[site]]\nnames = ["b.example", "A.example"]`,
    '/etc/sotto/sotto.toml:4:23: site[1].names[1]: the name "A.example" is already taken by site[0].names[0]',
  ],
  [
    "a bad name",
    `[[site]]\nnames = ["*.*.example"]`,
    '/etc/sotto/sotto.toml:2:10: site[0].names[0]: "*.*.example" may have "*" only as its whole first label',
  ],
  [
    "an unknown group",
    `[[site]]\nnames = ["a.example"]\ngroups = ["x25519", "x448"]`,
    '/etc/sotto/sotto.toml:3:21: site[0].groups[1]: found "x448", accepted: X25519MLKEM768, x25519, secp256r1, secp384r1',
  ],
  [
    "a misspelt group",
    `[[site]]\nnames = ["a.example"]\ngroups = ["x22519"]`,
    '/etc/sotto/sotto.toml:3:11: site[0].groups[0]: found "x22519", accepted: X25519MLKEM768, x25519, secp256r1, secp384r1; did you mean "x25519"?',
  ],
  [
    "a group twice, under two of its names",
    `[[site]]\nnames = ["a.example"]\ngroups = ["secp256r1", "P-256"]`,
    '/etc/sotto/sotto.toml:3:24: site[0].groups[1]: "P-256" stands twice in the list',
  ],
  [
    "an unknown protocol",
    `[[site]]\nnames = ["a.example"]\nalpn = ["h2"]`,
    '/etc/sotto/sotto.toml:3:9: site[0].alpn[0]: found "h2", accepted: http/1.1, http/1.0; [] ignores the client\'s list',
  ],
  [
    "a key without certificate",
    `[[site]]\nnames = ["a.example"]\nkey = "k.pem"`,
    "/etc/sotto/sotto.toml:3:7: site[0].key: a key without a certificate; accepted: both, or neither",
  ],
  [
    "a certificate without key",
    `[[site]]\nnames = ["a.example"]\ncertificate = "c.pem"`,
    "/etc/sotto/sotto.toml:3:15: site[0].certificate: a certificate without its key; accepted: both, or neither",
  ],
  [
    "unequal numbers of certificates and keys",
    `[[site]]\nnames = ["a.example"]\ncertificate = ["c.pem", "d.pem"]\nkey = "k.pem"`,
    "/etc/sotto/sotto.toml:4:7: site[0].key: found 1 keys for 2 certificates; accepted: one for each, in the same order",
  ],
  [
    "policy 7.1: verification without a pool",
    `[[site]]\nnames = ["a.example"]\nclient_auth = { mode = "verify_if_given" }`,
    '/etc/sotto/sotto.toml:3:24: site[0].client_auth.mode: mode "verify_if_given" has nothing to verify against; accepted: ca = ["FILE"] beside it',
  ],
  [
    "an unknown mode",
    `[[site]]\nnames = ["a.example"]\n[site.client_auth]\nmode = "demand"`,
    '/etc/sotto/sotto.toml:4:8: site[0].client_auth.mode: found "demand", accepted: one of request, require, verify_if_given, require_and_verify',
  ],
  [
    "an unknown limit",
    `[limits]\nmaxClientHelo = 1`,
    '/etc/sotto/sotto.toml:2:17: limits.maxClientHelo: unknown limit; did you mean "maxClientHello"?',
  ],
  [
    "a limit of another type",
    `[limits]\nlimitLoopback = 1\nidleTimeoutMs = "5s"`,
    "/etc/sotto/sotto.toml:2:17: limits.limitLoopback: found 1, accepted: true or false",
    '/etc/sotto/sotto.toml:3:17: limits.idleTimeoutMs: found "5s", accepted: a number, true or false',
  ],
  [
    "a switch among the limits",
    `[limits]\nlimitLoopback = 1\nidleTimeoutMs = true`,
    "/etc/sotto/sotto.toml:2:17: limits.limitLoopback: found 1, accepted: true or false",
    "/etc/sotto/sotto.toml:3:17: limits.idleTimeoutMs: found true, accepted: a number",
  ],
  [
    "a limit below nothing",
    `[limits]\nmaxClientHello = -1`,
    "/etc/sotto/sotto.toml:2:18: limits.maxClientHello: found -1, accepted: a whole number from 0",
  ],
];

test.each(refused)("%s", async (_name, text, ...lines) => {
  const error = await parseConfig(text, FILE).catch((e: unknown) => e);
  expect(error).toBeInstanceOf(ConfigError);
  expect((error as ConfigError).message.split("\n")).toEqual(lines);
});

test.each([
  "192.0.2.1",
  "example.0x1f",
  "example.123",
  "-a.example",
  "a..example",
  `${"a".repeat(64)}.example`,
  "",
])("ech 11: the public name %j is refused", async (name) => {
  const error = await parseConfig(`[ech]\npublic_name = ${JSON.stringify(name)}`, FILE)
    .catch((e: unknown) => e);
  expect(error).toBeInstanceOf(ConfigError);
  expect((error as ConfigError).message).toMatch(
    /^\/etc\/sotto\/sotto\.toml:2:15: ech\.public_name: found ".*", accepted: a host name of letters/,
  );
});

test("What is not TOML has its line and column", async () => {
  const error = await parseConfig(`[ech]\nenabled = tru\n`, FILE).catch((e: unknown) => e);
  expect(error).toBeInstanceOf(ConfigError);
  expect((error as ConfigError).message).toMatch(/^\/etc\/sotto\/sotto\.toml:2:\d+: not TOML: /);
});

test("A key given twice is not TOML", async () => {
  const error = await parseConfig(`[ech]\nenabled = true\nenabled = true\n`, FILE)
    .catch((e: unknown) => e);
  expect((error as ConfigError).message).toMatch(/^\/etc\/sotto\/sotto\.toml:3:\d+: not TOML: /);
});

test("A file is loaded from where it lies, and a missing one is named", async () => {
  const folder = await mkdtemp(join(tmpdir(), "sotto-config-"));
  try {
    const file = join(folder, "mine.toml");
    await expect(loadConfig(file)).rejects.toThrow("mine.toml: there is no such file");
    await expect(loadConfig(folder)).rejects.toThrow(`${folder}: cannot be read: it is a folder`);
    await writeFile(file, "");
    await expect(loadConfig(join(file, "x"))).rejects.toThrow(
      "x: there is no such file: what should be its folder is a file",
    );
    await writeFile(file, `[[site]]\nnames = ["a.example"]\ncertificate = "c"\nkey = "k"`);
    const config = await loadConfig(file);
    expect(config.sites[0]!.certificates[0]!.key).toBe(join(folder, "k"));
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("The nearest word is near", () => {
  expect(nearest("nmaes", ["names", "key"])).toBe("names");
  expect(nearest("certifcate", ["certificate", "client_auth"])).toBe("certificate");
  expect(nearest("zzz", ["names", "key"])).toBeUndefined();
});
