import { webcrypto } from "node:crypto";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import {
  certificatesFromPem,
  ExtendedKeyUsage,
  isSelfIssued,
  KeyUsage,
  parseCertificate,
} from "../../src/x509/certificate.ts";
import { X509Error } from "../../src/x509/error.ts";
import { DAY, type Made, make, NOW, x509 } from "./make.ts";

let leaf: Made;
beforeAll(async () => {
  leaf = await make({
    subject: "CN=common.test",
    issuer: await make({ subject: "CN=ca", ca: true }),
    usages: x509.KeyUsageFlags.digitalSignature,
    extendedUsages: [ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth],
    names: [
      { type: "dns", value: "WWW.Example.com" },
      { type: "dns", value: "*.example.com" },
      { type: "ip", value: "192.0.2.1" },
      { type: "ip", value: "2001:db8::1" },
    ],
  });
});

describe("parseCertificate", () => {
  test("finds what the data path needs", () => {
    expect(leaf.certificate).toMatchObject({
      dnsNames: ["www.example.com", "*.example.com"],
      ipAddresses: ["192.0.2.1", "2001:db8::1"],
      notBeforeMs: NOW - DAY,
      notAfterMs: NOW + 30 * DAY,
      signatureAlgorithm: { oid: "1.2.840.10045.4.3.2", isWeak: false },
      isCa: false,
      pathLength: undefined,
      keyUsage: KeyUsage.digitalSignature,
      extendedKeyUsages: [ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth],
      unprocessed: [],
    });
    expect(isSelfIssued(leaf.certificate)).toBe(false);
  });

  test("gives the key as the key itself says", async () => {
    const spki = await webcrypto.subtle.exportKey("spki", leaf.keys.publicKey);
    expect(leaf.certificate.spki).toEqual(new Uint8Array(spki));
  });

  test("knows CAs and their path lengths", async () => {
    const ca = await make({ ca: true, pathLength: 3 });
    expect(ca.certificate).toMatchObject({
      isCa: true,
      pathLength: 3,
      keyUsage: KeyUsage.keyCertSign,
    });
    expect(isSelfIssued(ca.certificate)).toBe(true);
    expect((await make({ ca: false })).certificate.isCa).toBe(false);
  });

  test("reads dates beyond 2049", async () => {
    const notAfter = Date.UTC(2060, 0, 1);
    expect((await make({ notAfter })).certificate.notAfterMs).toBe(notAfter);
  });

  test("names critical extensions that it does not know, and no others", async () => {
    const extensions = [
      new x509.Extension("1.2.3.4", true, Uint8Array.of(5, 0)),
      new x509.Extension("1.2.3.5", false, Uint8Array.of(5, 0)),
    ];
    expect((await make({ extensions })).certificate.unprocessed).toEqual(["1.2.3.4"]);
  });

  test("refuses an extension that comes twice", async () => {
    const twice = new x509.Extension("1.2.3.5", false, Uint8Array.of(5, 0));
    await expect(make({ extensions: [twice, twice] })).rejects.toThrow(
      new X509Error("extension 1.2.3.5: repeated"),
    );
  });

  test.each([
    ["a NUL in a name", [0x30, 5, 0x82, 3, 0x61, 0, 0x62], "dNSName: not a host name"],
    ["bytes beyond ASCII", [0x30, 3, 0x82, 1, 0xe9], "dNSName: not a host name"],
    [
      "an address of 5 bytes",
      [0x30, 7, 0x87, 5, 1, 2, 3, 4, 5],
      "iPAddress: neither 4 nor 16 bytes",
    ],
    ["a name that is cut off", [0x30, 3, 0x82, 2, 0x61], "dNSName: too short"],
    ["trailing bytes", [0x30, 0, 0], "extension 2.5.29.17: trailing bytes"],
  ])("refuses a subjectAltName with %s", async (_, value, message) => {
    const extensions = [new x509.Extension("2.5.29.17", false, Uint8Array.from(value))];
    await expect(make({ extensions })).rejects.toThrow(new X509Error(message));
  });

  test("passes over kinds of names that it does not need", async () => {
    const value = Uint8Array.of(0x30, 8, 0x81, 1, 0x61, 0x82, 1, 0x62, 0xa4, 0);
    const extensions = [new x509.Extension("2.5.29.17", false, value)];
    expect((await make({ extensions })).certificate.dnsNames).toEqual(["b"]);
  });

  test("refuses every prefix and one byte more", () => {
    const { der } = leaf.certificate;
    for (let length = 0; length < der.length; length++) {
      expect(() => parseCertificate(der.subarray(0, length)), String(length)).toThrow(X509Error);
    }
    expect(() => parseCertificate(Uint8Array.of(...der, 0))).toThrow(
      new X509Error("Certificate: trailing bytes"),
    );
  });

  test("reads or refuses any damage, with its own error", () => {
    const { der } = leaf.certificate;
    const at = fc.nat({ max: der.length - 1 });
    fc.assert(
      fc.property(
        fc.array(fc.tuple(at, fc.nat(255)), { minLength: 1, maxLength: 3 }),
        (changes) => {
          const damaged = der.slice();
          for (const [index, byte] of changes) damaged[index] = byte;
          try {
            parseCertificate(damaged);
          } catch (error) {
            expect(error).toBeInstanceOf(X509Error);
          }
        },
      ),
      { numRuns: 2000 },
    );
  });
});

describe("certificatesFromPem", () => {
  test("reads all certificates, in order, and nothing else", () => {
    const found = certificatesFromPem(leaf.keyPem + leaf.pem + "text\n" + leaf.pem);
    expect(found.map(({ der }) => der)).toEqual([leaf.certificate.der, leaf.certificate.der]);
    expect(certificatesFromPem(leaf.keyPem)).toEqual([]);
  });

  test("says which one is broken", () => {
    const broken = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    expect(() => certificatesFromPem(leaf.pem + broken)).toThrow(
      new X509Error("certificate 2 of 2: tbsCertificate: too short"),
    );
  });
});
