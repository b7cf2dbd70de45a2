/**
 * Puts a `Crypto` together from primitives. The coarse operations (hybrid key exchange, key schedule, HPKE) are composed
 * of the primitives, so every provider has them, unless one takes a step at once.
 *
 * @module
 */
import { makeAead } from "./aead.ts";
import type {
  Aead,
  AeadName,
  Crypto,
  GroupName,
  HashName,
  HpkeRecipient,
  KeyPair,
  KeySchedule,
  PrivateKeyBlock,
  RunningHash,
  SharedKey,
  SignatureName,
  SigningKey,
} from "./crypto.ts";
import { HpkeKey, hpkeKeyPair } from "./hpke.ts";
import { answerHybrid, hybridKeyPair } from "./hybrid.ts";
import { HkdfKeySchedule } from "./key-schedule.ts";
import type { Hash, Primitives, Steps } from "./primitives.ts";
import { signingKey, verify } from "./signing-key.ts";

/** `aeads` as they are preferred. */
export function composeCrypto(
  name: string,
  primitives: Primitives & Steps,
  aeads: readonly AeadName[] = ["aes-128-gcm", "aes-256-gcm", "chacha20-poly1305"],
): Crypto {
  return new ComposedCrypto(name, primitives, aeads);
}

class ComposedCrypto implements Crypto {
  readonly name: string;
  readonly aeads: readonly AeadName[];
  readonly schedule: KeySchedule;
  readonly #primitives: Primitives & Steps;
  readonly #hash: Hash;

  constructor(name: string, primitives: Primitives & Steps, aeads: readonly AeadName[]) {
    this.name = name;
    this.aeads = aeads;
    this.#primitives = primitives;
    this.#hash = primitives.hash;
    const { hmac, hash: { digest } } = primitives;
    this.schedule = primitives.schedule?.(hmac, digest) ?? new HkdfKeySchedule(hmac, digest);
  }

  random(length: number): Uint8Array {
    return this.#primitives.system.random(length);
  }

  equal(a: Uint8Array, b: Uint8Array): boolean {
    return this.#primitives.system.equal(a, b);
  }

  digest(hash: HashName, bytes: Uint8Array): Uint8Array {
    return this.#hash.digest(hash, bytes);
  }

  hmac(hash: HashName, key: Uint8Array, bytes: Uint8Array): Uint8Array {
    return this.#primitives.hmac(hash, key, bytes);
  }

  hash(hash: HashName): RunningHash {
    return this.#hash.running(hash);
  }

  aead(name: AeadName, key: Uint8Array): Aead {
    return makeAead(this.#primitives, name, key);
  }

  answerShare(group: GroupName, peerShare: Uint8Array): SharedKey | undefined {
    const primitives = this.#primitives;
    if (group !== "X25519MLKEM768") return primitives[group].answer(peerShare);
    if (primitives.answerHybrid !== undefined) return primitives.answerHybrid(peerShare);
    return answerHybrid(primitives["ML-KEM-768"], primitives.x25519, peerShare);
  }

  keyPair(group: GroupName): KeyPair {
    if (group === "X25519MLKEM768") {
      return hybridKeyPair(this.#primitives["ML-KEM-768"], this.#primitives.x25519);
    }
    return this.#primitives[group].fresh();
  }

  hpkeRecipient(kem: number, privateKey: Uint8Array, info: Uint8Array): HpkeRecipient {
    return new HpkeKey(this.#primitives, kem, privateKey, info);
  }

  hpkeKeyPair(kem: number): { readonly privateKey: Uint8Array; readonly publicKey: Uint8Array } {
    return hpkeKeyPair(this.#primitives, kem);
  }

  get signOnce(): Crypto["signOnce"] {
    return this.#primitives["ecdsa-p256"].signOnce;
  }

  signingKey(key: string | PrivateKeyBlock): SigningKey {
    return signingKey(this.#primitives, key);
  }

  verify(
    scheme: SignatureName,
    spki: Uint8Array,
    content: Uint8Array,
    signature: Uint8Array,
  ): boolean {
    return verify(this.#primitives, scheme, spki, content, signature);
  }
}
