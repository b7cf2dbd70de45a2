import { describe, expect, test } from "vitest";

import { DEFAULT_CONFIG } from "../../src/config/config.ts";
import { upstreamLimits } from "../../src/config/limits.ts";
import { parseConfig } from "../../src/config/load.ts";
import { LIMITS } from "../../src/config/limits.ts";
import { KEYS, schemaForEditors } from "../../src/config/schema.ts";
import { parseDuration, parseUpstream } from "../../src/config/upstream.ts";

const FILE = "/etc/sotto/sotto.toml";

test("Everything that a server may say of itself", async () => {
  const config = await parseConfig(
    `
listen = ["0.0.0.0", "::1"]
https_port = 8443
http_port = 0
auto_https = "no_redirects"
user = "sotto"
sni_host = "match"
log_names = true
log_level = "debug"
default_sni = "A.example"
fallback_sni = "x.b.example"
install_trust = false
[ech]
strict_outer_sni = true
grease_hello_retry = true
[crypto]
provider = "wasm"
openssl = "/opt/openssl/lib64/libcrypto.so.3"
ipsec_mb = "/opt/lib/libIPSec_MB.so.1"
slow_signatures = "inline"
[limits]
connectTimeoutMs = 100
[[site]]
names = ["a.example", "*.b.example"]
`,
    FILE,
  );
  expect(config).toEqual({
    ...DEFAULT_CONFIG,
    file: FILE,
    listen: ["0.0.0.0", "::1"],
    httpsPort: 8443,
    httpPort: 0,
    redirects: false,
    cryptoProvider: "wasm",
    openssl: "/opt/openssl/lib64/libcrypto.so.3",
    ipsecMb: "/opt/lib/libIPSec_MB.so.1",
    slowSignatures: "inline",
    logNames: true,
    logLevel: "debug",
    user: "sotto",
    defaultSni: "a.example",
    fallbackSni: "x.b.example",
    installTrust: false,
    ech: { ...DEFAULT_CONFIG.ech, strictOuterSni: true, greaseHelloRetry: true },
    limits: { connectTimeoutMs: 100 },
    sites: [{
      ...DEFAULT_CONFIG.sites[0],
      names: ["a.example", "*.b.example"],
      hosts: { sniHost: "match", noRedirects: true },
    }],
  });
  expect(upstreamLimits(config.limits).connectTimeoutMs).toBe(100);
});

test("Every handler, and what belongs to it", async () => {
  const { sites, warnings } = await parseConfig(
    `
[[site]]
names = ["a.example"]
forward = ["127.0.0.1:3000", "[::1]:3001", "unix:/run/app.sock"]
proxy_protocol = 2
health_check = "10s"
alpn = ["h2", "http/1.1"]
require_ech = true
certificate = "c.pem"
key = "env:SITE_KEY"
[[site]]
names = ["b.example"]
passthrough = "other.internal:443"
[[site]]
names = ["c.example"]
certificate = "c.pem"
key = "file:k.pem"
respond = ""
`,
    FILE,
  );
  expect(sites.map(({ handler }) => handler)).toEqual([
    {
      kind: "forward",
      upstreams: [
        { hostname: "127.0.0.1", port: 3000 },
        { hostname: "::1", port: 3001 },
        { path: "/run/app.sock" },
      ],
      proxyProtocol: 2,
      checkEveryMs: 10_000,
    },
    {
      kind: "passthrough",
      upstreams: [{ hostname: "other.internal", port: 443 }],
      proxyProtocol: 0,
    },
    { kind: "respond", text: "" },
  ]);
  expect(sites[0]!.alpn).toEqual(["h2", "http/1.1"]);
  expect(sites.map(({ requireEch }) => requireEch)).toEqual([true, false, false]);
  expect(sites.flatMap(({ certificates }) => certificates)).toEqual([
    { certificate: "/etc/sotto/c.pem", key: "env:SITE_KEY" },
    { certificate: "/etc/sotto/c.pem", key: "/etc/sotto/k.pem" },
  ]);
  expect(warnings).toEqual([
    expect.stringMatching(/^require_ech shuts out/),
    expect.stringMatching(/^passthrough goes by the name/),
    expect.stringMatching(/^sites differ in alpn/),
  ]);
});

test.each([
  ["app:80", { hostname: "app", port: 80 }],
  ["under_score.internal:1", { hostname: "under_score.internal", port: 1 }],
  ["[2001:db8::1]:65535", { hostname: "2001:db8::1", port: 65535 }],
  ["unix:/a b", { path: "/a b" }],
  ["app:80/", undefined],
  ["user@app:80", undefined],
  ["app :80", undefined],
  ["[app]:80", undefined],
  ["unix:/", undefined],
  ["h\u00e9:80", undefined],
])("The upstream %j", (text, wanted) => {
  const result = parseUpstream(text);
  if (wanted === undefined) expect(result).toHaveProperty("refused");
  else expect(result).toEqual(wanted);
});

test.each([
  ["100ms", 100],
  ["90s", 90_000],
  ["5m", 300_000],
  ["24h", 86_400_000],
  ["99ms", undefined],
  ["25h", undefined],
  ["1.5s", undefined],
  ["s", undefined],
  [" 1s", undefined],
  ["1d", undefined],
])("The time %j", (text, ms) => expect(parseDuration(text)).toBe(ms));

describe("The JSON Schema", () => {
  const schema = schemaForEditors(Object.keys(LIMITS)) as unknown as SchemaTable;

  test("describes every key, and takes no other", () => {
    const site = schema.properties.site!.items!;
    const tables: Record<string, SchemaTable> = {
      "": schema,
      ech: schema.properties.ech as unknown as SchemaTable,
      crypto: schema.properties.crypto as unknown as SchemaTable,
      site: site,
      auto_https: table(schema.properties.auto_https!),
      "site.auto_https": table(site.properties.auto_https!),
      "site.client_auth": site.properties.client_auth as unknown as SchemaTable,
    };
    for (const [place, keys] of Object.entries(KEYS)) {
      expect(Object.keys(tables[place]!.properties), place).toEqual(keys);
      expect(tables[place]!.additionalProperties).toBe(false);
      for (const key of keys) {
        expect(tables[place]!.properties[key], key).toHaveProperty("description");
      }
    }
    expect(site.required).toEqual(["names"]);
  });

  test("knows the limits by name", () => {
    const limits = schema.properties.limits as unknown as SchemaTable;
    expect(Object.keys(limits.properties)).toEqual(Object.keys(LIMITS));
    expect(limits.additionalProperties).toBe(false);
  });
});

interface SchemaValue {
  readonly items?: SchemaTable;
  readonly anyOf?: readonly SchemaTable[];
}

/** The alternative that is a table. */
function table({ anyOf }: SchemaValue): SchemaTable {
  return anyOf!.find(({ properties }) => properties !== undefined)!;
}

interface SchemaTable {
  readonly properties: Readonly<Record<string, SchemaValue>>;
  readonly required?: readonly string[];
  readonly additionalProperties: unknown;
}
