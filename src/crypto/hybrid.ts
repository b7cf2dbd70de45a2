/**
 * X25519MLKEM768 (RFC 10024): ML-KEM-768 first, X25519 behind it, both shares and secrets simply joined.
 *
 *     client share  1216 = encapsulation key 1184 ‖ x25519 32
 *     server share  1120 = ciphertext 1088 ‖ x25519 32
 *     secret          64 = ML-KEM 32 ‖ x25519 32
 *
 * @module
 */
import type { KeyPair, SharedKey } from "./crypto.ts";
import type { DiffieHellman, Kem } from "./primitives.ts";

const ENCAPSULATION_KEY_LENGTH = 1184;
const CIPHERTEXT_LENGTH = 1088;
const X25519_LENGTH = 32;

/** The server's half; undefined where either part of the client's share is invalid. */
export function answerHybrid(
  kem: Kem,
  x25519: DiffieHellman,
  peerShare: Uint8Array,
): SharedKey | undefined {
  if (peerShare.length !== ENCAPSULATION_KEY_LENGTH + X25519_LENGTH) return undefined;
  const encapsulationKey = peerShare.subarray(0, ENCAPSULATION_KEY_LENGTH);
  if (!isReduced(encapsulationKey)) return undefined;
  const classical = x25519.answer(peerShare.subarray(ENCAPSULATION_KEY_LENGTH));
  if (classical === undefined) return undefined;
  const { ciphertext, secret } = kem.encapsulate(encapsulationKey);
  return { share: join(ciphertext, classical.share), secret: join(secret, classical.secret) };
}

/** The client's half. */
export function hybridKeyPair(kem: Kem, x25519: DiffieHellman): KeyPair {
  const decapsulationKey = kem.fresh();
  const classical = x25519.fresh();
  return {
    share: join(decapsulationKey.encapsulationKey, classical.share),
    agree(peerShare) {
      if (peerShare.length !== CIPHERTEXT_LENGTH + X25519_LENGTH) return undefined;
      const classicalSecret = classical.agree(peerShare.subarray(CIPHERTEXT_LENGTH));
      if (classicalSecret === undefined) return undefined;
      const secret = decapsulationKey.decapsulate(peerShare.subarray(0, CIPHERTEXT_LENGTH));
      return join(secret, classicalSecret);
    },
  };
}

/**
 * The modulus check of FIPS 203 §7.2: 768 coefficients of 12 bits, each below q = 3329. The last 32 bytes are a seed.
 * Not every library makes it, and the answer must not depend on the library.
 */
export function isReduced(encapsulationKey: Uint8Array): boolean {
  for (let i = 0; i < ENCAPSULATION_KEY_LENGTH - 32; i += 3) {
    const middle = encapsulationKey[i + 1]!;
    if ((encapsulationKey[i]! | (middle & 0x0f) << 8) >= 3329) return false;
    if ((middle >> 4 | encapsulationKey[i + 2]! << 4) >= 3329) return false;
  }
  return true;
}

function join(a: Uint8Array, b: Uint8Array): Uint8Array {
  const joined = new Uint8Array(a.length + b.length);
  joined.set(a);
  joined.set(b, a.length);
  return joined;
}
