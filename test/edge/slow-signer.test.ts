import { afterEach, describe, expect, test } from "vitest";

import { SignerError, SlowSigner } from "../../src/edge/slow-signer.ts";
import { credentialFromPem, SiteCredential } from "../../src/snapshot/credential.ts";
import { decodeSnapshot, encodeSnapshot } from "../../src/snapshot/codec.ts";
import { SigningKeys } from "../../src/snapshot/signing-keys.ts";
import { type Site, Snapshot } from "../../src/snapshot/snapshot.ts";
import { chooseCrypto } from "../../src/crypto/choose.ts";
import { SignatureScheme } from "../../src/tls/wire/code-points.ts";
import { testCertificate } from "../support/certificates.ts";
import { testServer } from "../support/server-config.ts";
import { get, readText, TestEdge, until } from "./edge-kit.ts";

const THREAD = new URL("../../src/signer-thread.ts", import.meta.url);
const SCHEME = SignatureScheme.rsa_pss_rsae_sha256;
const CONTENT = new TextEncoder().encode("what is to be signed");

/** One whose credentials leave RSA to a thread. */
const crypto = chooseCrypto();
SigningKeys.of(crypto).slowElsewhere = true;

let signers: SlowSigner[] = [];
afterEach(async () => {
  for (const signer of signers) await signer.stop();
  signers = [];
});

function start({ thread = THREAD, maxWaiting = 100 } = {}) {
  const log: string[] = [];
  const signer = new SlowSigner({
    thread,
    maxWaiting,
    log: { event: (level, event) => void log.push(`${level} ${event}`) },
  });
  signers.push(signer);
  return { signer, log };
}

async function credential(name = "a.example", kind: "rsa" | "p256" = "rsa") {
  const { chainPem, keyPem } = await testCertificate({ names: [name], kind });
  return credentialFromPem(crypto, { id: name, certificatePem: chainPem, keyPem });
}

/** Signs here until the thread is up. */
async function ready(signer: SlowSigner, credential: SiteCredential): Promise<void> {
  await signer.sign({ credential, scheme: SCHEME, content: CONTENT });
  while (signer.keys === 0) {
    await signer.sign({ credential, scheme: SCHEME, content: CONTENT });
    await new Promise((turn) => setTimeout(turn, 5));
  }
}

async function isGood(credential: SiteCredential, signature: Uint8Array): Promise<boolean> {
  const { certificate } = await testCertificate({ names: [credential.id], kind: "rsa" });
  const spki = new Uint8Array(certificate.publicKey.rawData);
  return crypto.verify("rsa_pss_rsae_sha256", spki, CONTENT, signature);
}

/** A snapshot of sites that are made when they are asked for. */
async function stored(credentials: readonly SiteCredential[]): Promise<Snapshot> {
  const { config: server, site } = await testServer();
  const sites = credentials.map((credential): Site => ({
    names: credential.names,
    tls: { ...site, credentials: [credential] },
    handler: { kind: "respond", text: "" },
    publicNameOnly: false,
  }));
  const facts = { createdMs: 0, configHash: "", rootKey: "", authorities: "", flightPadding: 0 };
  const snapshot = new Snapshot({ server, sites });
  const file = Buffer.concat([...encodeSnapshot(crypto, snapshot, { ...facts, ech: undefined })]);
  return new Snapshot({ server, sites: [] }, decodeSnapshot(crypto, new Uint8Array(file)).table);
}

describe("A slow signer", () => {
  test("signs on its thread, and hands each key over once", async () => {
    const { signer, log } = start();
    const [a, b] = [await credential(), await credential("b.example")];
    await ready(signer, a);
    const ask = (credential: SiteCredential) =>
      signer.sign({ credential, scheme: SCHEME, content: CONTENT });
    const asked = [ask(a), ask(b), ask(a)];
    expect(signer.waiting).toBe(3);
    for (const [i, signature] of (await Promise.all(asked)).entries()) {
      expect(await isGood(i === 1 ? b : a, signature)).toBe(true);
    }
    expect([signer.keys, signer.waiting]).toEqual([2, 0]);
    expect(log).toEqual([]);
  });

  test("signs here until the thread is up, and where there is none, with one warning", async () => {
    const { signer, log } = start({ thread: new URL("./no-such-thread.ts", import.meta.url) });
    const a = await credential();
    expect(await isGood(a, await signer.sign({ credential: a, scheme: SCHEME, content: CONTENT })))
      .toBe(true);
    await until(() => log.length > 0);
    for (let i = 0; i < 3; i++) {
      await signer.sign({ credential: a, scheme: SCHEME, content: CONTENT });
    }
    expect(log).toEqual(["warn signer_thread_ended"]);
    expect(signer.keys).toBe(0);
  });

  test("makes good what a thread owes that has died, and warns", async () => {
    const { signer, log } = start();
    const a = await credential();
    await ready(signer, a);
    const asked = Array.from(
      { length: 10 },
      () => signer.sign({ credential: a, scheme: SCHEME, content: CONTENT }),
    );
    await signer.killThread();
    for (const signature of await Promise.all(asked)) expect(await isGood(a, signature)).toBe(true);
    expect(log).toEqual(["warn signer_thread_ended"]);
    expect([signer.keys, signer.waiting]).toEqual([0, 0]);
  });

  test("has another thread after a while", async () => {
    const { signer } = start();
    const a = await credential();
    await ready(signer, a);
    await signer.killThread();
    signer.restartAfterMs = 0;
    await ready(signer, a);
    expect(signer.keys).toBe(1);
  });

  test("refuses what is beyond its limit, by name, and goes on", async () => {
    const { signer } = start({ maxWaiting: 2 });
    const a = await credential();
    await ready(signer, a);
    const ask = () => signer.sign({ credential: a, scheme: SCHEME, content: CONTENT });
    const asked = [ask(), ask()];
    await expect(ask()).rejects.toThrow(
      new SignerError("Cannot sign for a.example: too many signatures wait"),
    );
    await Promise.all(asked);
    expect(await isGood(a, await ask())).toBe(true);
  });

  test("says which key cannot do what was asked", async () => {
    const { signer } = start();
    const a = await credential();
    await ready(signer, a);
    const scheme = SignatureScheme.ecdsa_secp256r1_sha256;
    await expect(signer.sign({ credential: a, scheme, content: CONTENT })).rejects.toThrow(
      "Cannot sign for a.example: its key cannot do it",
    );
  });

  test("hands a key over once though its site is let go and made again", async () => {
    const { signer } = start();
    const own = await credential();
    const { id, chain, schemes, key, origin, notBeforeMs, notAfterMs } = own;
    const parts = { id, chain, schemes, key, origin, notBeforeMs, notAfterMs };
    const others = Array.from(
      { length: 2100 },
      (_, i) => new SiteCredential(SigningKeys.of(crypto), { ...parts, names: [`n${i}.example`] }),
    );
    const snapshot = await stored([own, ...others]);
    const find = () => snapshot.findText("a.example")!.tls.credentials[0] as SiteCredential;
    const first = find();
    await ready(signer, first);
    for (let i = 0; i < others.length; i++) snapshot.findText(`n${i}.example`);
    expect(find()).not.toBe(first);
    await signer.sign({ credential: find(), scheme: SCHEME, content: CONTENT });
    expect(signer.keys).toBe(1);
    signer.keep(snapshot);
    expect(signer.keys).toBe(1);
    signer.keep(await stored([await credential()]));
    expect(signer.keys).toBe(0);
  });

  test("forgets the keys of sites that are gone", async () => {
    const { signer } = start();
    const [a, b] = [await credential(), await credential("b.example")];
    await ready(signer, a);
    await signer.sign({ credential: b, scheme: SCHEME, content: CONTENT });
    expect(signer.keys).toBe(2);
    const { config, site } = await testServer();
    const served = new Snapshot({
      server: config,
      sites: [{
        names: ["b.example"],
        tls: { ...site, credentials: [b] },
        handler: { kind: "respond", text: "" },
        publicNameOnly: false,
      }],
    });
    signer.keep(served);
    expect(signer.keys).toBe(1);
    // It is handed over anew where it is needed once more.
    expect(await isGood(a, await signer.sign({ credential: a, scheme: SCHEME, content: CONTENT })))
      .toBe(true);
  });
});

test("Only keys that are slow are left to others", async () => {
  expect((await credential()).sign).toBeUndefined();
  expect((await credential("a.example", "p256")).sign).toBeTypeOf("function");
});

test("An RSA site and an ECDSA one are served side by side, resumed and not", async () => {
  const { signer } = start();
  const [rsa, ecdsa] = [await credential(), await credential("b.example", "p256")];
  const edge = await TestEdge.start({
    sites: [
      { names: ["a.example"], tls: { credentials: [rsa] } },
      { names: ["b.example"], tls: { credentials: [ecdsa] } },
    ],
    sign: (request) => signer.sign(request),
  });
  await ready(signer, rsa);
  await Promise.all(["a.example", "b.example", "a.example"].map(async (serverName) => {
    const client = await edge.connect({ serverName });
    await client.write(get(serverName, "/", "Connection: close"));
    expect(await readText(client)).toContain(`this is ${serverName}`);
    const again = await edge.connect({ serverName, sessions: client.sessions });
    expect(again.negotiated.resumed).toBe(true);
    await again.close();
  }));
  expect(edge.server.counters.exceptions).toBe(0);
});
