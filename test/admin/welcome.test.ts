import { expect, test } from "vitest";

import { echVerdict, welcomeApp } from "../../src/admin/welcome.ts";
import type { ConnectionFacts } from "../../src/edge/handlers/handler.ts";
import type { EchStatus } from "../../src/tls/output.ts";
import { CipherSuite, NamedGroup, SignatureScheme } from "../../src/tls/wire/code-points.ts";

const notOffered: EchStatus = {
  outcome: "not-offered",
  staleLikely: false,
  configId: undefined,
  heldId: false,
  outerName: undefined,
};

const facts: ConnectionFacts = {
  cipherSuite: CipherSuite.TLS_AES_128_GCM_SHA256,
  group: NamedGroup.X25519MLKEM768,
  signatureScheme: SignatureScheme.ecdsa_secp256r1_sha256,
  alpn: "http/1.1",
  serverName: "localhost",
  resumed: false,
  helloRetried: false,
  ech: notOffered,
  client: undefined,
  remoteAddress: "127.0.0.1",
  remotePort: 50000,
  localAddress: "127.0.0.1",
  localPort: 8443,
  publicNameOnly: false,
  mayServe: () => true,
  handlerOf: () => undefined,
};

const app = welcomeApp({
  certificate: () => ({
    subject: "localhost",
    issuer: "sotto local CA",
    notAfterMs: Date.UTC(2030, 0, 2, 3, 4),
  }),
  ech: () => ({ publicName: "cover.localhost", configList: "AEX+DQ==" }),
  root: "/home/o'neil/root.pem",
});

async function get(path: string, env: ConnectionFacts): Promise<Response> {
  return await app.fetch(new Request(`https://localhost:8443${path}`), env);
}

test("The page shows the visitor's connection", async () => {
  const response = await get("/", facts);
  expect(response.status).toBe(200);
  expect(response.headers.get("content-type")).toMatch(/^text\/html/);
  expect(response.headers.get("cache-control")).toBe("no-store");
  const text = await response.text();
  for (
    const expected of [
      "TLS 1.3",
      "X25519MLKEM768",
      "TLS_AES_128_GCM_SHA256",
      "ecdsa_secp256r1_sha256",
      "http/1.1",
      "no, a full handshake",
      "<strong>not offered</strong>",
      "localhost, from sotto local CA, until 2030-01-02 03:04 UTC",
      "curl --ech ecl:AEX+DQ==",
      "https://localhost:8443/",
      "_8443._https.localhost. HTTPS 1 localhost.",
    ]
  ) expect(text).toContain(expected);
  expect(text).not.toContain("<script");
});

test("ECH accepted says who was seen instead", async () => {
  const ech: EchStatus = { ...notOffered, outcome: "accepted", configId: 7 };
  const text = await (await get("/", { ...facts, ech, resumed: true })).text();
  expect(text).toContain("<strong>accepted</strong>");
  expect(text).toContain("cover.localhost, not localhost");
  expect(text).toContain("yes, from a ticket");
});

test.each(
  [
    ["accepted", { outcome: "accepted" }],
    ["rejected", { outcome: "rejected", staleLikely: true }],
    ["rejected", { outcome: "rejected", heldId: true }],
    ["GREASE", { outcome: "rejected" }],
    ["not offered", {}],
  ] as const,
)("ech 6: %s is said of %j", (verdict, status) => {
  expect(echVerdict({ ...notOffered, ...status })).toBe(verdict);
});

test("What the client chose is escaped", async () => {
  const text = await (await get("/", { ...facts, alpn: `<b>&"` })).text();
  expect(text).toContain("&lt;b&gt;&amp;&quot;");
  expect(text).not.toContain("<b>");
});

test("The facts are there as JSON", async () => {
  const response = await get("/connection.json", facts);
  expect(await response.json()).toMatchObject({
    "TLS version": "TLS 1.3",
    "Encrypted Client Hello": "not offered",
    "Key exchange": "X25519MLKEM768",
  });
});

test("The root's path is shown to visitors from this machine alone, fit for a shell", async () => {
  const near = await (await get("/", facts)).text();
  expect(near).toContain("--cacert &#39;/home/o&#39;\\&#39;&#39;neil/root.pem&#39;");
  const far = await (await get("/", { ...facts, remoteAddress: "192.0.2.7" })).text();
  expect(far).toContain("--cacert root.pem");
  expect(far).not.toContain("neil");
});

test("Another path is not found", async () => {
  expect((await get("/nothing", facts)).status).toBe(404);
});
