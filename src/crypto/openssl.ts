/**
 * The primitives of the system's OpenSSL.
 *
 * @module
 */
import { LIBCRYPTO, openLibcrypto } from "./libcrypto.ts";
import { opensslAeads } from "./openssl-aead.ts";
import { OpensslP256 } from "./openssl-p256.ts";
import { OpensslSha256 } from "./openssl-sha256.ts";
import { OpensslX25519 } from "./openssl-x25519.ts";
import type { Primitives } from "./primitives.ts";
import type { Signatures } from "./signing-key.ts";

/** Its P-384 is slower than others'; ML-KEM it has from 3.5 on. */
export interface OpensslPrimitives
  extends Pick<Primitives, "aes-gcm" | "chacha20-poly1305" | "secp256r1"> {
  readonly x25519: OpensslX25519;
  readonly sha256: OpensslSha256;
  /** Signing alone. */
  readonly "ecdsa-p256": Omit<Signatures, "verify"> & Required<Pick<Signatures, "signOnce">>;
}

export interface Openssl {
  /** "openssl 3.0.19" */
  readonly name: string;
  readonly primitives: OpensslPrimitives;
}

/** The system's; undefined where it cannot be called, or is not what it should be. */
export function loadOpenssl(): Openssl | undefined {
  if (!isLoaded) {
    isLoaded = true;
    try {
      loaded = openOpenssl();
    } catch {
      // The other providers have all that it has.
    }
  }
  return loaded;
}

let isLoaded = false;
let loaded: Openssl | undefined;

/**
 * @param file of libcrypto; default: the system's
 * @throws {RangeError} it cannot be called, or computes something else
 */
export function openOpenssl(file: string = LIBCRYPTO): Openssl {
  try {
    const library = openLibcrypto(file);
    const aeads = opensslAeads(library);
    const sha256 = new OpensslSha256(library);
    const p256 = new OpensslP256(library, sha256);
    return {
      name: `openssl ${library.version}`,
      primitives: {
        "aes-gcm": (key) => aeads[key.length === 16 ? "aes-128-gcm" : "aes-256-gcm"](key),
        "chacha20-poly1305": aeads["chacha20-poly1305"],
        x25519: new OpensslX25519(library),
        sha256,
        secp256r1: p256,
        "ecdsa-p256": p256.signatures,
      },
    };
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new RangeError(
      `Cannot call ${file} of OpenSSL 3: ${reason}. Name another file (openssl under [crypto], ` +
        "or SOTTO_OPENSSL), or do without: openssl = false, or SOTTO_OPENSSL=off",
      { cause },
    );
  }
}
