/**
 * X25519 of OpenSSL. Private keys are bytes out here, and OpenSSL's during a call alone.
 *
 * @module
 */
import type { KeyPair, SharedKey } from "./crypto.ts";
import type { Pointer } from "./foreign.ts";
import type { Libcrypto, LibcryptoFunctions } from "./libcrypto.ts";
import { done, made } from "./openssl-result.ts";
import type { DiffieHellman } from "./primitives.ts";

export class OpensslX25519 implements DiffieHellman {
  readonly #functions: LibcryptoFunctions;

  constructor({ functions }: Libcrypto) {
    this.#functions = functions;
  }

  answer(peerShare: Uint8Array): SharedKey | undefined {
    const privateKey = random();
    return this.#holding(privateKey, (key) => {
      privateKey.fill(0);
      const secret = this.#agree(key, peerShare);
      return secret && { share: this.#shareOf(key), secret };
    });
  }

  fresh(): KeyPair {
    return this.#pair(random());
  }

  from(bytes: Uint8Array): KeyPair {
    if (bytes.length !== LENGTH) {
      throw new RangeError(`Cannot use an X25519 private key of ${bytes.length} bytes`);
    }
    return this.#pair(new Uint8Array(bytes));
  }

  #pair(privateKey: Uint8Array): KeyPair {
    return {
      share: this.#holding(privateKey, (key) => this.#shareOf(key)),
      agree: (peerShare) => this.#holding(privateKey, (key) => this.#agree(key, peerShare)),
    };
  }

  #holding<T>(privateKey: Uint8Array, use: (key: Pointer) => T): T {
    const f = this.#functions;
    const key = made(f.EVP_PKEY_new_raw_private_key(NID_X25519, null, privateKey, LENGTH));
    try {
      return use(key);
    } finally {
      f.EVP_PKEY_free(key);
    }
  }

  #shareOf(key: Pointer): Uint8Array {
    const share = new Uint8Array(LENGTH);
    length[0] = BigInt(LENGTH);
    done(this.#functions.EVP_PKEY_get_raw_public_key(key, share, length));
    return share;
  }

  /** Undefined for a share of another length or with an all-zero result, which OpenSSL takes for a failure. */
  #agree(key: Pointer, peerShare: Uint8Array): Uint8Array | undefined {
    if (peerShare.length !== LENGTH) return undefined;
    const f = this.#functions;
    const peer = made(f.EVP_PKEY_new_raw_public_key(NID_X25519, null, peerShare, LENGTH));
    const context = f.EVP_PKEY_CTX_new(key, null);
    try {
      done(f.EVP_PKEY_derive_init(made(context)));
      done(f.EVP_PKEY_derive_set_peer(context, peer));
      const secret = new Uint8Array(LENGTH);
      length[0] = BigInt(LENGTH);
      return f.EVP_PKEY_derive(context, secret, length) === 1 ? secret : undefined;
    } finally {
      f.EVP_PKEY_CTX_free(context);
      f.EVP_PKEY_free(peer);
    }
  }
}

function random(): Uint8Array {
  return globalThis.crypto.getRandomValues(new Uint8Array(LENGTH));
}

/** OpenSSL's number of it. */
const NID_X25519 = 1034;
/** Of keys, shares and secrets. */
const LENGTH = 32;
/** size_t, given and returned. */
const length = new BigUint64Array(1);
