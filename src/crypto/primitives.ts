/**
 * What a provider brings, primitive by primitive. `compose.ts` puts a `Crypto` together from it.
 *
 * A provider may lack some (Bun's node:crypto has no ChaCha20): `choose.ts` takes those from another one.
 *
 * @module
 */
import type { Aead, HashName, KeyPair, KeySchedule, RunningHash, SharedKey } from "./crypto.ts";
import type { Signatures } from "./signing-key.ts";

export interface Primitives {
  readonly system: System;
  readonly hash: Hash;
  readonly hmac: Hmac;
  readonly "aes-gcm": (key: Uint8Array) => Aead;
  readonly "chacha20-poly1305": (key: Uint8Array) => Aead;
  readonly x25519: DiffieHellman;
  readonly secp256r1: DiffieHellman;
  readonly secp384r1: DiffieHellman;
  readonly "ML-KEM-768": Kem;
  readonly "ecdsa-p256": Signatures;
  readonly "ecdsa-p384": Signatures;
  readonly ed25519: Signatures;
  readonly rsa: Signatures;
}

/** Steps of a handshake that a provider takes in one call. What is absent is composed of the primitives. */
export interface Steps {
  readonly schedule?: ((hmac: Hmac, digest: Hash["digest"]) => KeySchedule) | undefined;
  /** The server's half of X25519MLKEM768; undefined where either part of the client's share is invalid. */
  readonly answerHybrid?: ((peerShare: Uint8Array) => SharedKey | undefined) | undefined;
  readonly hpkeSetup?: HpkeSetup | undefined;
}

/**
 * SetupBaseR of RFC 9180 §5.1.1 for X25519 and HKDF-SHA256, of 32-byte keys. `context`: mode ‖ psk_id_hash ‖ info_hash.
 * Undefined for an all-zero result.
 */
export type HpkeSetup = (
  privateKey: Uint8Array,
  publicKey: Uint8Array,
  enc: Uint8Array,
  aead: number,
  keyLength: number,
  context: Uint8Array,
) => HpkeSecrets | undefined;

export interface HpkeSecrets {
  readonly sharedSecret: Uint8Array;
  readonly key: Uint8Array;
  readonly baseNonce: Uint8Array;
}

export interface System {
  random(length: number): Uint8Array;
  equal(a: Uint8Array, b: Uint8Array): boolean;
}

export interface Hash {
  readonly digest: (hash: HashName, bytes: Uint8Array) => Uint8Array;
  readonly running: (hash: HashName) => RunningHash;
}

export type Hmac = (hash: HashName, key: Uint8Array, bytes: Uint8Array) => Uint8Array;

/** X25519 or a P-curve. Shares are raw: 32 bytes, or an uncompressed point. */
export interface DiffieHellman {
  /** A fresh key pair against the peer's share; undefined where that is invalid. */
  answer(peerShare: Uint8Array): SharedKey | undefined;
  fresh(): KeyPair;
  /** The key pair of a raw private key. @throws {RangeError} wrong length, or not in [1, n). */
  from(privateKey: Uint8Array): KeyPair;
}

/** ML-KEM-768 (FIPS 203): encapsulation key 1184, ciphertext 1088, shared secret 32, seed 64 bytes. */
export interface Kem {
  /** `m`: the 32 random bytes, for test vectors; a provider that cannot be told throws RangeError. */
  encapsulate(encapsulationKey: Uint8Array, m?: Uint8Array): Encapsulation;
  fresh(): DecapsulationKey;
  /** d ‖ z, 64 bytes. */
  from(seed: Uint8Array): DecapsulationKey;
}

export interface Encapsulation {
  readonly ciphertext: Uint8Array;
  readonly secret: Uint8Array;
}

export interface DecapsulationKey {
  readonly encapsulationKey: Uint8Array;
  /** `ciphertext`: 1088 bytes. A wrong one gives another secret (implicit rejection). */
  decapsulate(ciphertext: Uint8Array): Uint8Array;
}
