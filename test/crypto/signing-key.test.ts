/** Private keys as people have them, and what they sign. */
import type { KeyObject } from "node:crypto";
import { generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { SignatureName } from "../../src/crypto/crypto.ts";
import { composeCrypto } from "../../src/crypto/compose.ts";
import { noblePrimitives } from "../../src/crypto/noble.ts";
import { bytes, hex, PROVIDERS } from "./providers.ts";

const RSAE = ["rsa_pss_rsae_sha256", "rsa_pss_rsae_sha384", "rsa_pss_rsae_sha512"] as const;
const PSS = ["rsa_pss_pss_sha256", "rsa_pss_pss_sha384", "rsa_pss_pss_sha512"] as const;
const ALL: readonly SignatureName[] = [
  "ecdsa_secp256r1_sha256",
  "ecdsa_secp384r1_sha384",
  "ed25519",
  ...RSAE,
  ...PSS,
];
const CONTENT = new TextEncoder().encode("what a CertificateVerify covers");

const p256 = generateKeyPairSync("ec", { namedCurve: "P-256" });
const p384 = generateKeyPairSync("ec", { namedCurve: "P-384" });
const ed25519 = generateKeyPairSync("ed25519");
const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });

const KEYS = [
  { kind: "P-256, PKCS#8", pem: pem(p256, "pkcs8"), spki: spki(p256), schemes: [ALL[0]!] },
  { kind: "P-256, SEC 1", pem: pem(p256, "sec1"), spki: spki(p256), schemes: [ALL[0]!] },
  { kind: "P-384, PKCS#8", pem: pem(p384, "pkcs8"), spki: spki(p384), schemes: [ALL[1]!] },
  { kind: "P-384, SEC 1", pem: pem(p384, "sec1"), spki: spki(p384), schemes: [ALL[1]!] },
  { kind: "Ed25519", pem: pem(ed25519, "pkcs8"), spki: spki(ed25519), schemes: [ALL[2]!] },
  { kind: "RSA, PKCS#8", pem: pem(rsa, "pkcs8"), spki: spki(rsa), schemes: RSAE },
  { kind: "RSA, PKCS#1", pem: pem(rsa, "pkcs1"), spki: spki(rsa), schemes: RSAE },
];

/** Made by OpenSSL: Bun and Deno write no such keys. */
const PSS_KEYS = JSON.parse(
  readFileSync(new URL("../fixtures/rsa-pss-keys.json", import.meta.url), "utf8"),
).keys as Readonly<
  Record<string, { readonly parameters: string; readonly pem: string; readonly spki: string }>
>;

for (const { name, crypto } of PROVIDERS) {
  describe(`signing with ${name}`, () => {
    for (const { kind, pem, spki, schemes } of KEYS) {
      test(`tls13 3: ${kind} signs with its schemes, and they verify with no other`, () => {
        const key = crypto.signingKey(pem);
        expect(key.schemes).toEqual(schemes);
        expect(key.spki).toEqual(spki);
        expect(key.slow).toBe(kind.startsWith("RSA"));
        for (const scheme of schemes) {
          const signature = key.sign(scheme, CONTENT);
          const verified = ALL.filter((other) => crypto.verify(other, spki, CONTENT, signature));
          expect(verified).toEqual([scheme]);
          expect(crypto.verify(scheme, spki, CONTENT.subarray(1), signature)).toBe(false);
        }
      });
    }

    test("tls13 3: a P-256 key whose numbers are known is the same key, and keeps no views of them", () => {
      const { label, der, scalar, point } = numbers(p256);
      const key = crypto.signingKey({ label, der, p256: { scalar, point } });
      scalar.fill(0);
      point.fill(0);
      expect(key.schemes).toEqual([ALL[0]]);
      expect(key.slow).toBe(false);
      expect(key.spki).toEqual(spki(p256));
      const signature = key.sign(ALL[0]!, CONTENT);
      expect(crypto.verify(ALL[0]!, spki(p256), CONTENT, signature)).toBe(true);
      for (const scheme of ALL.slice(1)) {
        expect(() => key.sign(scheme, CONTENT)).toThrow(RangeError);
      }
    });

    test.each([
      ["of another point", () => numbers(p256).scalar],
      ["of 0", () => new Uint8Array(32)],
      ["above n", () => new Uint8Array(32).fill(0xff)],
    ])("a P-256 key %s is no key, or signs nothing that verifies", (_what, scalarOf) => {
      const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
      const { label, der, point } = numbers(pair);
      const scalar = scalarOf();
      der.set(scalar, 36);
      let signature: Uint8Array;
      try {
        signature = crypto.signingKey({ label, der, p256: { scalar, point } })
          .sign(ALL[0]!, CONTENT);
      } catch (error) {
        expect(error).toBeInstanceOf(Error);
        return;
      }
      // OpenSSL does not look whether the two belong together.
      expect(crypto.verify(ALL[0]!, spki(pair), CONTENT, signature)).toBe(false);
    });

    test("once with a P-256 key that is not ready, and only with a scalar", () => {
      if (crypto.signOnce === undefined) return expect(name).not.toMatch(/openssl/);
      const { scalar, point } = numbers(p256);
      const before = scalar.slice();
      for (let i = 0; i < 20; i++) {
        const signature = crypto.signOnce({ scalar, point }, CONTENT);
        expect(crypto.verify(ALL[0]!, spki(p256), CONTENT, signature)).toBe(true);
        expect(crypto.verify(ALL[0]!, spki(p256), CONTENT.subarray(1), signature)).toBe(false);
      }
      expect(scalar).toEqual(before);
      for (const wrong of [new Uint8Array(32), new Uint8Array(32).fill(255), scalar.subarray(1)]) {
        expect(() => crypto.signOnce!({ scalar: wrong, point }, CONTENT)).toThrow(TypeError);
      }
      // What went before leaves nothing behind.
      const signature = crypto.signingKey(pem(p256, "pkcs8")).sign(ALL[0]!, CONTENT);
      expect(crypto.verify(ALL[0]!, spki(p256), CONTENT, signature)).toBe(true);
    });

    test("a P-256 key with part of a point is no key, or does not look at it", () => {
      for (const length of [0, 64]) {
        const { label, der, scalar, point } = numbers(p256);
        const block = { label, der, p256: { scalar, point: point.subarray(0, length) } };
        let itsSpki: Uint8Array;
        try {
          itsSpki = crypto.signingKey(block).spki;
        } catch (error) {
          expect(error).toBeInstanceOf(TypeError);
          continue;
        }
        expect(itsSpki).toEqual(spki(p256));
      }
    });

    test("a scheme of another key is a RangeError", () => {
      const key = crypto.signingKey(KEYS[0]!.pem);
      for (const scheme of ALL.slice(1)) {
        expect(() => key.sign(scheme, CONTENT)).toThrow(RangeError);
      }
    });

    for (
      const [parameters, schemes] of [["any", PSS], ["sha256", [PSS[0]]], ["sha384", [
        PSS[1],
      ]]] as const
    ) {
      const { pem, spki } = PSS_KEYS[parameters]!;
      test(`tls13 3: a key bound to RSA-PSS (${parameters}) signs rsa_pss_pss alone`, () => {
        const key = crypto.signingKey(pem);
        expect(key.schemes).toEqual(schemes);
        expect(hex(key.spki)).toBe(spki);
        for (const scheme of schemes) {
          const signature = key.sign(scheme, CONTENT);
          const verified = ALL.filter((other) =>
            crypto.verify(other, key.spki, CONTENT, signature)
          );
          expect(verified).toEqual([scheme]);
        }
      });
    }

    test.each(["sha1", "longsalt", "mixed"])(
      "tls13 3: a key bound to RSA-PSS as TLS does not have it (%s) is refused",
      (parameters) => {
        expect(() => crypto.signingKey(PSS_KEYS[parameters]!.pem)).toThrow(
          /^Cannot sign with a key of type rsa-pss \(2048\), accepted: ECDSA P-256 or P-384, Ed25519, RSA /,
        );
        const peer = bytes(PSS_KEYS[parameters]!.spki);
        expect(ALL.some((scheme) => crypto.verify(scheme, peer, CONTENT, CONTENT))).toBe(false);
      },
    );

    test("what stands before the key in a PEM file is passed over", () => {
      const text = `Bag Attributes\n-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n` +
        `-----END EC PARAMETERS-----\n${pem(p256, "sec1").replaceAll("\n", "\r\n")}`;
      expect(crypto.signingKey(text).spki).toEqual(spki(p256));
    });

    test.each([
      ["nothing", ""],
      ["a public key", p256.publicKey.export({ format: "pem", type: "spki" }) as string],
      ["an encrypted key", encrypted()],
      ["half a key", pem(rsa, "pkcs8").replace(/(\n.{64}){3}/, "")],
      ["no ASN.1", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"],
      ["P-521", pem(generateKeyPairSync("ec", { namedCurve: "P-521" }), "pkcs8")],
      ["X25519", pem(generateKeyPairSync("x25519"), "pkcs8")],
      ["RSA of 1024 bits", pem(generateKeyPairSync("rsa", { modulusLength: 1024 }), "pkcs8")],
    ])("%s is a TypeError", (_what, text) => {
      expect(() => crypto.signingKey(text)).toThrow(TypeError);
    });

    test("tls13 3: verify is false, not an error, for keys and signatures that are no such thing", () => {
      const none = new Uint8Array(0);
      for (const scheme of ALL) {
        for (const { spki } of KEYS) {
          expect(crypto.verify(scheme, spki, CONTENT, none)).toBe(false);
          expect(crypto.verify(scheme, spki, CONTENT, new Uint8Array(64))).toBe(false);
        }
        for (const key of [none, Uint8Array.of(0x30, 0x80), spki(rsa).subarray(0, 100)]) {
          expect(crypto.verify(scheme, key, CONTENT, new Uint8Array(64))).toBe(false);
        }
      }
    });
  });
}

test("tls13 3: an RSA signature that does not verify is not handed out", () => {
  const primitives = noblePrimitives();
  const faulty = composeCrypto("faulty", {
    ...primitives,
    rsa: {
      // As a fault in one half of the CRT computation would have it: a signature of something else.
      ...primitives.rsa,
      signer: (key) => {
        const sign = primitives.rsa.signer(key);
        return (scheme, content) => sign(scheme, content.subarray(1));
      },
    },
  });
  const key = faulty.signingKey(pem(rsa, "pkcs8"));
  expect(() => key.sign("rsa_pss_rsae_sha256", CONTENT)).toThrow("RSA signature does not verify");
});

function pem(pair: { privateKey: KeyObject }, type: "pkcs8" | "sec1" | "pkcs1"): string {
  return pair.privateKey.export({ format: "pem", type }) as string;
}

/** Of PKCS#8 as node:crypto writes it: the scalar at 36, the point at its end. */
function numbers(pair: { privateKey: KeyObject }) {
  const der = new Uint8Array(pair.privateKey.export({ format: "der", type: "pkcs8" }));
  return { label: "PRIVATE KEY", der, scalar: der.slice(36, 68), point: der.slice(-65) };
}

function spki(pair: { publicKey: KeyObject }): Uint8Array {
  return new Uint8Array(pair.publicKey.export({ format: "der", type: "spki" }));
}

/** As OpenSSL labels it; there is no need to encrypt anything for that. */
function encrypted(): string {
  return pem(p256, "pkcs8").replaceAll("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
}
