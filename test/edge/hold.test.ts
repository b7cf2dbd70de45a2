/** Handshakes that wait for our own side: a slow signer, a verdict. */
import { describe, expect, it } from "vitest";
import type { EdgeParts } from "../../src/edge/server.ts";
import type { ClientVerdict } from "../../src/tls/output.ts";
import { testCertificate } from "../support/certificates.ts";
import { testCredential } from "../support/server-config.ts";
import { get, readText, readUntil, TestEdge, turn, until } from "./edge-kit.ts";

describe("a slow signer", () => {
  it("policy 5: is waited for, and its time is not the peer's", async () => {
    const gate = Promise.withResolvers<void>();
    const asked = Promise.withResolvers<void>();
    const edge = await slow(async (request) => {
      asked.resolve();
      await gate.promise;
      return await signature(request.scheme, request.content);
    });
    const connecting = edge.connect();
    await asked.promise;
    edge.clock.advance(50_000);
    await turn();
    expect(edge.server.liveConnections).toBe(1);
    gate.resolve();
    const client = await connecting;
    await client.write(get("a.example"));
    await readUntil(client, "this is a.example");
    await client.close();
  });

  it("is given up after holdTimeout: internal_error", async () => {
    const asked = Promise.withResolvers<void>();
    const edge = await slow(() => (asked.resolve(), new Promise(() => {})));
    const connecting = edge.connect().catch((error: unknown) => error);
    await asked.promise;
    edge.clock.advance(60_250);
    expect(await connecting).toMatchObject({ alertReceived: "internal_error" });
    expect(edge.server.counters).toMatchObject({
      limits: { holdTimeout: 1 },
      handshakes: { broken: 1 },
      pending: 0,
    });
  });

  it("that fails ends the handshake with internal_error, and is not the peer's fault", async () => {
    for (const sign of [() => Promise.reject(new Error("secret")), undefined]) {
      const edge = await slow(sign);
      await expect(edge.connect()).rejects.toMatchObject({ alertReceived: "internal_error" });
      await until(() => edge.server.counters.pending === 0);
      expect(edge.server.counters).toMatchObject({
        errors: { "signer failed": 1 },
        exceptions: 0,
        handshakes: { broken: 1 },
      });
      expect(JSON.stringify(edge.log)).not.toContain("secret");
    }
  });

  it("that answers after the peer has left is too late, and harmless", async () => {
    const gate = Promise.withResolvers<Uint8Array>();
    const asked = Promise.withResolvers<void>();
    const edge = await slow(() => (asked.resolve(), gate.promise));
    void edge.connect().catch(() => {});
    await asked.promise;
    edge.server.abort();
    await until(() => edge.server.liveConnections === 0);
    gate.resolve(new Uint8Array(64));
    await turn();
    expect(edge.server.counters.exceptions).toBe(0);
  });
});

describe("a client's certificate", () => {
  it("policy 7.1: is taken unverified where the site only requires one", async () => {
    const edge = await TestEdge.start({ tls: { clientAuth: "require" } });
    const { chain, keyPem } = await testCertificate({ names: ["me"], usage: "client" });
    const client = await edge.connect({ certificate: { chain, keyPem } });
    await client.write(get("a.example"));
    await readUntil(client, "this is a.example");
    await client.close();
  });

  it.each<[string, EdgeParts["verifyClient"], string | undefined]>([
    ["verified at once", () => ({ verdict: "verified" }), undefined],
    ["verified later", () => later({ verdict: "verified" }), undefined],
    ["refused at once", () => ({ refuse: "certificate expired" }), "certificate_expired"],
    ["refused later", () => later({ refuse: "unknown CA" }), "unknown_ca"],
    ["without a verdict", () => Promise.reject(new Error("x")), "certificate_unknown"],
    ["with nobody to verify it", undefined, "unknown_ca"],
  ])("policy 7.1: is %s where the site verifies it", async (_name, verifyClient, alert) => {
    const edge = await TestEdge.start({
      tls: { clientAuth: "require_and_verify" },
      ...(verifyClient && { verifyClient }),
    });
    const { chain, keyPem } = await testCertificate({ names: ["me"], usage: "client" });
    const client = await edge.connect({ certificate: { chain, keyPem } });
    await client.write(get("a.example", "/", "Connection: close")).catch(() => {});
    const text = await readText(client).catch((error: unknown) => error);
    if (alert === undefined) expect(text).toContain("this is a.example");
    else expect(text).toMatchObject({ alertReceived: alert });
    await client.close().catch(() => {});
  });
});

async function slow(sign: EdgeParts["sign"]): Promise<TestEdge> {
  const certificate = await testCertificate({ names: ["a.example"] });
  const credentials = [testCredential(certificate, { slowSigner: true })];
  return await TestEdge.start({
    sites: [{ names: ["a.example"], tls: { credentials } }],
    ...(sign && { sign }),
  });
}

async function signature(scheme: number, content: Uint8Array): Promise<Uint8Array> {
  const fast = testCredential(await testCertificate({ names: ["a.example"] }));
  return fast.sign!(scheme, content);
}

function later(verdict: ClientVerdict): Promise<ClientVerdict> {
  return turn().then(() => verdict);
}
