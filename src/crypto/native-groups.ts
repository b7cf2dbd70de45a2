/**
 * Key exchange of node:crypto: X25519, P-256, P-384, ML-KEM-768.
 *
 * @module
 */
import type { KeyObject } from "node:crypto";
import * as nodeCrypto from "node:crypto";
import type { KeyPair } from "./crypto.ts";
import { plain } from "./plain.ts";
import type { DecapsulationKey, DiffieHellman, Kem } from "./primitives.ts";

/**
 * KeyObjects throughout; only how raw bytes become one differs. Where `raw-public` exists (Node from 24, Bun) a whole
 * answer takes half the time of the DER form on Bun.
 */
export function nativeX25519(): DiffieHellman {
  const raw = hasRawPublic();
  const importPublic = !raw ? importSpkiX25519 : IS_NODE ? importPemX25519 : importRawX25519;
  const exportPublic = raw ? exportRaw : exportJwkX25519;

  function keyPair(privateKey: KeyObject, publicKey: KeyObject): KeyPair {
    return { share: exportPublic(publicKey), agree: (peerShare) => agree(privateKey, peerShare) };
  }
  function agree(privateKey: KeyObject, peerShare: Uint8Array): Uint8Array | undefined {
    if (peerShare.length !== 32) return undefined;
    let secret;
    try {
      secret = nodeCrypto.diffieHellman({ privateKey, publicKey: importPublic(peerShare) });
    } catch {
      return undefined; // every library met so far refuses the all-zero result itself
    }
    return isZero(secret) ? undefined : plain(secret);
  }

  return {
    answer(peerShare) {
      const { privateKey, publicKey } = nodeCrypto.generateKeyPairSync("x25519");
      const secret = agree(privateKey, peerShare);
      return secret && { share: exportPublic(publicKey), secret };
    },
    fresh() {
      const { privateKey, publicKey } = nodeCrypto.generateKeyPairSync("x25519");
      return keyPair(privateKey, publicKey);
    },
    from(bytes) {
      if (bytes.length !== 32) {
        throw new RangeError(`Cannot use an X25519 private key of ${bytes.length} bytes`);
      }
      const key = Buffer.concat([X25519_PKCS8, bytes]);
      const privateKey = nodeCrypto.createPrivateKey({ key, format: "der", type: "pkcs8" });
      return keyPair(privateKey, nodeCrypto.createPublicKey(privateKey));
    },
  };
}

function hasRawPublic(): boolean {
  try {
    exportRaw(nodeCrypto.generateKeyPairSync("x25519").publicKey);
    return true;
  } catch {
    return false;
  }
}

/** The `raw-…` formats are newer than some runtimes, and the overloads of `export` do not name them all. */
interface RawExport {
  export(options: { format: "raw-public" }): Buffer;
}

function exportRaw(key: KeyObject): Uint8Array {
  return plain((key as unknown as RawExport).export({ format: "raw-public" }));
}

function exportJwkX25519(key: KeyObject): Uint8Array {
  return new Uint8Array(Buffer.from(key.export({ format: "jwk" }).x!, "base64url"));
}

function importRawX25519(share: Uint8Array): KeyObject {
  return nodeCrypto.createPublicKey({
    key: share as Buffer,
    format: "raw-public",
    asymmetricKeyType: "x25519",
  });
}

/**
 * Node 24 finds out that something is no KeyObject by exceptions that it catches, four of them for bytes within options,
 * none for a string: 7 µs instead of 36.
 */
function importPemX25519(share: Uint8Array): KeyObject {
  SPKI_WITH_SHARE.set(share, X25519_SPKI.length);
  const spki = SPKI_WITH_SHARE.toString("base64");
  return nodeCrypto.createPublicKey(
    `-----BEGIN PUBLIC KEY-----\n${spki}\n-----END PUBLIC KEY-----\n`,
  );
}

function importSpkiX25519(share: Uint8Array): KeyObject {
  const key = Buffer.concat([X25519_SPKI, share]);
  return nodeCrypto.createPublicKey({ key, format: "der", type: "spki" });
}

const X25519_PKCS8 = Buffer.from("302e020100300506032b656e04220420", "hex");
const X25519_SPKI = Buffer.from("302a300506032b656e032100", "hex");
const SPKI_WITH_SHARE = Buffer.concat([X25519_SPKI, new Uint8Array(32)]);
const IS_NODE = process.versions["bun"] === undefined && process.versions["deno"] === undefined;

/** Time does not depend on where a byte differs from zero. */
function isZero(bytes: Uint8Array): boolean {
  let seen = 0;
  for (let i = 0; i < bytes.length; i++) seen |= bytes[i]!;
  return seen === 0;
}

/** A P-curve. The library checks that a point is on the curve; the form is checked here: uncompressed, whole. */
export function nativeEcdh(curve: "P-256" | "P-384"): DiffieHellman {
  const { length, node } = CURVES[curve];

  function isUncompressed(share: Uint8Array): boolean {
    return share.length === 2 * length + 1 && share[0] === 0x04;
  }

  class EcdhKeyPair implements KeyPair {
    readonly share: Uint8Array;
    readonly #ecdh: nodeCrypto.ECDH;

    constructor(ecdh: nodeCrypto.ECDH) {
      this.#ecdh = ecdh;
      this.share = plain(ecdh.getPublicKey());
    }

    agree(peerShare: Uint8Array): Uint8Array | undefined {
      if (!isUncompressed(peerShare)) return undefined;
      try {
        return plain(this.#ecdh.computeSecret(peerShare));
      } catch {
        return undefined;
      }
    }
  }

  function fresh(): KeyPair {
    const ecdh = nodeCrypto.createECDH(node);
    ecdh.generateKeys();
    return new EcdhKeyPair(ecdh);
  }

  /** The same by KeyObjects: a quarter faster on Bun and Deno, a half slower on Node. */
  function answerByKeyObjects(peerShare: Uint8Array): ReturnType<DiffieHellman["answer"]> {
    if (!isUncompressed(peerShare)) return undefined;
    try {
      const key = Buffer.concat([CURVES[curve].spki, peerShare]);
      const peer = nodeCrypto.createPublicKey({ key, format: "der", type: "spki" });
      const own = nodeCrypto.generateKeyPairSync("ec", { namedCurve: curve });
      const secret = nodeCrypto.diffieHellman({ privateKey: own.privateKey, publicKey: peer });
      const spki = own.publicKey.export({ format: "der", type: "spki" });
      return { share: new Uint8Array(spki.subarray(-(2 * length + 1))), secret: plain(secret) };
    } catch {
      return undefined;
    }
  }

  function answerByEcdh(peerShare: Uint8Array): ReturnType<DiffieHellman["answer"]> {
    if (!isUncompressed(peerShare)) return undefined;
    const own = fresh();
    const secret = own.agree(peerShare);
    return secret && { share: own.share, secret };
  }

  return {
    answer: KEY_OBJECTS_ARE_CHEAP ? answerByKeyObjects : answerByEcdh,
    fresh,
    from(bytes) {
      if (bytes.length !== length) {
        throw new RangeError(`Cannot use a ${curve} private key of ${bytes.length} bytes`);
      }
      const ecdh = nodeCrypto.createECDH(node);
      try {
        ecdh.setPrivateKey(bytes);
      } catch (cause) {
        throw new RangeError(`Cannot use a ${curve} private key outside [1, n)`, { cause });
      }
      return new EcdhKeyPair(ecdh);
    },
  };
}

/** Importing and exporting a point costs 5 µs there, 70 to 110 on Node. */
const KEY_OBJECTS_ARE_CHEAP = !IS_NODE;

/** SubjectPublicKeyInfo as far as the point (RFC 5480 §2). */
export const P256_SPKI = Buffer.from("3059301306072a8648ce3d020106082a8648ce3d030107034200", "hex");

const CURVES = {
  "P-256": { length: 32, node: "prime256v1", spki: P256_SPKI },
  "P-384": {
    length: 48,
    node: "secp384r1",
    spki: Buffer.from("3076301006072a8648ce3d020106052b81040022036200", "hex"),
  },
} as const;

/** ML-KEM of Node from 24.7; undefined where `encapsulate` or the key type is missing. */
export function nativeKem(): Kem | undefined {
  const { encapsulate, decapsulate } = nodeCrypto;
  if (typeof encapsulate !== "function" || typeof decapsulate !== "function") return undefined;
  try {
    nodeCrypto.generateKeyPairSync("ml-kem-768");
  } catch {
    return undefined;
  }

  function decapsulationKey(privateKey: KeyObject, publicKey: KeyObject): DecapsulationKey {
    return {
      encapsulationKey: exportRaw(publicKey),
      decapsulate: (ciphertext) => plain(decapsulate(privateKey, ciphertext)),
    };
  }

  return {
    encapsulate(encapsulationKey, m) {
      if (m !== undefined) throw new RangeError("Cannot choose the randomness of node:crypto");
      const key = nodeCrypto.createPublicKey({
        key: encapsulationKey as Buffer,
        format: "raw-public",
        asymmetricKeyType: "ml-kem-768",
      });
      const { ciphertext, sharedKey } = encapsulate(key);
      return { ciphertext: plain(ciphertext), secret: plain(sharedKey) };
    },
    fresh() {
      const { privateKey, publicKey } = nodeCrypto.generateKeyPairSync("ml-kem-768");
      return decapsulationKey(privateKey, publicKey);
    },
    from(seed) {
      const privateKey = nodeCrypto.createPrivateKey({
        key: seed as Buffer,
        format: "raw-seed",
        asymmetricKeyType: "ml-kem-768",
      });
      return decapsulationKey(privateKey, nodeCrypto.createPublicKey(privateKey));
    },
  };
}
