/**
 * The decision matrix of policy §9, a test for each row, numbered from the top. Missing: 11 and 13 (on demand, pending)
 * and 17 (a live challenge), which take ACME, and in 20 and 22 what takes TLS 1.2 and ACME. 22 and 23 are also in
 * redirect.test.ts.
 */
import { describe, expect, test } from "vitest";

import { type ClientConnection, ClientError, type ClientOptions } from "../../src/client/client.ts";
import { credentialFromPem } from "../../src/snapshot/credential.ts";
import { alertName } from "../../src/tls/alert.ts";
import { ExtensionType } from "../../src/tls/wire/code-points.ts";
import { testCertificate } from "../support/certificates.ts";
import { hello, plaintextRecords } from "../support/hello-builder.ts";
import { testCrypto, testEchKey } from "../support/server-config.ts";
import { type EdgeWish, get, readText, type SiteWish, TestEdge, until } from "./edge-kit.ts";

const PUBLIC: SiteWish = { names: ["public.example"], publicNameOnly: true };
const AUTH = { mode: "require", authorities: [] } as const;
const SITES: readonly SiteWish[] = [
  {
    names: ["a.example"],
    covers: ["a.example", "covered.example", "auth.example"],
    hosts: { group: "one" },
  },
  { names: ["covered.example"] },
  { names: ["friend.example"], hosts: { group: "one" } },
  { names: ["other.example"] },
  { names: ["hidden.example"], requireEch: true },
  { names: ["auth.example"], covers: ["auth.example", "a.example"], clientAuth: AUTH },
  PUBLIC,
];

const start = (wish: EdgeWish = {}) =>
  TestEdge.start({ tls: { ech: true }, sites: SITES, ...wish });

/** The answer to one request: status, and the body, which names the site that gave it. */
async function ask(client: ClientConnection, host: string): Promise<string> {
  await client.write(get(host, "/", "Connection: close"));
  const [head = "", body = ""] = (await readText(client)).split("\r\n\r\n");
  await client.close();
  return `${head.split(" ")[1]} ${body}`.trim();
}

async function refused(edge: TestEdge, options: Partial<ClientOptions>): Promise<ClientError> {
  const error = await edge.connect(options).then((client) => client.read()).catch((e: unknown) =>
    e
  );
  if (!(error instanceof ClientError)) throw new Error("Not refused", { cause: error });
  return error;
}

const dnsNames = (client: ClientConnection) =>
  new TextDecoder("latin1").decode(client.negotiated.peerChain[0]);

describe("policy 9 row", () => {
  test.each([
    ["a.example", "200 this is a.example"],
    ["covered.example", "200 this is covered.example"],
    ["friend.example", "200 this is friend.example"],
    ["other.example", "421"],
    ["unknown.example", "421"],
    ["hidden.example", "421"],
    ["public.example", "421"],
  ])("1: SNI own, no ECH, Host %s: %s", async (host, answer) => {
    const client = await (await start()).connect();
    expect(client.negotiated.ech).toBe("not-offered");
    expect(await ask(client, host)).toBe(answer);
  });

  test.each([
    ["a.example", "a.example", "200 this is a.example"],
    ["a.example", "covered.example", "200 this is covered.example"],
    ["hidden.example", "hidden.example", "200 this is hidden.example"],
    ["a.example", "other.example", "421"],
  ])("2: inner %s, outer pub, Host %s: %s", async (serverName, host, answer) => {
    const edge = await start();
    const client = await edge.connect({ serverName, ech: { configList: edge.configList! } });
    expect(client.negotiated).toMatchObject({ ech: "accepted", retryConfigs: undefined });
    expect(dnsNames(client)).toContain(serverName);
    expect(await ask(client, host)).toBe(answer);
  });

  test("3: outer pub, stale ECH: pub certificate, retry configs, and the client ends with 121", async () => {
    const edge = await start();
    const stale = testEchKey({ configId: 9 }).configList;
    const error = await refused(edge, { ech: { configList: stale } });
    expect(error).toMatchObject({
      reason: "ECH rejected",
      alertSent: "ech_required",
      echVerdict: "replaced",
    });
    expect(error.retryConfigs).toEqual(edge.configList);
    await until(() => edge.server.liveConnections === 0);
    expect(edge.server.counters.ech).toMatchObject({ ech_required: 1 });
  });

  test("4: outer own, GREASE: own certificate, retry configs that mean nothing, and the site", async () => {
    const edge = await start();
    const client = await edge.connect({ ech: "grease" });
    expect(client.negotiated).toMatchObject({ ech: "grease", retryConfigs: edge.configList });
    expect(await ask(client, "a.example")).toBe("200 this is a.example");
  });

  test("5: outer own, stale real ECH: own certificate, and the client ends with a certificate alert", async () => {
    const edge = await start();
    const stale = testEchKey({ configId: 9 }).configList;
    const error = await refused(edge, {
      ech: { configList: stale, knobs: { outerName: "a.example" } },
    });
    // It looks for the public name in what it was shown.
    expect(error).toMatchObject({
      reason: "certificate for another name",
      alertSent: "bad_certificate",
    });
  });

  test.each([["inner", 1], ["of an unknown type", 2]])(
    "6: ECH %s as the outer hello: illegal_parameter",
    async (_, type) => {
      const client = await (await start()).raw();
      const ech = [ExtensionType.encrypted_client_hello, Uint8Array.of(type)] as const;
      client.socket.write(plaintextRecords(hello({ replace: [ech] })));
      await until(() => client.ended);
      expect([...client.received.subarray(0, 5)]).toEqual([21, 3, 3, 0, 2]);
      expect(alertName(client.received[6]!)).toBe("illegal_parameter");
    },
  );

  test("7: SNI pub, no ECH: pub certificate and no retry configs, then 421 and the end; a site of that name is served", async () => {
    const edge = await start();
    const client = await edge.connect({ serverName: "public.example" });
    expect(client.negotiated.retryConfigs).toBeUndefined();
    expect(await ask(client, "public.example")).toBe("421");
    const both = await start({ sites: [{ names: ["public.example"] }] });
    expect(await ask(await both.connect({ serverName: "public.example" }), "public.example")).toBe(
      "200 this is public.example",
    );
  });

  test.each(["not offered", "grease"] as const)(
    "8: SNI own with require_ech, ECH %s: unrecognized_name, as if unknown",
    async (ech) => {
      const edge = await start();
      const more = ech === "grease" ? { ech } : {};
      const hidden = await refused(edge, { serverName: "hidden.example", ...more });
      const unknown = await refused(edge, { serverName: "unknown.example", ...more });
      expect(hidden.alertReceived).toBe("unrecognized_name");
      expect([unknown.alertReceived, unknown.alertReceivedUnder]).toEqual([
        hidden.alertReceived,
        hidden.alertReceivedUnder,
      ]);
    },
  );

  test("9: inner unknown, ECH accepted: unrecognized_name, under handshake keys", async () => {
    const edge = await start();
    const ech = { configList: edge.configList! };
    expect(await refused(edge, { serverName: "unknown.example", ech })).toMatchObject({
      alertReceived: "unrecognized_name",
      alertReceivedUnder: "handshake",
    });
  });

  test("10: SNI unknown, on-demand off: unrecognized_name, or fallback_sni", async () => {
    expect(await refused(await start(), { serverName: "unknown.example" })).toMatchObject({
      alertReceived: "unrecognized_name",
      alertReceivedUnder: "plaintext",
    });
    const edge = await start({ snapshot: { fallbackSni: "a.example" } });
    const { alertSent } = await refused(edge, { serverName: "unknown.example" });
    expect(alertSent).toBe("bad_certificate"); // it was shown a.example's
  });

  test("12: no SNI: IP certificate, default_sni, the only site, else missing_extension; Host has to be covered", async () => {
    const unnamed = { serverName: undefined };
    expect((await refused(await start(), unnamed)).alertReceived).toBe("missing_extension");
    const byAddress = await start({
      sites: [...SITES, { names: ["127.0.0.1"], covers: ["127.0.0.1", "covered.example"] }],
    });
    const answers = async (edge: TestEdge, host: string) =>
      await ask(await edge.connect(unnamed), host);
    expect(await answers(byAddress, "127.0.0.1")).toBe("200 this is 127.0.0.1");
    expect(await answers(byAddress, "covered.example")).toBe("200 this is covered.example");
    expect(await answers(byAddress, "other.example")).toBe("421");
    const byDefault = await start({ snapshot: { defaultSni: "other.example" } });
    expect(await answers(byDefault, "other.example")).toBe("200 this is other.example");
    expect(await answers(byDefault, "a.example")).toBe("421");
    const only = await start({ sites: [{ names: ["a.example"] }, PUBLIC] });
    expect(await answers(only, "a.example")).toBe("200 this is a.example");
  });

  test("14: SNI own, certificate expired: served", async () => {
    const { chainPem, keyPem } = await testCertificate({
      names: ["a.example"],
      notBefore: new Date(Date.now() - 180_000),
      notAfter: new Date(Date.now() - 60_000),
    });
    const expired = credentialFromPem(testCrypto, { id: "x", certificatePem: chainPem, keyPem });
    const edge = await start({
      sites: [{ names: ["a.example"], tls: { credentials: [expired] } }],
    });
    expect((await refused(edge, {})).alertSent).toBe("certificate_expired"); // the client's judgement
    const client = await edge.connect({ now: () => Date.now() - 120_000 });
    expect(await ask(client, "a.example")).toBe("200 this is a.example");
  });

  test("15: SNI own with client authentication: the certificate is asked for; Host without: 421", async () => {
    const edge = await start();
    expect((await refused(edge, { serverName: "auth.example" })).alertReceived).toBe(
      "certificate_required",
    );
    const { chain, keyPem } = await testCertificate({ names: ["me.example"], usage: "client" });
    const connect = () =>
      edge.connect({ serverName: "auth.example", certificate: { chain, keyPem } });
    expect((await connect()).negotiated.certificateRequested).toBe(true);
    expect(await ask(await connect(), "auth.example")).toBe("200 this is auth.example");
    expect(await ask(await connect(), "a.example")).toBe("421");
  });

  test("16: SNI own without client authentication, Host with: 421, never that site", async () => {
    const client = await (await start()).connect();
    expect(client.negotiated.certificateRequested).toBe(false);
    expect(await ask(client, "auth.example")).toBe("421");
  });

  test.each(["a.example", "unknown.example", "public.example", "hidden.example"])(
    "18: ALPN only acme-tls/1, none live, SNI %s: no_application_protocol",
    async (serverName) => {
      // Not even where a site ignores the extension.
      const edge = await start();
      expect((await refused(edge, { serverName, alpn: ["acme-tls/1"] })).alertReceived).toBe(
        "no_application_protocol",
      );
    },
  );

  test("19: ALPN without overlap: no_application_protocol, under ECH with handshake keys", async () => {
    const edge = await start({ tls: { ech: true, alpn: ["http/1.1"] } });
    const alpn = ["h2"];
    expect(await refused(edge, { alpn })).toMatchObject({
      alertReceived: "no_application_protocol",
      alertReceivedUnder: "plaintext",
    });
    expect(await refused(edge, { alpn, ech: { configList: edge.configList! } })).toMatchObject({
      alertReceived: "no_application_protocol",
      alertReceivedUnder: "handshake",
    });
  });

  test.each([["a.example", "protocol_version"], ["unknown.example", "protocol_version"]])(
    "20: TLS 1.2 only, SNI %s: %s",
    async (serverName, alert) => {
      const client = await (await start()).raw();
      client.socket.write(plaintextRecords(hello({ serverName, versions: [0x0303] })));
      await until(() => client.ended);
      expect(alertName(client.received[6]!)).toBe(alert);
    },
  );

  test.each([
    ["a.example", /^HTTP\/1\.1 308 [^]*\r\nLocation: https:\/\/a\.example\/x\r\n/],
    ["unknown.example", /^HTTP\/1\.1 400 /],
    ["public.example", /^HTTP\/1\.1 400 /],
  ])("21: plain HTTP on the HTTPS port, Host %s", async (host, answer) => {
    const client = await (await start()).raw();
    client.socket.write(get(host, "/x"));
    await until(() => client.ended);
    expect(client.text).toMatch(answer);
  });
});
