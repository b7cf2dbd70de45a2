/**
 * Every Wycheproof file for the primitives in use, every provider.
 *
 * What TLS 1.3 is stricter about than the vectors ("acceptable" cases, key sizes and IVs that it does not have) is said
 * where it happens.
 */
import { describe, expect, test } from "vitest";
import type { HashName } from "../../src/crypto/crypto.ts";
import { hkdfExpand } from "../../src/crypto/hkdf.ts";
import { isReduced } from "../../src/crypto/hybrid.ts";
import type { TestCase, TestGroup } from "../support/wycheproof.ts";
import { describeWycheproof, expectVerdicts } from "../support/wycheproof.ts";
import { bytes, hex, PRIMITIVES, PROVIDERS, type TestedPrimitives } from "./providers.ts";

/** noble needs milliseconds for each of these; native runs them all, noble every eighth and all that are not valid. */
const SAMPLED = { file: "ecdh_secp384r1_ecpoint_test.json", every: 8 };

interface AeadCase {
  readonly key: string;
  readonly iv: string;
  readonly aad: string;
  readonly msg: string;
  readonly ct: string;
  readonly tag: string;
}

for (
  const [file, primitive] of [
    ["aes_gcm_test.json", "aes-gcm"],
    ["chacha20_poly1305_test.json", "chacha20-poly1305"],
  ] as const
) {
  describeWycheproof<TestGroup<AeadCase> & { ivSize: number; keySize: number }>(file, (groups) => {
    // TLS has 96-bit nonces and no AES-192.
    const cases = groups.filter(({ ivSize, keySize }) => ivSize === 96 && keySize !== 192)
      .flatMap(({ tests }) => tests);

    eachWith(primitive, (name, makeAead) => {
      test(`tls13 1: ${name} opens what is valid and nothing else`, () => {
        expectVerdicts(cases, ({ key, iv, aad, msg, ct, tag }) => {
          const opened = makeAead(bytes(key)).open(bytes(iv), bytes(aad), bytes(ct + tag));
          if (opened === undefined) return "invalid";
          return hex(opened) === msg ? "valid" : "wrong plaintext";
        });
      });

      test(`tls13 1: ${name} seals to the vector's ciphertext, elsewhere and in place`, () => {
        const valid = cases.filter(({ result }) => result === "valid");
        expectVerdicts(valid, ({ key, iv, aad, msg, ct, tag }) => {
          const aead = makeAead(bytes(key));
          const plaintext = bytes(msg);
          const out = new Uint8Array(3 + plaintext.length + 16);
          const end = aead.seal(bytes(iv), bytes(aad), plaintext, out, 3);
          const inPlace = new Uint8Array(out.length);
          inPlace.set(plaintext, 3);
          const view = inPlace.subarray(3, 3 + plaintext.length);
          aead.seal(bytes(iv), bytes(aad), view, inPlace, 3);
          const expected = `000000${ct}${tag}`;
          const right = end === out.length && hex(out) === expected && hex(inPlace) === expected;
          return right ? "valid" : "wrong ciphertext";
        });
      });
    });
  });
}

test.each(PROVIDERS)("$name refuses keys of another length than the AEAD's", ({ crypto }) => {
  for (const length of [0, 15, 24, 32]) {
    expect(() => crypto.aead("aes-128-gcm", new Uint8Array(length))).toThrow(RangeError);
  }
  for (const length of [16, 24, 31]) {
    expect(() => crypto.aead("aes-256-gcm", new Uint8Array(length))).toThrow(RangeError);
    expect(() => crypto.aead("chacha20-poly1305", new Uint8Array(length))).toThrow(RangeError);
  }
});

interface AgreementCase {
  readonly public: string;
  readonly private: string;
  readonly shared: string;
}

describeWycheproof<TestGroup<AgreementCase>>("x25519_test.json", (groups) => {
  const cases = groups.flatMap(({ tests }) => tests);
  eachWith("x25519", (name, x25519) => {
    test(`tls13 3: ${name} X25519 agrees with every share but those with an all-zero result`, () => {
      // "acceptable" are twist points and non-canonical shares, which RFC 7748 takes, and low-order points, which
      // RFC 9846 §7.4.2 refuses by their all-zero result.
      expectVerdicts(
        cases,
        (testCase) => agreement(x25519.from(bytes(testCase.private)), testCase),
        ({ shared }) => /^0+$/.test(shared) ? "invalid" : "valid",
      );
    });
  });
});

for (
  const [file, primitive] of [
    ["ecdh_secp256r1_ecpoint_test.json", "secp256r1"],
    ["ecdh_secp384r1_ecpoint_test.json", "secp384r1"],
  ] as const
) {
  describeWycheproof<TestGroup<AgreementCase>>(file, (groups) => {
    const cases = groups.flatMap(({ tests }) => tests);
    eachWith(primitive, (name, ecdh) => {
      const sampled = name === "noble" && file === SAMPLED.file;
      const chosen = cases.filter(({ result }, i) =>
        !sampled || result !== "valid" || i % SAMPLED.every === 0
      );
      const how = sampled ? `, ${chosen.length} of ${cases.length} cases` : "";
      test(`tls13 3: ${name} ${primitive} agrees with uncompressed points of the curve alone${how}`, () => {
        // "acceptable" are compressed points: RFC 9846 §4.3.8.2 has uncompressed ones.
        const length = primitive === "secp256r1" ? 64 : 96;
        expectVerdicts(
          chosen,
          (testCase) => agreement(ecdh.from(scalar(testCase.private, length)), testCase),
          ({ result }) => result === "acceptable" ? "invalid" : result,
        );
      });

      test(`tls13 3: ${name} ${primitive} answers no share that is not a point of the curve`, () => {
        const bad = cases.filter(({ result }) => result !== "valid");
        expectVerdicts(
          bad,
          (testCase) => ecdh.answer(bytes(testCase.public)) === undefined ? "invalid" : "valid",
          () => "invalid",
        );
      });
    });
  });
}

/** Private keys come as integers, with a zero byte in front or without leading ones. */
function scalar(integer: string, digits: number): Uint8Array {
  return bytes(integer.padStart(digits, "0").slice(-digits));
}

function agreement(
  own: { agree(share: Uint8Array): Uint8Array | undefined },
  testCase: AgreementCase & TestCase,
): string {
  const secret = own.agree(bytes(testCase.public));
  if (secret === undefined) return "invalid";
  return hex(secret) === testCase.shared ? "valid" : "wrong secret";
}

interface SignatureCase {
  readonly msg: string;
  readonly sig: string;
}

for (
  const [file, scheme] of [
    ["ecdsa_secp256r1_sha256_test.json", "ecdsa_secp256r1_sha256"],
    ["ecdsa_secp384r1_sha384_test.json", "ecdsa_secp384r1_sha384"],
    ["ed25519_test.json", "ed25519"],
    ["rsa_pss_2048_sha256_mgf1_32_test.json", "rsa_pss_rsae_sha256"],
  ] as const
) {
  describeWycheproof<TestGroup<SignatureCase> & { publicKeyDer: string }>(file, (groups) => {
    const cases = groups.flatMap(({ tests, publicKeyDer }) =>
      tests.map((testCase) => ({ ...testCase, publicKeyDer }))
    );
    test.each(PROVIDERS)(`tls13 3: $name verifies ${scheme} as it must`, ({ crypto }) => {
      expectVerdicts(
        cases,
        ({ publicKeyDer, msg, sig }) =>
          crypto.verify(scheme, bytes(publicKeyDer), bytes(msg), bytes(sig)) ? "valid" : "invalid",
      );
    });
  });
}

interface MacCase {
  readonly key: string;
  readonly msg: string;
  readonly tag: string;
}

interface HkdfCase {
  readonly ikm: string;
  readonly salt: string;
  readonly info: string;
  readonly size: number;
  readonly okm: string;
}

for (const hash of ["sha256", "sha384"] as const satisfies readonly HashName[]) {
  describeWycheproof<TestGroup<MacCase> & { tagSize: number }>(
    `hmac_${hash}_test.json`,
    (groups) => {
      eachWith("hmac", (name, hmac) => {
        test(`tls13 6: ${name} HMAC is the vectors'`, () => {
          for (const { tests, tagSize } of groups) {
            expectVerdicts(tests, ({ key, msg, tag }) => {
              const mac = hmac(hash, bytes(key), bytes(msg)).subarray(0, tagSize / 8);
              return hex(mac) === tag ? "valid" : "invalid";
            });
          }
        });
      });
    },
  );

  describeWycheproof<TestGroup<HkdfCase>>(`hkdf_${hash}_test.json`, (groups) => {
    eachWith("hmac", (name, hmac) => {
      test(`tls13 6: ${name} HKDF is the vectors'`, () => {
        expectVerdicts(groups.flatMap(({ tests }) => tests), ({ ikm, salt, info, size, okm }) => {
          const secret = hmac(hash, bytes(salt), bytes(ikm));
          try {
            const output = hkdfExpand(hmac, hash, secret, bytes(info), size);
            return hex(output) === okm ? "valid" : "wrong output";
          } catch (error) {
            return error instanceof RangeError ? "invalid" : String(error);
          }
        });
      });
    });
  });
}

describeWycheproof<TestGroup<{ readonly seed: string; readonly ek: string }>>(
  "mlkem_768_keygen_seed_test.json",
  (groups) => {
    eachWith("ML-KEM-768", (name, kem) => {
      test(`tls13 3: ${name} ML-KEM-768 makes the vectors' keys`, () => {
        expectVerdicts(
          groups.flatMap(({ tests }) => tests),
          ({ seed, ek }) =>
            hex(kem.from(bytes(seed)).encapsulationKey) === ek ? "valid" : "wrong key",
        );
      });
    });
  },
);

describeWycheproof<
  TestGroup<{ readonly m: string; readonly ek: string; readonly c: string; readonly K: string }>
>("mlkem_768_encaps_test.json", (groups) => {
  const cases = groups.flatMap(({ tests }) => tests);

  test("tls13 3: the modulus check refuses every encapsulation key that is not reduced", () => {
    expectVerdicts(
      cases,
      ({ ek }) => ek.length === 2 * 1184 && isReduced(bytes(ek)) ? "valid" : "invalid",
    );
  });

  test.each(PROVIDERS)(
    "tls13 3: $name answers no X25519MLKEM768 share with such a key",
    ({ crypto }) => {
      const classical = crypto.keyPair("x25519").share;
      const invalid = cases.filter(({ result }) => result === "invalid");
      expectVerdicts(invalid, ({ ek }) => {
        const share = Uint8Array.of(...bytes(ek), ...classical);
        return crypto.answerShare("X25519MLKEM768", share) === undefined ? "invalid" : "valid";
      });
    },
  );

  test("tls13 3: noble ML-KEM-768 encapsulates to the vectors' ciphertexts", () => {
    // node:crypto takes no randomness from outside; it is compared with noble by decapsulation, in providers.test.ts.
    const kem = PRIMITIVES.find(({ name }) => name === "noble")!.primitives["ML-KEM-768"]!;
    expectVerdicts(cases.filter(({ result }) => result === "valid"), ({ ek, m, c, K }) => {
      const { ciphertext, secret } = kem.encapsulate(bytes(ek), bytes(m));
      return hex(ciphertext) === c && hex(secret) === K ? "valid" : "wrong secret";
    });
  });
});

describeWycheproof<
  TestGroup<{ readonly seed: string; readonly c: string; readonly K: string }>
>("mlkem_768_test.json", (groups) => {
  eachWith("ML-KEM-768", (name, kem) => {
    test(`tls13 3: ${name} ML-KEM-768 decapsulates to the vectors' secrets`, () => {
      expectVerdicts(groups.flatMap(({ tests }) => tests), ({ seed, c, K }) => {
        // A server never decapsulates, and the hybrid's client looks at lengths first: so does this.
        if (seed.length !== 2 * 64 || c.length !== 2 * 1088) return "invalid";
        const secret = kem.from(bytes(seed)).decapsulate(bytes(c));
        return hex(secret) === K ? "valid" : "wrong secret";
      });
    });
  });
});

/** Tests of one primitive with each provider that has it. */
function eachWith<Name extends keyof TestedPrimitives>(
  primitive: Name,
  body: (name: string, implementation: TestedPrimitives[Name]) => void,
): void {
  for (const { name, primitives } of PRIMITIVES) {
    const implementation = primitives[primitive];
    if (implementation !== undefined) describe(name, () => body(name, implementation));
  }
}
