/**
 * Private keys made ready to sign when they are needed. Ready ones take kilobytes each, and of very many sites few are
 * visited at a time: those not used lately go back to what they are made from.
 *
 * Where one signature is cheaper without that, a key is made ready when it is asked for a second time: many sites of very
 * many are visited once, by somebody who looks at all of them.
 *
 * @module
 */
import type { Crypto, PrivateKeyBlock, SignatureName, SigningKey } from "../crypto/crypto.ts";
import { Recent } from "./recent.ts";

/** The credential, or a number that stands for it. */
export type KeyOwner = object | number;

export class SigningKeys {
  readonly #crypto: Pick<Crypto, "signingKey" | "signOnce">;
  /** null: it has signed once, and is not ready. */
  readonly #ready: Recent<KeyOwner, SigningKey | null>;

  /** True: credentials made from now on leave slow signatures to `SignatureRequest`. Default: false. */
  slowElsewhere = false;

  constructor(
    crypto: Pick<Crypto, "signingKey" | "signOnce">,
    capacity: number = MAX_READY_KEYS,
  ) {
    this.#crypto = crypto;
    this.#ready = new Recent(capacity);
  }

  /** One set for each provider. */
  static of(crypto: Crypto): SigningKeys {
    let keys = SETS.get(crypto);
    if (keys === undefined) SETS.set(crypto, keys = new SigningKeys(crypto));
    return keys;
  }

  /**
   * @param owner whose key it is
   * @throws {TypeError} it cannot be read
   */
  sign(
    owner: KeyOwner,
    source: string | PrivateKeyBlock,
    scheme: SignatureName,
    content: Uint8Array,
  ): Uint8Array {
    let key = this.#ready.get(owner);
    if (key === undefined && typeof source !== "string" && scheme === P256_SCHEME) {
      const { signOnce } = this.#crypto;
      const { p256 } = source;
      if (signOnce !== undefined && p256 !== undefined) {
        this.#ready.set(owner, null);
        return signOnce(p256, content);
      }
    }
    if (key === undefined || key === null) this.put(owner, key = this.#crypto.signingKey(source));
    return key.sign(scheme, content);
  }

  /** One that is ready already. */
  put(owner: KeyOwner, key: SigningKey): void {
    this.#ready.set(owner, key);
  }

  get size(): number {
    return this.#ready.size;
  }
}

const P256_SCHEME = "ecdsa_secp256r1_sha256";
const MAX_READY_KEYS = 10_000;
const SETS = new WeakMap<Crypto, SigningKeys>();
