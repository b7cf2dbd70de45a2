/**
 * AES-GCM and ChaCha20-Poly1305 of OpenSSL.
 *
 * One context for each cipher and direction, since nothing here waits or calls back; it is given key and nonce with each
 * text, which costs less than 0.2 µs, and an idle connection holds nothing but its key.
 *
 * @module
 */
import type { Aead, AeadName } from "./crypto.ts";
import type { Libcrypto, LibcryptoFunctions, Pointer } from "./libcrypto.ts";
import { done, made } from "./openssl-result.ts";

export type OpensslAeads = Readonly<Record<AeadName, (key: Uint8Array) => Aead>>;

/** @throws {Error} this build of OpenSSL lacks one of the ciphers, or computes something else */
export function opensslAeads({ functions }: Libcrypto): OpensslAeads {
  const named = (name: AeadName) => {
    const cipher = new Cipher(functions, name);
    const make = (key: Uint8Array) => new OpensslAead(functions, cipher, key);
    check(name, make);
    return make;
  };
  return {
    "aes-128-gcm": named("aes-128-gcm"),
    "aes-256-gcm": named("aes-256-gcm"),
    "chacha20-poly1305": named("chacha20-poly1305"),
  };
}

class Cipher {
  readonly keyLength: number;
  readonly sealing: Pointer;
  readonly opening: Pointer;

  constructor(functions: LibcryptoFunctions, name: AeadName) {
    this.keyLength = KEY_LENGTH[name];
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
    if (key.length !== cipher.keyLength) {
      throw new RangeError(`Cannot use a key of ${key.length} bytes`);
    }
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
    if (at < 0 || end + TAG_LENGTH > out.length) {
      throw new RangeError("Cannot seal: no room for it");
    }
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
    out.set(tag, end);
    return end + TAG_LENGTH;
  }
}

function checkNonce(nonce: Uint8Array): void {
  if (nonce.length !== NONCE_LENGTH) {
    throw new RangeError(`Cannot use a nonce of ${nonce.length} bytes`);
  }
}

/** Where a text is opened: one place for all, used again with the next one. */
function roomFor(length: number): Uint8Array {
  return length <= opened.length ? opened.subarray(0, length) : new Uint8Array(length);
}

/** The first text that is sealed under a key of zeros, as RFC 8439 or NIST's examples for GCM would have it. */
function check(name: AeadName, make: (key: Uint8Array) => Aead): void {
  const aead = make(new Uint8Array(KEY_LENGTH[name]));
  const nonce = new Uint8Array(NONCE_LENGTH);
  const sealed = new Uint8Array(16 + TAG_LENGTH);
  aead.seal(nonce, NO_BYTES, new Uint8Array(16), sealed, 0);
  const isRight = Buffer.from(sealed).toString("hex") === KNOWN_ANSWERS[name];
  const opened = isRight && aead.open(nonce, NO_BYTES, sealed);
  sealed[0]! ^= 1;
  if (opened === false || opened?.length !== 16 || aead.open(nonce, NO_BYTES, sealed)) {
    throw new Error(`OpenSSL computes another ${name}`);
  }
}

const KNOWN_ANSWERS: Readonly<Record<AeadName, string>> = {
  "aes-128-gcm": "0388dace60b6a392f328c2b971b2fe78ab6e47d42cec13bdf53a67b21257bddf",
  "aes-256-gcm": "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919",
  "chacha20-poly1305": "9f07e7be5551387a98ba977c732d080dc34a88047320f52aa2c6683ef8084d2f",
};
const KEY_LENGTH = { "aes-128-gcm": 16, "aes-256-gcm": 32, "chacha20-poly1305": 32 } as const;
const NONCE_LENGTH = 12;
const TAG_LENGTH = 16;
/** EVP_CTRL_AEAD_GET_TAG, EVP_CTRL_AEAD_SET_TAG */
const GET_TAG = 0x10;
const SET_TAG = 0x11;
const NO_BYTES = new Uint8Array(0);
/** How much came out, which is known. */
const written = new Uint32Array(1);
/** What the last call adds to a text: with these ciphers nothing. */
const last = new Uint8Array(32);
const tag = new Uint8Array(TAG_LENGTH);
/** Enough for every record. */
const opened = new Uint8Array(new ArrayBuffer(2 ** 14 + 256));
