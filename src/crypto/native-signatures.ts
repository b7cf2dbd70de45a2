/**
 * ECDSA, Ed25519 and RSA-PSS of node:crypto.
 *
 * @module
 */
import type { KeyObject } from "node:crypto";
import { constants, sign, verify } from "node:crypto";
import type { SignatureName } from "./crypto.ts";
import { plain } from "./plain.ts";
import type { Signatures } from "./signing-key.ts";

/** Curve and hash come with the scheme; signatures are DER, the library's default. */
export const nativeEcdsa: Signatures = {
  signer: (key) => (scheme, content) => plain(sign(hashOf(scheme), content, key)),
  verify: (key, scheme, content, signature) => verify(hashOf(scheme), content, key, signature),
};

export const nativeEd25519: Signatures = {
  signer: (key) => (_scheme, content) => plain(sign(null, content, key)),
  verify: (key, _scheme, content, signature) => verify(null, content, key, signature),
};

/** PSS with a salt as long as the hash. Own signatures are checked in signing-key.ts. */
export const nativeRsa: Signatures = {
  signer: (key) => (scheme, content) => {
    const hash = hashOf(scheme);
    return plain(sign(hash, content, pss(key, hash)));
  },
  verify: (key, scheme, content, signature) => {
    const hash = hashOf(scheme);
    return verify(hash, content, pss(key, hash), signature);
  },
};

function pss(key: KeyObject, hash: keyof typeof HASH_LENGTH) {
  return { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: HASH_LENGTH[hash] };
}

const HASH_LENGTH = { sha256: 32, sha384: 48, sha512: 64 } as const;

function hashOf(scheme: SignatureName): keyof typeof HASH_LENGTH {
  return scheme.slice(-6) as keyof typeof HASH_LENGTH; // every scheme but ed25519 ends in its hash
}
