/**
 * AES-GCM and ChaCha20-Poly1305 of OpenSSL.
 *
 * One context for each cipher and direction, since nothing here waits or calls back; it is given key and nonce with each
 * text, which costs less than 0.2 µs, and an idle connection holds nothing but its key.
 *
 * @module
 */
import type { Aead, AeadName } from "./crypto.ts";
import type { Pointer } from "./foreign.ts";
import {
  appendTag,
  checkAnswers,
  checkKey,
  checkNonce,
  checkRoom,
  roomFor,
  TAG_LENGTH,
} from "./foreign-aead.ts";
import type { Libcrypto, LibcryptoFunctions } from "./libcrypto.ts";
import { done, made } from "./openssl-result.ts";

export type OpensslAeads = Readonly<Record<AeadName, (key: Uint8Array) => Aead>>;

/** @throws {Error} this build of OpenSSL lacks one of the ciphers, or computes something else */
export function opensslAeads({ functions }: Libcrypto): OpensslAeads {
  const named = (name: AeadName) => {
    const cipher = new Cipher(functions, name);
    const make = (key: Uint8Array) => new OpensslAead(functions, cipher, key);
    checkAnswers(name, make, "OpenSSL");
    return make;
  };
  return {
    "aes-128-gcm": named("aes-128-gcm"),
    "aes-256-gcm": named("aes-256-gcm"),
    "chacha20-poly1305": named("chacha20-poly1305"),
  };
}

class Cipher {
  readonly name: AeadName;
  readonly sealing: Pointer;
  readonly opening: Pointer;

  constructor(functions: LibcryptoFunctions, name: AeadName) {
    this.name = name;
    const cipher = made(functions.EVP_CIPHER_fetch(null, Buffer.from(`${name}\0`), null));
    const context = (isSealing: 0 | 1) => {
      const context = made(functions.EVP_CIPHER_CTX_new());
      done(functions.EVP_CipherInit_ex(context, cipher, null, null, null, isSealing));
      return context;
    };
    this.sealing = context(1);
    this.opening = context(0);
  }
}

/** Nothing but the key is its own: there are two of these per idle connection. */
class OpensslAead implements Aead {
  readonly #functions: LibcryptoFunctions;
  readonly #cipher: Cipher;
  readonly #key: Uint8Array;

  constructor(functions: LibcryptoFunctions, cipher: Cipher, key: Uint8Array) {
    checkKey(cipher.name, key);
    this.#functions = functions;
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
    const end = at + plaintext.length;
    this.#begin(nonce, aad, out, at, end);
    if (plaintext.length > 0) this.#encrypt(plaintext, out, at, end);
    return this.#finish(out, end);
  }

  sealJoined(
    nonce: Uint8Array,
    aad: Uint8Array,
    content: Uint8Array,
    rest: Uint8Array,
    out: Uint8Array,
    at: number,
  ): number {
    const restAt = at + content.length;
    const end = restAt + rest.length;
    this.#begin(nonce, aad, out, at, end);
    if (content.length > 0) this.#encrypt(content, out, at, restAt);
    if (rest.length > 0) this.#encrypt(rest, out, restAt, end);
    return this.#finish(out, end);
  }

  open(nonce: Uint8Array, aad: Uint8Array, ciphertext: Uint8Array): Uint8Array | undefined {
    const end = ciphertext.length - TAG_LENGTH;
    if (end < 0) return undefined;
    checkNonce(nonce);
    const f = this.#functions;
    const { opening } = this.#cipher;
    const plaintext = roomFor(end);
    for (let i = 0; i < TAG_LENGTH; i++) tag[i] = ciphertext[end + i]!;
    done(f.EVP_DecryptInit_ex(opening, null, null, this.#key, nonce));
    if (aad.length > 0) done(f.EVP_CipherUpdate(opening, null, written, aad, aad.length));
    if (end > 0) done(f.EVP_DecryptUpdate(opening, plaintext, written, ciphertext, end));
    done(f.EVP_CIPHER_CTX_ctrl(opening, SET_TAG, TAG_LENGTH, tag));
    if (f.EVP_DecryptFinal_ex(opening, last, written) === 1) return plaintext;
    plaintext.fill(0); // nobody's
    return undefined;
  }

  #begin(nonce: Uint8Array, aad: Uint8Array, out: Uint8Array, at: number, end: number): void {
    checkNonce(nonce);
    checkRoom(out, at, end);
    const f = this.#functions;
    const { sealing } = this.#cipher;
    done(f.EVP_EncryptInit_ex(sealing, null, null, this.#key, nonce));
    if (aad.length > 0) done(f.EVP_CipherUpdate(sealing, null, written, aad, aad.length));
  }

  /** Stream ciphers both: as much comes out as goes in. */
  #encrypt(text: Uint8Array, out: Uint8Array, at: number, end: number): void {
    const to = out.subarray(at, end);
    done(this.#functions.EVP_EncryptUpdate(this.#cipher.sealing, to, written, text, text.length));
  }

  #finish(out: Uint8Array, end: number): number {
    const f = this.#functions;
    const { sealing } = this.#cipher;
    done(f.EVP_EncryptFinal_ex(sealing, last, written));
    done(f.EVP_CIPHER_CTX_ctrl(sealing, GET_TAG, TAG_LENGTH, tag));
    return appendTag(tag, out, end);
  }
}

/** EVP_CTRL_AEAD_GET_TAG, EVP_CTRL_AEAD_SET_TAG */
const GET_TAG = 0x10;
const SET_TAG = 0x11;
/** How much came out, which is known. */
const written = new Uint32Array(1);
/** What the last call adds to a text: with these ciphers nothing. */
const last = new Uint8Array(32);
const tag = new Uint8Array(TAG_LENGTH);
