import { describe, expect, it } from "vitest";
import type { ClientSession } from "../../src/client/client.ts";
import { NamedGroup } from "../../src/tls/wire/code-points.ts";
import { testCertificate } from "../support/certificates.ts";
import { hello, plaintextRecords } from "../support/hello-builder.ts";
import { Pair } from "../support/pair.ts";
import { feed } from "../support/raw-server.ts";
import { testEchKey, testServer } from "../support/server-config.ts";

const { x25519, secp256r1, secp384r1, X25519MLKEM768 } = NamedGroup;
const DATA = Uint8Array.of(1, 2, 3);

describe("Pair", () => {
  it("joins the client and the server, with tickets behind data", async () => {
    const pair = await Pair.connect();
    expect(pair.negotiated?.serverName).toBe("a.example");
    await echo(pair);
    expect((await pair.tickets()).length).toBe(2);
  });

  it.each([
    ["one byte per chunk", { chunkBytes: 1 }],
    ["one byte per record", { client: { fragmentBytes: 1 } }],
    ["both", { chunkBytes: 1, client: { fragmentBytes: 1 } }],
    ["without compatibility mode", { client: { compatibilityMode: false } }],
    ["padded records", { client: { padTo: 512 } }],
    ["record_size_limit 64", { client: { recordSizeLimit: 64 } }],
    ["an HRR", { client: { groups: [x25519, secp256r1], keyShares: [] } }],
    ["0-RTT refused by HRR", { client: { keyShares: [], earlyDataBytes: 100 } }],
  ])("connects with %s", async (_, options) => {
    const pair = await Pair.connect(options);
    await echo(pair);
  });

  it.each(["p256", "p384", "rsa", "ed25519"] as const)("connects with %s", async (kind) => {
    const pair = await Pair.connect({ server: { credentials: [kind] } });
    expect(pair.client.negotiated.signatureScheme).toBe(pair.negotiated?.signatureScheme);
  });

  it.each([x25519, secp256r1, secp384r1, X25519MLKEM768])("agrees in group %i", async (group) => {
    const pair = await Pair.connect({ server: { groups: [group] }, client: { groups: [group] } });
    expect(pair.client.negotiated.group).toBe(group);
    await echo(pair);
  });

  it.each([0x1301, 0x1302, 0x1303])("speaks suite %i", async (suite) => {
    const pair = await Pair.connect({ client: { suites: [suite] } });
    expect(pair.client.negotiated.cipherSuite).toBe(suite);
    await echo(pair);
  });

  it.each([false, true])("resumes, with an HRR %s", async (retried) => {
    const server = await testServer();
    const sessions = await sessionsOf(server);
    const pair = await Pair.connect({
      server,
      client: { sessions, ...(retried ? { keyShares: [] } : {}) },
    });
    expect(pair.client.negotiated).toMatchObject({ resumed: true, helloRetried: retried });
    await echo(pair);
    expect((await pair.tickets()).length).toBe(1);
  });

  it("updates keys both ways and exports the same", async () => {
    const pair = await Pair.connect();
    await pair.client.updateKeys(true);
    await echo(pair);
    expect(pair.client.keyUpdates).toEqual({ received: 1, sent: 1 });
    const context = Uint8Array.of(9);
    expect(pair.client.exportKeyingMaterial("EXPORTER-test", context, 20)).toEqual(
      pair.server.exportKeyingMaterial("EXPORTER-test", context, 20),
    );
  });

  it.each([undefined, 1])("shows a client certificate, compressed by %s", async (compression) => {
    const certificate = await testCertificate({ usage: "client", names: ["user"] });
    const pair = await Pair.connect({
      server: { clientAuth: "require_and_verify", compression: [1] },
      client: {
        certificate: {
          chain: certificate.chain,
          keyPem: certificate.keyPem,
          ...(compression && { compression }),
        },
      },
    });
    expect(pair.negotiated?.client?.chain[0]).toEqual(certificate.chain[0]);
    await echo(pair);
  });

  it("reads the alert for a missing client certificate under application keys", async () => {
    const pair = await Pair.attempt({ server: { clientAuth: "require" } });
    expect(pair.serverError?.reason).toBe("certificate required");
    expect(pair.clientError).toMatchObject({
      reason: "received alert",
      alertReceived: "certificate_required",
      alertReceivedUnder: "application",
    });
  });

  it("takes compressed certificates, OCSP responses and SCTs", async () => {
    const pair = await Pair.connect({
      server: {
        compression: [1],
        ocspResponse: Uint8Array.of(1, 2),
        scts: Uint8Array.of(0, 3, 0, 1, 5),
      },
      client: { compression: [1], ocsp: true, scts: true },
    });
    expect(pair.client.negotiated.certificateCompression).toBe(1);
    expect([...pair.client.negotiated.ocspResponse!]).toEqual([1, 2]);
    expect([...pair.client.negotiated.scts!]).toEqual([0, 3, 0, 1, 5]);
  });

  it("closes from either side", async () => {
    const pair = await Pair.connect();
    await pair.client.closeWrite();
    expect(pair.output.isClosed).toBe(true);
    pair.server.closeWrite();
    expect(await pair.client.read()).toBeUndefined();
  });

  it("lets a test answer later", async () => {
    const pair = await Pair.open({ chooseSite: () => undefined });
    const done = pair.handshake();
    await pair.until(() => pair.output.asked.length > 0);
    pair.server.useSite(pair.test.site);
    await done;
    await echo(pair);
  });

  it("lets a test spoil messages and records", async () => {
    const finished = await Pair.attempt({
      client: {
        hooks: {
          beforeSend: (message, type) =>
            type === 20 ? message.map((b, i) => i === 9 ? b ^ 1 : b) : message,
        },
      },
    });
    expect(finished.serverError?.reason).toBe("incorrect Finished");
    expect(finished.alert).toBe("decrypt_error");
    const record = await Pair.attempt({
      client: {
        hooks: {
          beforeRecord: (record) =>
            record[0] === 23 ? record.map((b, i) => i === 9 ? b ^ 1 : b) : record,
        },
      },
    });
    expect(record.serverError?.reason).toBe("bad record MAC");
  });
});

describe("Pair with ECH", () => {
  it.each([
    ["X25519", {}],
    ["P-256", { kemId: 0x10 }],
    ["ChaCha20", { suites: [{ kdfId: 1, aeadId: 3 }] }],
    ["AES-256", { suites: [{ kdfId: 1, aeadId: 2 }] }],
  ])("is accepted by %s", async (_, ech) => {
    const pair = await Pair.connect({ server: { ech }, client: { ech: true } });
    expect(pair.client.negotiated.ech).toBe("accepted");
    expect(pair.negotiated).toMatchObject({
      serverName: "a.example",
      ech: { outcome: "accepted" },
    });
    await echo(pair);
  });

  it.each([{ keyShares: [] }, {
    chunkBytes: 1,
    keyShares: [secp256r1],
    groups: [secp256r1, x25519],
  }])(
    "is accepted through an HRR: %o",
    async ({ chunkBytes, ...client }) => {
      const pair = await Pair.connect({
        ...(chunkBytes && { chunkBytes }),
        server: { ech: true, groups: [x25519] },
        client: { ech: true, ...client },
      });
      expect(pair.client.negotiated).toMatchObject({ ech: "accepted", helloRetried: true });
      await echo(pair);
    },
  );

  it.each([false, true])("resumes inside ECH, with an HRR %s", async (retried) => {
    const server = await testServer({ ech: true });
    const sessions = await sessionsOf(server);
    const pair = await Pair.connect({
      server,
      client: { ech: true, sessions, ...(retried ? { keyShares: [] } : {}) },
    });
    expect(pair.client.negotiated).toMatchObject({ ech: "accepted", resumed: true });
  });

  it.each([false, true])(
    "is rejected with retry_configs that work, with an HRR %s",
    async (retried) => {
      const server = await testServer({ ech: true });
      const stale = testEchKey({ configId: 8 }).configList;
      const client = retried ? { keyShares: [] } : {};
      const first = await Pair.attempt({
        server,
        client: { ech: { configList: stale }, ...client },
      });
      expect(first.clientError).toMatchObject({
        reason: "ECH rejected",
        alertSent: "ech_required",
        echVerdict: "replaced",
      });
      expect(first.serverError?.received).toBe(121);
      const second = await Pair.connect({
        server,
        client: { ech: { configList: first.clientError!.retryConfigs! } },
      });
      expect(second.client.negotiated.ech).toBe("accepted");
    },
  );

  it.each([{}, { keyShares: [] }])("is GREASE: %o", async (client) => {
    const pair = await Pair.connect({
      server: { ech: true },
      client: { ech: "grease", ...client },
    });
    expect(pair.client.negotiated).toMatchObject({ ech: "grease" });
    expect(pair.client.negotiated.retryConfigs).toEqual(pair.test.configList);
    expect(pair.negotiated?.ech.outcome).toBe("rejected");
  });
});

describe("feed", () => {
  it("takes a built hello", async () => {
    const fed = feed(await testServer(), plaintextRecords(hello()));
    expect(fed.error).toBeUndefined();
    expect(fed.records.slice(0, 2)).toEqual([22, 20]);
  });

  it("shows the alert for a bad one", async () => {
    const fed = feed(await testServer(), plaintextRecords(hello({ versions: [0x0303] })));
    expect([fed.reason, fed.alert]).toEqual(["no TLS version in common", "protocol_version"]);
  });
});

async function echo(pair: Pair): Promise<void> {
  await pair.client.write(DATA);
  expect(pair.output.plaintextReceived).toEqual(DATA);
  pair.serverSays(DATA);
  expect(await pair.client.readExactly(3)).toEqual(DATA);
}

async function sessionsOf(
  server: Awaited<ReturnType<typeof testServer>>,
): Promise<ClientSession[]> {
  return await (await Pair.connect({ server })).tickets();
}
