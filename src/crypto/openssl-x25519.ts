/**
 * X25519 of OpenSSL. Private keys are bytes out here, and OpenSSL's during a call alone.
 *
 * To a private key that comes alone OpenSSL computes the public half, by code that takes longer than an agreement does. No
 * agreement looks at it: each comes with another key's, and its own is what the base point agrees to (RFC 7748 §6.1).
 *
 * @module
 */
import type { KeyPair, SharedKey } from "./crypto.ts";
import { type Pointer, size } from "./foreign.ts";
import type { Libcrypto, LibcryptoFunctions } from "./libcrypto.ts";
import { done, made } from "./openssl-result.ts";
import type { DiffieHellman } from "./primitives.ts";
import { smallArray } from "./small-array.ts";

export class OpensslX25519 implements DiffieHellman {
  readonly #library: Libcrypto;
  readonly #functions: LibcryptoFunctions;
  readonly #fasterShare: ((privateKey: Uint8Array) => Uint8Array) | undefined;
  readonly #importing: Pointer;
  /** What is imported: a key pair, and in it the private key's place. */
  readonly #parameters: bigint;
  readonly #private: Pointer;
  readonly #peer: Pointer;

  constructor(library: Libcrypto, fasterShare?: (privateKey: Uint8Array) => Uint8Array) {
    const { functions } = library;
    this.#library = library;
    this.#functions = functions;
    this.#fasterShare = fasterShare;
    const nobodys = functions.EVP_PKEY_new_raw_private_key(NID_X25519, null, NOTHING, SIZE);
    this.#importing = made(functions.EVP_PKEY_CTX_new(nobodys, null));
    done(functions.EVP_PKEY_fromdata_init(this.#importing));
    done(functions.EVP_PKEY_todata(nobodys, EVP_PKEY_KEYPAIR, place));
    this.#parameters = place[0]!;
    this.#private = made(functions.OSSL_PARAM_locate(this.#parameters, PRIVATE));
    this.#peer = made(
      functions.EVP_PKEY_new_raw_public_key(NID_X25519, null, BASE_POINT, SIZE),
    );
  }

  /** The same, with shares made by someone who has a table of the base point's multiples. */
  sharedBy(fasterShare: (privateKey: Uint8Array) => Uint8Array): OpensslX25519 {
    return new OpensslX25519(this.#library, fasterShare);
  }

  answer(peerShare: Uint8Array): SharedKey | undefined {
    const privateKey = random();
    const share = this.#fasterShare?.(privateKey);
    return this.#holding(privateKey, (context) => {
      privateKey.fill(0);
      const secret = this.#agree(context, peerShare);
      return secret && { share: share ?? this.#shareOf(context), secret };
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
      share: this.#fasterShare?.(privateKey) ??
        this.#holding(privateKey, (context) => this.#shareOf(context)),
      agree: (peerShare) => this.#holding(privateKey, (context) => this.#agree(context, peerShare)),
    };
  }

  #holding<T>(privateKey: Uint8Array, use: (context: Pointer) => T): T {
    const f = this.#functions;
    done(f.OSSL_PARAM_set_octet_string(this.#private, privateKey, SIZE));
    place[0] = 0n;
    const code = f.EVP_PKEY_fromdata(this.#importing, place, EVP_PKEY_KEYPAIR, this.#parameters);
    done(f.OSSL_PARAM_set_octet_string(this.#private, NOTHING, SIZE));
    done(code);
    const context = f.EVP_PKEY_CTX_new(place[0], null);
    f.EVP_PKEY_free(place[0]); // the context has it
    try {
      done(f.EVP_PKEY_derive_init(context));
      return use(made(context));
    } finally {
      f.EVP_PKEY_CTX_free(context);
    }
  }

  #shareOf(context: Pointer): Uint8Array {
    return this.#agree(context, BASE_POINT)!;
  }

  /** Undefined for a share of another length or with an all-zero result, which OpenSSL takes for a failure. */
  #agree(context: Pointer, peerShare: Uint8Array): Uint8Array | undefined {
    if (peerShare.length !== LENGTH) return undefined;
    const f = this.#functions;
    done(f.EVP_PKEY_set1_encoded_public_key(this.#peer, peerShare, SIZE));
    done(f.EVP_PKEY_derive_set_peer_ex(context, this.#peer, ANY_SHARE));
    const secret = smallArray(LENGTH);
    length[0] = 32n;
    return f.EVP_PKEY_derive(context, secret, length) === 1 ? secret : undefined;
  }
}

function random(): Uint8Array {
  return globalThis.crypto.getRandomValues(smallArray(LENGTH));
}

/** OpenSSL's number of it. */
const NID_X25519 = 1034;
/** OSSL_PKEY_PARAM_PRIV_KEY */
const PRIVATE = new TextEncoder().encode("priv\0");
const EVP_PKEY_KEYPAIR = 0x87;
/** All of 32 bytes are valid (RFC 7748 §5): there is nothing to check. */
const ANY_SHARE = 0;
/** Of keys, shares and secrets. */
const LENGTH = 32;
const SIZE = size(LENGTH);
/** RFC 7748 §4.1 */
const BASE_POINT = new Uint8Array(LENGTH).fill(9, 0, 1);
const NOTHING = new Uint8Array(LENGTH);
/** size_t, given and returned. */
const length = new BigUint64Array(1);
/** Where OpenSSL says where something of its own is. */
const place = new BigUint64Array(1);
