/**
 * Private keys made ready to sign when they are first needed. Ready ones take kilobytes each, and of very many sites
 * few are visited at a time: those least recently used go back to what they are made from.
 * @module
 */
import type { Crypto, SigningKey } from "../crypto/crypto.ts";

export class SigningKeys {
  readonly #crypto: Pick<Crypto, "signingKey">;
  readonly #capacity: number;
  /** The least recently used first. */
  readonly #ready = new Map<object, SigningKey>();

  constructor(crypto: Pick<Crypto, "signingKey">, capacity: number = CAPACITY) {
    this.#crypto = crypto;
    this.#capacity = capacity;
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
  get(owner: object, pem: () => string): SigningKey {
    let key = this.#ready.get(owner);
    if (key === undefined) key = this.#crypto.signingKey(pem());
    else if (this.#newest === owner) return key;
    else this.#ready.delete(owner);
    this.put(owner, key);
    return key;
  }

  /** One that is ready already. */
  put(owner: object, key: SigningKey): void {
    this.#ready.set(owner, key);
    this.#newest = owner;
    if (this.#ready.size <= this.#capacity) return;
    for (const oldest of this.#ready.keys()) {
      this.#ready.delete(oldest);
      return;
    }
  }

  get size(): number {
    return this.#ready.size;
  }

  #newest: object | undefined;
}

const CAPACITY = 4096;
const SETS = new WeakMap<Crypto, SigningKeys>();
