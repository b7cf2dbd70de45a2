/**
 * The primitives of node:crypto, each in the form that is fast on the runtime it runs on.
 *
 * What a runtime lacks is absent: ChaCha20-Poly1305 on Bun, ML-KEM everywhere but on Node from 24.7. Results are plain
 * Uint8Arrays: a Buffer's `slice` is a view, which callers do not expect.
 *
 * @module
 */
import type { CipherGCM, DecipherGCM, KeyObject } from "node:crypto";
import * as nodeCrypto from "node:crypto";
import { bunHashing } from "./bun-hash.ts";
import type { Aead, RunningHash } from "./crypto.ts";
import { nativeEcdh, nativeKem, nativeX25519 } from "./native-groups.ts";
import { nativeHmac } from "./native-hmac.ts";
import { nativeEcdsa, nativeEd25519, nativeRsa } from "./native-signatures.ts";
import { plain } from "./plain.ts";
import type { Hash, Primitives, System } from "./primitives.ts";
import { smallArray } from "./small-array.ts";

export type NativePrimitives =
  & Omit<Primitives, "chacha20-poly1305" | "ML-KEM-768">
  & Partial<Pick<Primitives, "chacha20-poly1305" | "ML-KEM-768">>;

export function nativePrimitives(): NativePrimitives {
  const kem = nativeKem();
  return {
    system: nativeSystem,
    ...(bunHashing() ?? { hash: nativeHash, hmac: nativeHmac }),
    "aes-gcm": (key) => new AesGcm(key.length === 16 ? "aes-128-gcm" : "aes-256-gcm", key),
    ...(hasChaCha20() ? { "chacha20-poly1305": (key) => new NativeAead(CHACHA20, key) } : {}),
    x25519: nativeX25519(),
    secp256r1: nativeEcdh("P-256"),
    secp384r1: nativeEcdh("P-384"),
    ...(kem === undefined ? {} : { "ML-KEM-768": kem }),
    "ecdsa-p256": nativeEcdsa,
    "ecdsa-p384": nativeEcdsa,
    ed25519: nativeEd25519,
    rsa: nativeRsa,
  };
}

export const nativeSystem: System = {
  random(length) {
    const bytes = smallArray(length);
    if (length <= RANDOM_LIMIT) return globalThis.crypto.getRandomValues(bytes);
    for (let at = 0; at < length; at += RANDOM_LIMIT) {
      globalThis.crypto.getRandomValues(bytes.subarray(at, at + RANDOM_LIMIT));
    }
    return bytes;
  },
  equal(a, b) {
    return a.length === b.length && nodeCrypto.timingSafeEqual(a, b);
  },
};

/** getRandomValues takes no more at once. */
const RANDOM_LIMIT = 65_536;

const nativeHash: Hash = {
  digest(hash, bytes) {
    return plain(nodeCrypto.hash(hash, bytes, "buffer"));
  },
  running(hash) {
    return new NativeRunningHash(nodeCrypto.createHash(hash));
  },
};

class NativeRunningHash implements RunningHash {
  readonly #hash: nodeCrypto.Hash;

  constructor(hash: nodeCrypto.Hash) {
    this.#hash = hash;
  }

  update(bytes: Uint8Array): void {
    this.#hash.update(bytes);
  }

  digest(): Uint8Array {
    return plain(this.#hash.copy().digest());
  }

  clone(): RunningHash {
    return new NativeRunningHash(this.#hash.copy());
  }
}

type Cipher = "aes-128-gcm" | "aes-256-gcm" | "chacha20-poly1305";
const CHACHA20 = "chacha20-poly1305";
const TAG_LENGTH = 16;

function hasChaCha20(): boolean {
  return nodeCrypto.getCiphers().includes(CHACHA20);
}

/**
 * Node 24 takes 10 to 20 µs to look at a secret key given as bytes, and 2 to make a KeyObject of it. Bun and Deno are
 * faster with bytes, and a KeyObject is memory that every idle connection would carry.
 */
const KEY_OBJECTS = process.versions["bun"] === undefined &&
  process.versions["deno"] === undefined;

/**
 * Nothing but the name and the key: there are two of these per idle connection.
 *
 * No `authTagLength`: tags are of 16 bytes by default, and whoever opens is given exactly that many. Looking at an object
 * of options makes a short record three times as dear on Bun (2.3 against 0.7 µs).
 */
class NativeAead implements Aead {
  readonly #cipher: Cipher;
  readonly #key: Uint8Array | KeyObject;

  constructor(cipher: Cipher, key: Uint8Array) {
    this.#cipher = cipher;
    this.#key = KEY_OBJECTS ? nodeCrypto.createSecretKey(key) : new Uint8Array(key);
  }

  seal(
    nonce: Uint8Array,
    aad: Uint8Array,
    plaintext: Uint8Array,
    out: Uint8Array,
    at: number,
  ): number {
    const cipher = this.begin(nonce, aad);
    if (plaintext.length > 0) move(cipher.update(plaintext), out, at);
    cipher.final();
    const end = at + plaintext.length;
    out.set(cipher.getAuthTag(), end);
    return end + TAG_LENGTH;
  }

  open(nonce: Uint8Array, aad: Uint8Array, ciphertext: Uint8Array): Uint8Array | undefined {
    const end = ciphertext.length - TAG_LENGTH;
    if (end < 0) return undefined;
    const decipher = nodeCrypto.createDecipheriv(
      this.#cipher as "aes-128-gcm",
      this.#key,
      nonce,
    ) as DecipherGCM;
    decipher.setAuthTag(ciphertext.slice(end)); // a view of a short array costs more, on Bun
    if (aad.length > 0) decipher.setAAD(aad);
    const plaintext = end === 0 ? EMPTY : plain(decipher.update(part(ciphertext, end)));
    try {
      decipher.final();
    } catch {
      return undefined;
    }
    if (GIVES_BACK && end >= LONG_TEXT) {
      giveBack(lastOpened); // valid until the provider's next call
      lastOpened = plaintext;
    }
    return plaintext;
  }

  protected begin(nonce: Uint8Array, aad: Uint8Array): CipherGCM {
    // The two modes share this shape; the types of node:crypto keep them apart by name.
    const cipher = nodeCrypto.createCipheriv(
      this.#cipher as "aes-128-gcm",
      this.#key,
      nonce,
    ) as CipherGCM;
    if (aad.length > 0) cipher.setAAD(aad);
    return cipher;
  }
}

/** On Bun two calls cost less than a copy (16 KiB: 5.0 and 5.7 µs), on Node they cost more (11.0 and 9.8). */
class BunAead extends NativeAead {
  sealJoined(
    nonce: Uint8Array,
    aad: Uint8Array,
    content: Uint8Array,
    rest: Uint8Array,
    out: Uint8Array,
    at: number,
  ): number {
    const cipher = this.begin(nonce, aad);
    const restAt = at + content.length;
    move(cipher.update(content), out, at);
    if (rest.length === 1) out[restAt] = cipher.update(rest)[0]!; // a content type and no padding
    else move(cipher.update(rest), out, restAt);
    cipher.final();
    const end = restAt + rest.length;
    out.set(cipher.getAuthTag(), end);
    return end + TAG_LENGTH;
  }
}

const AesGcm = process.versions["bun"] === undefined ? NativeAead : BunAead;

/** Copies `result`, which nobody else has, to `out` at `at`. */
function move(result: Uint8Array, out: Uint8Array, at: number): void {
  out.set(result, at);
  if (!GIVES_BACK || result.length < LONG_TEXT) return;
  giveBack(lastSealed);
  lastSealed = result;
}

/**
 * On Bun each result is memory of its own, whose size its collector notices late. Given back by hand it is soon used
 * again, while it is still in the processor's cache, and few collections are needed.
 *
 * The last one is kept until there is another: an allocator that has everything back returns it to the system.
 */
function giveBack(result: Uint8Array | undefined): void {
  if (result === undefined || result.byteOffset !== 0) return;
  const buffer = result.buffer as ArrayBuffer;
  if (buffer.byteLength - result.length <= CIPHER_BLOCK) buffer.transfer(0); // which leaves it empty
}

const GIVES_BACK = process.versions["bun"] !== undefined;
let lastSealed: Uint8Array | undefined;
let lastOpened: Uint8Array | undefined;
/** A result has room for what a cipher may hold back. */
const CIPHER_BLOCK = 16;
/** Shorter ones live among the collector's objects, and asking for their buffer would move them out. */
const LONG_TEXT = 4096;

/** The first `end` bytes: a copy where they are few (plain.ts says why), else a view. */
function part(bytes: Uint8Array, end: number): Uint8Array {
  return end <= 1024 ? bytes.slice(0, end) : bytes.subarray(0, end);
}

const EMPTY = new Uint8Array(0);
