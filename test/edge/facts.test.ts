import { expect, it } from "vitest";
import { SessionFacts } from "../../src/edge/facts.ts";
import { RespondHandler } from "../../src/edge/handlers/respond.ts";
import type { Socket } from "../../src/runtime/runtime.ts";
import { SiteClientAuth } from "../../src/snapshot/client-auth.ts";
import { decodeSnapshot, encodeSnapshot } from "../../src/snapshot/codec.ts";
import { credentialFromPem } from "../../src/snapshot/credential.ts";
import { type Site, Snapshot } from "../../src/snapshot/snapshot.ts";
import type { ClientAuth } from "../../src/tls/config.ts";
import type { Negotiated } from "../../src/tls/output.ts";
import { clientPoolFromPem } from "../../src/x509/chain.ts";
import { type KeyKind, testCertificate } from "../support/certificates.ts";
import { testCrypto, testServer } from "../support/server-config.ts";

const AUTH: ClientAuth = { mode: "require", authorities: [] };
const base = await testServer();

it("policy 8.5: serves the name of the hello, and another site's that the certificate covers", async () => {
  const { a, b, snapshot } = await sites();
  const facts = factsOf(a, snapshot, { serverName: "a.example" });
  expect(facts.mayServe("a.example")).toBe(true);
  expect(facts.mayServe("b.example")).toBe(true);
  expect(facts.mayServe("c.example")).toBe(false); // a site, but not in the certificate
  expect(facts.mayServe("d.example")).toBe(false); // in the certificate, but no site
  expect(factsOf(b, snapshot, { serverName: "b.example" }).mayServe("a.example")).toBe(false);
});

it("policy 8.5: only what every certificate covers that the client may have been shown", async () => {
  const { snapshot, two } = await sites();
  const p256 = { serverName: "two.example", signatureScheme: 0x0403 };
  const rsa = { serverName: "two.example", signatureScheme: 0x0804 };
  expect(factsOf(two, snapshot, p256).mayServe("b.example")).toBe(true);
  expect(factsOf(two, snapshot, rsa).mayServe("b.example")).toBe(false);
  const resumed = { serverName: "two.example", signatureScheme: undefined, resumed: true };
  expect(factsOf(two, snapshot, resumed).mayServe("b.example")).toBe(false);
});

it("policy 8.5: sites of one group share connections whatever the certificate; others do not", async () => {
  const [a, b, c] = [
    { ...await site(["a.example"]), hosts: { group: "one" } },
    { ...await site(["b.example"]), hosts: { group: "one" } },
    { ...await site(["c.example"]), hosts: { group: "two" } },
  ];
  const auth = { ...await site(["auth.example"], undefined, AUTH), hosts: { group: "one" } };
  const snapshot = new Snapshot({ server: base.config, sites: [a, b, c, auth] });
  const facts = factsOf(a, snapshot, { serverName: "a.example" });
  expect(facts.mayServe("b.example")).toBe(true);
  expect(facts.mayServe("c.example")).toBe(false);
  expect(facts.mayServe("auth.example")).toBe(false);
});

it("policy 8.5: sni_host says match, covered or any", async () => {
  const may = async (hosts: Site["hosts"], covers: readonly string[]) => {
    const a = { ...await site(["a.example", "a2.example"], covers), ...(hosts && { hosts }) };
    const b = await site(["b.example"]);
    const snapshot = new Snapshot({ server: base.config, sites: [a, b] });
    const facts = factsOf(a, snapshot, { serverName: "a.example" });
    return [facts.mayServe("a2.example"), facts.mayServe("b.example"), facts.mayServe("c.example")];
  };
  expect(await may({ sniHost: "match" }, ["a.example", "b.example"])).toEqual([true, false, false]);
  expect(await may(undefined, ["a.example", "b.example"])).toEqual([true, true, false]);
  expect(await may({ sniHost: "any" }, ["a.example"])).toEqual([true, true, false]);
});

it("policy 8.5: a site is the same one though it was let go and made again meanwhile", async () => {
  const hosts = { sniHost: "match" } as const;
  const mode = new SiteClientAuth("require", { anchors: [], authorities: [] });
  const auth = await site(["c.example", "c2.example"], undefined, mode);
  const made = [{ ...await site(["a.example", "a2.example"]), hosts }, auth];
  const many = Array.from(
    { length: 2100 },
    (_, i): Site => ({ ...made[0]!, names: [`n${i}.example`] }),
  );
  const facts = { createdMs: 0, configHash: "", rootKey: "", authorities: "", flightPadding: 0 };
  const encoding = encodeSnapshot(
    testCrypto,
    new Snapshot({ server: base.config, sites: [...made, ...many] }),
    { ...facts, ech: undefined },
  );
  const bytes = Buffer.concat([...encoding]);
  const { table } = decodeSnapshot(testCrypto, new Uint8Array(bytes));
  const snapshot = new Snapshot({ server: base.config, sites: [] }, table);
  for (
    const [name, second] of [["a.example", "a2.example"], ["c.example", "c2.example"]] as const
  ) {
    const found = snapshot.findText(name)!;
    const facts = factsOf(found, snapshot, { serverName: name });
    for (let i = 0; i < many.length; i++) snapshot.findText(`n${i}.example`);
    expect(snapshot.findText(name)).not.toBe(found);
    expect(facts.mayServe(second)).toBe(true);
    expect(facts.mayServe("n1.example")).toBe(false);
  }
});

it("policy 7.5: another site with the same client authentication may be asked for, with another not", async () => {
  const { chainPem } = await testCertificate({ names: ["ca.example"] });
  const other = await testCertificate({ names: ["other-ca.example"], kind: "p384" });
  const pool = (pem: string) => new SiteClientAuth("require_and_verify", clientPoolFromPem(pem));
  const a = await site(["a.example"], ["a.example", "b.example", "c.example"], pool(chainPem));
  const b = await site(["b.example"], undefined, pool(chainPem));
  const c = await site(["c.example"], undefined, pool(other.chainPem));
  const snapshot = new Snapshot({ server: base.config, sites: [a, b, c] });
  const facts = factsOf(a, snapshot, { serverName: "a.example" });
  expect(facts.mayServe("b.example")).toBe(true);
  expect(facts.mayServe("c.example")).toBe(false);
});

it("policy 7.5: client authentication on either side allows no other site", async () => {
  const { a, auth, snapshot } = await sites();
  expect(factsOf(a, snapshot, { serverName: "a.example" }).mayServe("auth.example")).toBe(false);
  const facts = factsOf(auth, snapshot, { serverName: "auth.example" });
  expect(facts.mayServe("auth.example")).toBe(true);
  expect(facts.mayServe("auth2.example")).toBe(true); // the same site: the same policy
  expect(facts.mayServe("a.example")).toBe(false);
});

it("policy 7.6: without a name in the hello, client authentication allows nothing", async () => {
  const { a, auth, snapshot } = await sites();
  const unnamed = { serverName: undefined };
  expect(factsOf(auth, snapshot, unnamed).mayServe("auth.example")).toBe(false);
  expect(factsOf(a, snapshot, unnamed).mayServe("auth.example")).toBe(false);
  expect(factsOf(a, snapshot, unnamed).mayServe("a.example")).toBe(true);
  expect(factsOf(a, snapshot, unnamed).mayServe("127.0.0.1")).toBe(true);
  expect(factsOf(a, snapshot, unnamed).mayServe("127.0.0.2")).toBe(false);
});

it("policy 8.3: the public name may serve nothing, not even itself", async () => {
  const { pub, a, snapshot } = await sites();
  const facts = factsOf(pub, snapshot, { serverName: "public.example" });
  expect(facts.publicNameOnly).toBe(true);
  expect(facts.mayServe("public.example")).toBe(false);
  expect(facts.mayServe("a.example")).toBe(false);
  expect(factsOf(a, snapshot, { serverName: "a.example" }).mayServe("public.example")).toBe(false);
});

it("takes no host for a name that is none", async () => {
  const { a, snapshot } = await sites();
  const facts = factsOf(a, snapshot, { serverName: "a.example" });
  for (const host of ["", ".", "a b", "[", "::1]", "a.example/", "x@a.example"]) {
    expect(facts.mayServe(host)).toBe(false);
  }
});

it("policy 8.7: a site that requires ECH, or is passed on, is not served over another's connection", async () => {
  const a = await site(["a.example"], ["a.example", "*.example"]);
  const hidden = { ...await site(["hidden.example"]), requireEch: true };
  const passed: Site = {
    ...await site(["passed.example"]),
    handler: { kind: "passthrough", upstreams: [{ path: "/s" }], proxyProtocol: 0 },
  };
  const snapshot = new Snapshot({ server: base.config, sites: [a, hidden, passed] });
  const over = (outcome: "accepted" | "rejected") =>
    factsOf(a, snapshot, { serverName: "a.example", ech: { outcome } as Negotiated["ech"] });
  expect(over("rejected").mayServe("hidden.example")).toBe(false);
  expect(over("accepted").mayServe("hidden.example")).toBe(true);
  expect(over("accepted").mayServe("passed.example")).toBe(false);
});

async function sites() {
  const a = await site(["a.example"], ["a.example", "b.example", "d.example", "auth.example"]);
  const b = await site(["b.example"]);
  const c = await site(["c.example"]);
  const auth = await site(
    ["auth.example", "auth2.example"],
    ["auth.example", "auth2.example", "a.example"],
    AUTH,
  );
  const pub = {
    ...await site(["public.example"], ["public.example", "a.example"]),
    publicNameOnly: true,
  };
  const two = {
    ...await site(["two.example"]),
    tls: {
      ...base.site,
      credentials: [
        await credential(["two.example", "b.example"], "p256"),
        await credential(["two.example"], "rsa"),
      ],
    },
  };
  const snapshot = new Snapshot({ server: base.config, sites: [a, b, c, auth, pub, two] });
  return { a, b, c, auth, pub, two, snapshot };
}

async function site(
  names: readonly string[],
  covers: readonly string[] = names,
  clientAuth?: ClientAuth,
): Promise<Site> {
  return {
    names,
    tls: { ...base.site, credentials: [await credential(covers, "p256")], clientAuth },
    handler: { kind: "respond", text: "" },
    publicNameOnly: false,
  };
}

async function credential(names: readonly string[], kind: KeyKind) {
  const { chainPem, keyPem } = await testCertificate({ names, kind });
  return credentialFromPem(testCrypto, { id: names[0]!, certificatePem: chainPem, keyPem });
}

function factsOf(site: Site, snapshot: Snapshot, negotiated: Partial<Negotiated>): SessionFacts {
  const socket = {
    remoteAddress: "192.0.2.1",
    remotePort: 1,
    localAddress: "127.0.0.1",
    localPort: 443,
  } as Socket;
  return new SessionFacts(
    { signatureScheme: 0x0403, resumed: false, ...negotiated } as Negotiated,
    {
      socket,
      source: { key: socket.remoteAddress },
      site,
      snapshot,
      host: { handlerOf: () => new RespondHandler("") },
    },
  );
}
