/**
 * Private keys made ready to sign when they are first needed. Ready ones take kilobytes each, and of very many sites
 * few are visited at a time: those not used lately go back to what they are made from.
 * @module
 */
import type { Crypto, PrivateKeyBlock, SigningKey } from "../crypto/crypto.ts";
import { Recent } from "./recent.ts";

/** The credential, or a number that stands for it. */
export type KeyOwner = object | number;

export class SigningKeys {
  readonly #crypto: Pick<Crypto, "signingKey">;
  readonly #ready: Recent<KeyOwner, SigningKey>;

  /** True: credentials made from now on leave slow signatures to `SignatureRequest`. Default: false. */
  slowElsewhere = false;

  constructor(crypto: Pick<Crypto, "signingKey">, capacity: number = MAX_READY_KEYS) {
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
  get(owner: KeyOwner, source: string | PrivateKeyBlock): SigningKey {
    let key = this.#ready.get(owner);
    if (key === undefined) this.put(owner, key = this.#crypto.signingKey(source));
    return key;
  }

  /** One that is ready already. */
  put(owner: KeyOwner, key: SigningKey): void {
    this.#ready.set(owner, key);
  }

  get size(): number {
    return this.#ready.size;
  }
}

const MAX_READY_KEYS = 10_000;
const SETS = new WeakMap<Crypto, SigningKeys>();
