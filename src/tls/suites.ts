/**
 * Code points of the wire against the names that crypto knows.
 * @module
 */
import type { GroupName, SignatureName, Suite } from "../crypto/crypto.ts";
import { CipherSuite, NamedGroup, SignatureScheme } from "./wire/code-points.ts";

/** RFC 9846 Appendix B.4: every suite that sotto speaks. */
export const SUITES: ReadonlyMap<number, Suite> = new Map<number, Suite>([
  [CipherSuite.TLS_AES_128_GCM_SHA256, {
    aead: "aes-128-gcm",
    hash: "sha256",
    keyLength: 16,
    hashLength: 32,
  }],
  [CipherSuite.TLS_AES_256_GCM_SHA384, {
    aead: "aes-256-gcm",
    hash: "sha384",
    keyLength: 32,
    hashLength: 48,
  }],
  [CipherSuite.TLS_CHACHA20_POLY1305_SHA256, {
    aead: "chacha20-poly1305",
    hash: "sha256",
    keyLength: 32,
    hashLength: 32,
  }],
]);

/** RFC 9846 §4.3.7, RFC 10024: every group that sotto agrees keys in. */
export const GROUP_NAMES: ReadonlyMap<number, GroupName> = new Map<number, GroupName>([
  [NamedGroup.X25519MLKEM768, "X25519MLKEM768"],
  [NamedGroup.x25519, "x25519"],
  [NamedGroup.secp256r1, "secp256r1"],
  [NamedGroup.secp384r1, "secp384r1"],
]);

/** RFC 9846 §4.3.3: what a CertificateVerify can carry. */
export const SCHEME_NAMES: ReadonlyMap<number, SignatureName> = new Map<number, SignatureName>([
  [SignatureScheme.ecdsa_secp256r1_sha256, "ecdsa_secp256r1_sha256"],
  [SignatureScheme.ecdsa_secp384r1_sha384, "ecdsa_secp384r1_sha384"],
  [SignatureScheme.rsa_pss_rsae_sha256, "rsa_pss_rsae_sha256"],
  [SignatureScheme.rsa_pss_rsae_sha384, "rsa_pss_rsae_sha384"],
  [SignatureScheme.rsa_pss_rsae_sha512, "rsa_pss_rsae_sha512"],
  [SignatureScheme.rsa_pss_pss_sha256, "rsa_pss_pss_sha256"],
  [SignatureScheme.rsa_pss_pss_sha384, "rsa_pss_pss_sha384"],
  [SignatureScheme.rsa_pss_pss_sha512, "rsa_pss_pss_sha512"],
  [SignatureScheme.ed25519, "ed25519"],
]);

/** The code point of a signature scheme: the way back through `SCHEME_NAMES`. */
export function schemeCode(name: SignatureName): number {
  return SignatureScheme[name];
}
