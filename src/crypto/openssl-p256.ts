/**
 * ECDH and ECDSA of OpenSSL on P-256.
 *
 * There is one EC_KEY, one BIGNUM and one EC_POINT, since nothing here waits or calls back, and making a key anew costs
 * half as much as signing with it. Private keys are in them during a call alone.
 *
 * @module
 */
import { jwkBytes } from "./jwk.ts";
import type { KeyPair, SharedKey } from "./crypto.ts";
import { type Pointer, size } from "./foreign.ts";
import type { Libcrypto, LibcryptoFunctions } from "./libcrypto.ts";
import { done, made } from "./openssl-result.ts";
import type { OpensslSha256 } from "./openssl-sha256.ts";
import type { DiffieHellman } from "./primitives.ts";
import type { Signatures } from "./signing-key.ts";
import { smallArray } from "./small-array.ts";

export class OpensslP256 implements DiffieHellman {
  readonly #functions: LibcryptoFunctions;
  readonly #sha256: OpensslSha256;
  readonly #group: Pointer;
  readonly #order: Pointer;
  readonly #key: Pointer;
  readonly #number: Pointer;
  readonly #one: Pointer;
  readonly #point: Pointer;

  /** @throws {Error} this build of OpenSSL lacks the curve */
  constructor({ functions }: Libcrypto, sha256: OpensslSha256) {
    this.#functions = functions;
    this.#sha256 = sha256;
    this.#key = made(functions.EC_KEY_new_by_curve_name(NID_PRIME256V1));
    this.#group = made(functions.EC_KEY_get0_group(this.#key));
    this.#order = made(functions.EC_GROUP_get0_order(this.#group));
    this.#number = made(functions.BN_new());
    this.#one = made(functions.BN_bin2bn(Uint8Array.of(1), 1, null));
    this.#point = made(functions.EC_POINT_new(this.#group));
  }

  answer(peerShare: Uint8Array): SharedKey | undefined {
    if (!this.#takePoint(peerShare)) return undefined;
    try {
      done(this.#functions.EC_KEY_generate_key(this.#key));
      const share = this.#bytesOf(this.#functions.EC_KEY_get0_public_key(this.#key));
      return { share, secret: this.#agree() };
    } finally {
      this.#forget();
    }
  }

  fresh(): KeyPair {
    for (;;) {
      const pair = this.#pair(globalThis.crypto.getRandomValues(new Uint8Array(LENGTH)));
      if (pair !== undefined) return pair; // a scalar outside [1, n): once in 2^32
    }
  }

  from(bytes: Uint8Array): KeyPair {
    if (bytes.length !== LENGTH) {
      throw new RangeError(`Cannot use a P-256 private key of ${bytes.length} bytes`);
    }
    const pair = this.#pair(new Uint8Array(bytes));
    if (pair === undefined) throw new RangeError("Cannot use a P-256 private key outside [1, n)");
    return pair;
  }

  /** ECDSA with SHA-256. Signatures of peers are for others to verify: OpenSSL would be no faster. */
  readonly signatures: Required<Omit<Signatures, "verify">> = {
    signer: (key) => this.#signer(jwkBytes(key, "d"), undefined),
    rawSigner: ({ scalar, point }) => this.#signer(scalar.slice(), point),
    signOnce: ({ scalar }, content) => {
      const signature = scalar.length === LENGTH ? this.#signBy(scalar, content) : undefined;
      if (signature === undefined) throw outside();
      return signature;
    },
  };

  #signer(
    privateKey: Uint8Array,
    point: Uint8Array | undefined,
  ): ReturnType<Signatures["signer"]> {
    const own = privateKey.length === LENGTH ? this.#publicOf(privateKey) : undefined;
    if (own === undefined) throw outside();
    if (point !== undefined && Buffer.compare(own, point) !== 0) {
      throw new TypeError("Cannot sign with a private key that is another point's");
    }
    return (_scheme, content) => this.#signBy(privateKey, content)!;
  }

  /** Undefined: the scalar is outside [1, n). */
  #signBy(privateKey: Uint8Array, content: Uint8Array): Uint8Array | undefined {
    const digest = this.#sha256.hash(content, smallArray(LENGTH));
    return this.#holding(privateKey, () => this.#sign(digest));
  }

  #pair(privateKey: Uint8Array): KeyPair | undefined {
    const share = this.#publicOf(privateKey);
    return share && {
      share,
      agree: (peerShare) =>
        this.#takePoint(peerShare) ? this.#holding(privateKey, () => this.#agree()) : undefined,
    };
  }

  #publicOf(privateKey: Uint8Array): Uint8Array | undefined {
    return this.#holding(privateKey, () => this.#public());
  }

  /** `use`, while EC_KEY and BIGNUM hold this scalar; undefined where it is outside [1, n). */
  #holding(privateKey: Uint8Array, use: () => Uint8Array): Uint8Array | undefined {
    const f = this.#functions;
    try {
      made(f.BN_bin2bn(privateKey, privateKey.length, this.#number));
      if (f.BN_is_zero(this.#number) === 1 || f.BN_cmp(this.#number, this.#order) >= 0) {
        return undefined;
      }
      done(f.EC_KEY_set_private_key(this.#key, this.#number));
      return use();
    } finally {
      this.#forget();
    }
  }

  #forget(): void {
    this.#functions.BN_clear(this.#number);
    // Something that is no secret takes its place: before 3.0.6, null would leave it there.
    done(this.#functions.EC_KEY_set_private_key(this.#key, this.#one));
  }

  /** The peer's share becomes `#point`; false if it is no uncompressed point of the curve. */
  #takePoint(share: Uint8Array): boolean {
    return share.length === POINT_LENGTH && share[0] === UNCOMPRESSED &&
      this.#functions.EC_POINT_oct2point(
          this.#group,
          this.#point,
          share,
          size(share.length),
          null,
        ) === 1;
  }

  /** Of the scalar that is held, with `#point`. */
  #agree(): Uint8Array {
    const secret = smallArray(LENGTH);
    const f = this.#functions;
    const length = f.ECDH_compute_key(secret, size(LENGTH), this.#point, this.#key, null);
    done(length === LENGTH ? 1 : 0);
    return secret;
  }

  /** Of the scalar that is held. */
  #public(): Uint8Array {
    const f = this.#functions;
    done(f.EC_POINT_mul(this.#group, this.#point, this.#number, null, null, null));
    return this.#bytesOf(this.#point);
  }

  /** By the scalar that is held. */
  #sign(digest: Uint8Array): Uint8Array {
    done(this.#functions.ECDSA_sign(0, digest, LENGTH, signature, signatureLength, this.#key));
    return signature.slice(0, signatureLength[0]);
  }

  #bytesOf(point: Pointer | null): Uint8Array {
    const bytes = new Uint8Array(POINT_LENGTH);
    const length = this.#functions.EC_POINT_point2oct(
      this.#group,
      made(point),
      UNCOMPRESSED,
      bytes,
      size(POINT_LENGTH),
      null,
    );
    done(Number(length) === POINT_LENGTH ? 1 : 0);
    return bytes;
  }
}

function outside(): TypeError {
  return new TypeError("Cannot sign with a private key outside [1, n)");
}

/** OpenSSL's number of the curve. */
const NID_PRIME256V1 = 415;
/** Of a scalar, a coordinate and a hash. */
const LENGTH = 32;
const POINT_LENGTH = 65;
/** POINT_CONVERSION_UNCOMPRESSED, and the first byte of such a point. */
const UNCOMPRESSED = 4;
/** Room for the longest in DER. */
const signature = new Uint8Array(72);
const signatureLength = new Uint32Array(1);
