/**
 * The primitives of @noble: the oracle that others are compared with, and what stands in where a runtime lacks one.
 *
 * Pure JavaScript: what constant time there is depends on the JIT, and AES uses tables. RSA does not exist there: signing
 * and checking with RSA falls back on node:crypto. Random bytes and the constant-time comparison are the runtime's too.
 *
 * @module
 */
import { gcm } from "@noble/ciphers/aes.js";
import { chacha20poly1305 } from "@noble/ciphers/chacha.js";
import { ed25519, x25519 } from "@noble/curves/ed25519.js";
import { p256, p384 } from "@noble/curves/nist.js";
import { hmac } from "@noble/hashes/hmac.js";
import { sha256, sha384 } from "@noble/hashes/sha2.js";
import { ml_kem768 } from "@noble/post-quantum/ml-kem.js";
import type { Aead, KeyPair, RunningHash } from "./crypto.ts";
import { jwkBytes } from "./jwk.ts";
import { nativeSystem } from "./native.ts";
import { nativeRsa } from "./native-signatures.ts";
import type { DecapsulationKey, DiffieHellman, Kem, Primitives } from "./primitives.ts";
import type { Signatures } from "./signing-key.ts";

export function noblePrimitives(): Primitives {
  return {
    system: nativeSystem,
    hash: {
      digest: (hash, bytes) => HASHES[hash](bytes),
      running: (hash) => new NobleRunningHash(HASHES[hash].create()),
    },
    hmac: (hash, key, bytes) => hmac(HASHES[hash], key, bytes),
    "aes-gcm": (key) => new NobleAead(gcm, key),
    "chacha20-poly1305": (key) => new NobleAead(chacha20poly1305, key),
    x25519: nobleX25519,
    secp256r1: nobleEcdh(p256, 32),
    secp384r1: nobleEcdh(p384, 48),
    "ML-KEM-768": nobleKem,
    "ecdsa-p256": nobleEcdsa(p256),
    "ecdsa-p384": nobleEcdsa(p384),
    ed25519: nobleEd25519,
    rsa: nativeRsa,
  };
}

const HASHES = { sha256, sha384 } as const;

type NobleHash = ReturnType<typeof sha256.create> | ReturnType<typeof sha384.create>;

class NobleRunningHash implements RunningHash {
  readonly #hash: NobleHash;

  constructor(hash: NobleHash) {
    this.#hash = hash;
  }

  update(bytes: Uint8Array): void {
    this.#hash.update(bytes);
  }

  digest(): Uint8Array {
    return this.#hash.clone().digest();
  }

  clone(): RunningHash {
    return new NobleRunningHash(this.#hash.clone());
  }
}

type NobleCipher = typeof gcm | typeof chacha20poly1305;

class NobleAead implements Aead {
  readonly #cipher: NobleCipher;
  readonly #key: Uint8Array;

  constructor(cipher: NobleCipher, key: Uint8Array) {
    this.#cipher = cipher;
    this.#key = new Uint8Array(key);
  }

  seal(
    nonce: Uint8Array,
    aad: Uint8Array,
    plaintext: Uint8Array,
    out: Uint8Array,
    at: number,
  ): number {
    const sealed = this.#cipher(this.#key, nonce, aad).encrypt(plaintext);
    out.set(sealed, at);
    return at + sealed.length;
  }

  open(nonce: Uint8Array, aad: Uint8Array, ciphertext: Uint8Array): Uint8Array | undefined {
    if (ciphertext.length < TAG_LENGTH) return undefined;
    try {
      return this.#cipher(this.#key, nonce, aad).decrypt(ciphertext);
    } catch {
      return undefined;
    }
  }
}

const TAG_LENGTH = 16;

const nobleX25519: DiffieHellman = {
  answer(peerShare) {
    return answerWith(nobleX25519.fresh(), peerShare);
  },
  fresh() {
    return nobleX25519.from(x25519.utils.randomSecretKey());
  },
  from(bytes) {
    if (bytes.length !== 32) {
      throw new RangeError(`Cannot use an X25519 private key of ${bytes.length} bytes`);
    }
    const privateKey = bytes.slice();
    return {
      share: x25519.getPublicKey(privateKey),
      agree(peerShare) {
        if (peerShare.length !== 32) return undefined;
        try {
          return x25519.getSharedSecret(privateKey, peerShare);
        } catch {
          return undefined; // the all-zero result
        }
      },
    };
  },
};

function nobleEcdh(curve: typeof p256, length: number): DiffieHellman {
  const ecdh: DiffieHellman = {
    answer: (peerShare) => answerWith(ecdh.fresh(), peerShare),
    fresh: () => ecdh.from(curve.utils.randomSecretKey()),
    from(bytes) {
      if (!curve.utils.isValidSecretKey(bytes)) {
        throw new RangeError(`Cannot use a private key of ${bytes.length} bytes outside [1, n)`);
      }
      const privateKey = bytes.slice();
      return {
        share: curve.getPublicKey(privateKey, false),
        agree(peerShare) {
          if (peerShare.length !== 2 * length + 1 || peerShare[0] !== 0x04) return undefined;
          try {
            return curve.getSharedSecret(privateKey, peerShare, false).slice(1, 1 + length);
          } catch {
            return undefined;
          }
        },
      };
    },
  };
  return ecdh;
}

function answerWith(own: KeyPair, peerShare: Uint8Array): ReturnType<DiffieHellman["answer"]> {
  const secret = own.agree(peerShare);
  return secret && { share: own.share, secret };
}

const nobleKem: Kem = {
  encapsulate(encapsulationKey, m) {
    const { cipherText, sharedSecret } = ml_kem768.encapsulate(encapsulationKey, m);
    return { ciphertext: cipherText, secret: sharedSecret };
  },
  fresh: () => decapsulationKey(ml_kem768.keygen()),
  from: (seed) => decapsulationKey(ml_kem768.keygen(seed)),
};

function decapsulationKey(
  { publicKey, secretKey }: ReturnType<typeof ml_kem768.keygen>,
): DecapsulationKey {
  return {
    encapsulationKey: publicKey,
    decapsulate: (ciphertext) => ml_kem768.decapsulate(ciphertext, secretKey),
  };
}

/** Any s is accepted, as in TLS; the library's default of low s alone is another protocol's. */
const ECDSA_OPTIONS = { lowS: false, format: "der" } as const;

function nobleEcdsa(curve: typeof p256): Signatures {
  return {
    signer(key) {
      const privateKey = jwkBytes(key, "d");
      curve.getPublicKey(privateKey); // builds the curve's table, once: 25 ms on Deno
      return (_scheme, content) => curve.sign(content, privateKey, ECDSA_OPTIONS);
    },
    verify(key, _scheme, content, signature) {
      const x = jwkBytes(key, "x");
      const publicKey = Uint8Array.of(0x04, ...x, ...jwkBytes(key, "y"));
      return curve.verify(signature, content, publicKey, ECDSA_OPTIONS);
    },
  };
}

const nobleEd25519: Signatures = {
  signer(key) {
    const privateKey = jwkBytes(key, "d");
    return (_scheme, content) => ed25519.sign(content, privateKey);
  },
  verify(key, _scheme, content, signature) {
    return ed25519.verify(signature, content, jwkBytes(key, "x"), { zip215: false });
  },
};
