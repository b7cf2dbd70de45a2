/**
 * The private key of a P-256 certificate, kept as the one number that the certificate does not say.
 *
 * PKCS#8 repeats the public key and what curve it is on: 106 of 138 bytes.
 *
 * @module
 */
import type { P256Numbers, PrivateKeyBlock } from "../crypto/crypto.ts";
import { fromHex } from "./hex.ts";

/** As it is kept: views of what has them. */
export interface P256KeyParts {
  /** Big-endian. */
  readonly scalar: Uint8Array;
  /** Where in the certificate the public key lies, an uncompressed point. */
  readonly pointAt: number;
}

export const SCALAR_LENGTH = 32;
const POINT_LENGTH = 65;

/** Undefined: it is another kind of key, is written otherwise, or belongs to another certificate. */
export function splitP256Key(key: PrivateKeyBlock, leaf: Uint8Array): P256KeyParts | undefined {
  const { label, der } = key;
  if (label !== LABEL || der.length !== LENGTH) return undefined;
  if (!isAt(der, 0, HEAD) || !isAt(der, HEAD.length + SCALAR_LENGTH, MIDDLE)) return undefined;
  const point = der.subarray(LENGTH - POINT_LENGTH);
  for (let at = 0; at + POINT_LENGTH <= leaf.length; at++) {
    if (!isAt(leaf, at, point)) continue;
    return { scalar: der.subarray(HEAD.length, HEAD.length + SCALAR_LENGTH), pointAt: at };
  }
  return undefined;
}

/** Written out when it is asked for: most of very many are not, most of the time. */
export class P256Key implements PrivateKeyBlock, P256Numbers {
  readonly label = LABEL;
  readonly scalar: Uint8Array;
  readonly #leaf: Uint8Array;
  readonly #pointAt: number;

  /** @throws {RangeError} they are no parts of a key with this certificate */
  constructor({ scalar, pointAt }: P256KeyParts, leaf: Uint8Array) {
    if (scalar.length !== SCALAR_LENGTH || pointAt + POINT_LENGTH > leaf.length) {
      throw new RangeError("a key that lies elsewhere");
    }
    this.scalar = scalar;
    this.#leaf = leaf;
    this.#pointAt = pointAt;
  }

  /** Another array each time. */
  get der(): Uint8Array {
    const der = new Uint8Array(LENGTH);
    der.set(HEAD);
    der.set(this.scalar, HEAD.length);
    der.set(MIDDLE, HEAD.length + SCALAR_LENGTH);
    der.set(this.point, LENGTH - POINT_LENGTH);
    return der;
  }

  get point(): Uint8Array {
    return this.#leaf.subarray(this.#pointAt, this.#pointAt + POINT_LENGTH);
  }

  get p256(): P256Numbers {
    return this;
  }
}

function isAt(bytes: Uint8Array, at: number, part: Uint8Array): boolean {
  for (let i = 0; i < part.length; i++) if (bytes[at + i] !== part[i]) return false;
  return true;
}

const LABEL = "PRIVATE KEY";
/**
 * PrivateKeyInfo (RFC 5208 §5) of id-ecPublicKey and prime256v1 with an ECPrivateKey (RFC 5915 §3) that has the public
 * key and no parameters, as far as the private key.
 */
const HEAD = fromHex(
  "308187" + "020100" + "301306072a8648ce3d020106082a8648ce3d030107" + "046d306b020101" + "0420",
);
/** From there as far as the public key. */
const MIDDLE = fromHex("a144034200");
const LENGTH = HEAD.length + SCALAR_LENGTH + MIDDLE.length + POINT_LENGTH;
