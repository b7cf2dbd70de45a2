import { createPrivateKey } from "node:crypto";
import { beforeAll, describe, expect, test } from "vitest";
import { chooseCrypto } from "../../src/crypto/choose.ts";
import { credentialFromPem, orderCredentials } from "../../src/snapshot/credential.ts";
import { SCHEME_NAMES } from "../../src/tls/suites.ts";
import { DAY, type Made, make, NOW } from "../x509/make.ts";

const crypto = chooseCrypto();
const ids = (list: readonly { readonly id: string }[]): string[] => list.map(({ id }) => id);

let root: Made, middle: Made, lower: Made, leaf: Made, stranger: Made;
beforeAll(async () => {
  root = await make({ subject: "CN=root", ca: true });
  middle = await make({ subject: "CN=middle", ca: true, issuer: root });
  lower = await make({ subject: "CN=lower", ca: true, issuer: middle });
  leaf = await make({
    subject: "CN=ignored.test",
    issuer: lower,
    names: [
      { type: "dns", value: "A.Example.com" },
      { type: "dns", value: "*.b.test" },
      { type: "ip", value: "::1" },
    ],
    notAfter: NOW + 5 * DAY,
  });
  stranger = await make({ subject: "CN=stranger" });
});

describe("credentialFromPem", () => {
  test("puts the chain in order, leaf first, and leaves out roots and strangers", () => {
    const mixed = [root, middle, stranger, leaf, lower].map((made) => made.pem).join(
      "text between\n",
    );
    const credential = credentialFromPem(crypto, {
      id: "x",
      certificatePem: mixed,
      keyPem: leaf.keyPem,
    });
    const wanted = [leaf, lower, middle].map((made) => made.certificate.der);
    expect(credential.chain).toEqual(wanted);
  });

  test("keeps what a root of the same name says of its successor", async () => {
    const cross = await make({ subject: root.subject, ca: true, issuer: root });
    const under = await make({ subject: "CN=under", issuer: cross });
    const { chain } = credentialFromPem(crypto, {
      id: "x",
      certificatePem: [under, root, cross].map((made) => made.pem).join(""),
      keyPem: under.keyPem,
    });
    expect(chain).toEqual([under, cross].map((made) => made.certificate.der));
  });

  test("keeps a self-signed leaf", () => {
    const certificatePem = stranger.pem;
    const { chain, names } = credentialFromPem(crypto, {
      id: "x",
      certificatePem,
      keyPem: stranger.keyPem,
    });
    expect(chain).toEqual([stranger.certificate.der]);
    expect(names).toEqual([]);
  });

  test("knows the names that it covers; the common name is none of them", () => {
    const credential = credentialFromPem(crypto, {
      id: "x",
      certificatePem: leaf.pem,
      keyPem: leaf.keyPem,
    });
    expect(credential.names).toEqual(["a.example.com", "*.b.test", "::1"]);
    for (const host of ["a.example.com", "A.EXAMPLE.com.", "x.b.test", "[::1]", "0:0::1"]) {
      expect(credential.covers(host), host).toBe(true);
    }
    for (const host of ["ignored.test", "b.test", "x.y.b.test", "127.0.0.1", ""]) {
      expect(credential.covers(host), host).toBe(false);
    }
    expect(credential.notAfterMs).toBe(NOW + 5 * DAY);
  });

  test.each(["P-256", "P-384", "RSA", "RSA-PSS", "Ed25519"] as const)(
    "signs with %s in each of its schemes",
    async (algorithm) => {
      const made = await make({ algorithm, names: [{ type: "dns", value: "a.test" }] });
      const credential = credentialFromPem(crypto, {
        id: "x",
        certificatePem: made.pem,
        keyPem: made.keyPem,
      });
      expect(credential.schemes.length).toBeGreaterThan(0);
      for (const scheme of credential.schemes) {
        const content = new TextEncoder().encode("content");
        const signature = credential.sign!(scheme, content);
        const name = SCHEME_NAMES.get(scheme)!;
        expect(crypto.verify(name, made.certificate.spki, content, signature), name).toBe(true);
      }
    },
  );

  test("takes one text for both, and SEC 1 keys behind their parameters", () => {
    const sec1 = createPrivateKey(leaf.keyPem).export({ format: "pem", type: "sec1" }).toString();
    const text = `-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n` +
      sec1 + leaf.pem;
    expect(credentialFromPem(crypto, { id: "x", certificatePem: text, keyPem: text }).names)
      .toContain("a.example.com");
  });

  const pair = { id: "x", certificateSource: "/etc/c.pem", keySource: "/etc/k.pem" };
  test.each<[string, () => { certificatePem: string; keyPem: string }, RegExp]>([
    [
      "another key",
      () => ({ certificatePem: leaf.pem, keyPem: stranger.keyPem }),
      /^The key in \/etc\/k\.pem does not belong to the certificate in \/etc\/c\.pem$/,
    ],
    [
      "no certificate",
      () => ({ certificatePem: leaf.keyPem, keyPem: leaf.keyPem }),
      /^Cannot use \/etc\/c\.pem: it holds no "BEGIN CERTIFICATE" block, but "BEGIN PRIVATE KEY"$/,
    ],
    [
      "no key",
      () => ({ certificatePem: leaf.pem, keyPem: leaf.pem }),
      /^Cannot use \/etc\/k\.pem: it holds no "BEGIN PRIVATE KEY" block, but "BEGIN CERTIFICATE"$/,
    ],
    [
      "a broken certificate",
      () => ({ certificatePem: leaf.pem + leaf.pem.replace("MII", "AII"), keyPem: leaf.keyPem }),
      /^Cannot use \/etc\/c\.pem: certificate 2 of 2: its PEM block is damaged where it begins\. Copy the whole file again$/,
    ],
    [
      "an encrypted key",
      () => ({
        certificatePem: leaf.pem,
        keyPem: createPrivateKey(leaf.keyPem).export({
          format: "pem",
          type: "pkcs8",
          cipher: "aes-128-cbc",
          passphrase: "x",
        }).toString(),
      }),
      /^Cannot use \/etc\/k\.pem: the key is encrypted\. Decrypt it with: openssl pkey/,
    ],
    [
      "a broken key",
      () => ({
        certificatePem: leaf.pem,
        keyPem: "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
      }),
      /^Cannot use \/etc\/k\.pem: /,
    ],
  ])("refuses %s, naming the file", (_, texts, message) => {
    expect(() => credentialFromPem(crypto, { ...pair, ...texts() })).toThrow(message);
  });

  test("refuses a certificate that may not sign", async () => {
    const made = await make({ usages: 4 });
    expect(() =>
      credentialFromPem(crypto, { ...pair, certificatePem: made.pem, keyPem: made.keyPem })
    ).toThrow("Cannot use /etc/c.pem: its keyUsage does not allow signatures");
  });
});

test("policy 6.2: unexpired, then the operator's own, then ECDSA before RSA, then the longest-lived", async () => {
  const credential = async (
    id: string,
    origin: "operator" | "managed",
    algorithm: "P-256" | "RSA" | "Ed25519",
    days: number,
  ) => {
    const made = await make({ algorithm, notBefore: NOW - 9 * DAY, notAfter: NOW + days * DAY });
    return credentialFromPem(crypto, {
      id,
      origin,
      certificatePem: made.pem,
      keyPem: made.keyPem,
    });
  };
  const all = await Promise.all([
    credential("operator, expired", "operator", "P-256", -1),
    credential("managed, RSA", "managed", "RSA", 9),
    credential("managed, ECDSA, 5 days", "managed", "P-256", 5),
    credential("managed, ECDSA, 8 days", "managed", "P-256", 8),
    credential("managed, Ed25519", "managed", "Ed25519", 9),
    credential("operator, RSA", "operator", "RSA", 3),
  ]);
  expect(ids(orderCredentials(all, NOW))).toEqual([
    "operator, RSA",
    "managed, ECDSA, 8 days",
    "managed, ECDSA, 5 days",
    "managed, Ed25519",
    "managed, RSA",
    "operator, expired",
  ]);
});
