/**
 * The system's OpenSSL 3.
 *
 * Its ciphers write where they are told to. What node:crypto returns is memory of its own, for each of the five calls a
 * record takes, and making, filling and collecting that costs Bun as much as the encryption; Deno's AES takes 92 µs
 * for 16 KiB, OpenSSL's 4.
 *
 * @module
 */
import { type ForeignFunctions, openForeign, type Symbols } from "./foreign.ts";

const SYMBOLS = {
  OPENSSL_version_major: [[], "u32"],
  OPENSSL_version_minor: [[], "u32"],
  OPENSSL_version_patch: [[], "u32"],
  OPENSSL_init_crypto: [["u64", "pointer"], "i32"],
  EVP_CIPHER_fetch: [["pointer", "buffer", "pointer"], "pointer"],
  EVP_CIPHER_CTX_new: [[], "pointer"],
  EVP_CIPHER_CTX_ctrl: [["pointer", "i32", "i32", "buffer"], "i32"],
  /** Of one signature, three functions: here each has the one of its use. This one takes the cipher, */
  EVP_CipherInit_ex: [["pointer", "pointer", "pointer", "pointer", "pointer", "i32"], "i32"],
  EVP_EncryptInit_ex: [["pointer", "pointer", "pointer", "buffer", "buffer"], "i32"],
  EVP_DecryptInit_ex: [["pointer", "pointer", "pointer", "buffer", "buffer"], "i32"],
  /** and this one additional data, which goes nowhere. */
  EVP_CipherUpdate: [["pointer", "pointer", "buffer", "buffer", "i32"], "i32"],
  EVP_EncryptUpdate: [["pointer", "buffer", "buffer", "buffer", "i32"], "i32"],
  EVP_DecryptUpdate: [["pointer", "buffer", "buffer", "buffer", "i32"], "i32"],
  EVP_EncryptFinal_ex: [["pointer", "buffer", "buffer"], "i32"],
  EVP_DecryptFinal_ex: [["pointer", "buffer", "buffer"], "i32"],
  BN_new: [[], "pointer"],
  BN_bin2bn: [["buffer", "i32", "pointer"], "pointer"],
  BN_clear: [["pointer"], "void"],
  BN_is_zero: [["pointer"], "i32"],
  BN_cmp: [["pointer", "pointer"], "i32"],
  EC_KEY_new_by_curve_name: [["i32"], "pointer"],
  EC_KEY_get0_group: [["pointer"], "pointer"],
  EC_KEY_get0_public_key: [["pointer"], "pointer"],
  EC_KEY_set_private_key: [["pointer", "pointer"], "i32"],
  EC_KEY_generate_key: [["pointer"], "i32"],
  EC_GROUP_get0_order: [["pointer"], "pointer"],
  EC_POINT_new: [["pointer"], "pointer"],
  EC_POINT_mul: [["pointer", "pointer", "pointer", "pointer", "pointer", "pointer"], "i32"],
  EC_POINT_oct2point: [["pointer", "pointer", "buffer", "usize", "pointer"], "i32"],
  EC_POINT_point2oct: [["pointer", "pointer", "i32", "buffer", "usize", "pointer"], "usize"],
  ECDH_compute_key: [["buffer", "usize", "pointer", "pointer", "pointer"], "i32"],
  ECDSA_sign: [["i32", "buffer", "i32", "buffer", "buffer", "pointer"], "i32"],
  /** Private keys, and what one is made of, are numbers: some come in a buffer. */
  EVP_PKEY_new_raw_private_key: [["i32", "pointer", "buffer", "usize"], "u64"],
  EVP_PKEY_new_raw_public_key: [["i32", "pointer", "buffer", "usize"], "pointer"],
  EVP_PKEY_set1_encoded_public_key: [["pointer", "buffer", "usize"], "i32"],
  EVP_PKEY_todata: [["u64", "i32", "buffer"], "i32"],
  EVP_PKEY_fromdata_init: [["pointer"], "i32"],
  EVP_PKEY_fromdata: [["pointer", "buffer", "i32", "u64"], "i32"],
  EVP_PKEY_free: [["u64"], "void"],
  EVP_PKEY_CTX_new: [["u64", "pointer"], "pointer"],
  EVP_PKEY_CTX_free: [["pointer"], "void"],
  EVP_PKEY_derive_init: [["pointer"], "i32"],
  EVP_PKEY_derive_set_peer_ex: [["pointer", "pointer", "i32"], "i32"],
  EVP_PKEY_derive: [["pointer", "buffer", "buffer"], "i32"],
  OSSL_PARAM_locate: [["u64", "buffer"], "pointer"],
  OSSL_PARAM_set_octet_string: [["pointer", "buffer", "usize"], "i32"],
  SHA256_Init: [["buffer"], "i32"],
  SHA256_Update: [["buffer", "buffer", "usize"], "i32"],
  SHA256_Final: [["buffer", "buffer"], "i32"],
} as const satisfies Symbols;

export type LibcryptoFunctions = ForeignFunctions<typeof SYMBOLS>;

export interface Libcrypto {
  /** "3.0.19" */
  readonly version: string;
  readonly functions: LibcryptoFunctions;
}

/** Of OpenSSL 3, wherever the system keeps it: within a major version its functions stay what they are. */
export const LIBCRYPTO = "libcrypto.so.3";

/**
 * @param file a name that the system looks up, or a path
 * @throws {Error} this runtime can call no such library, or may not, or the file is none
 */
export function openLibcrypto(file: string = LIBCRYPTO): Libcrypto {
  const functions = openForeign(file, SYMBOLS);
  const version = [
    functions.OPENSSL_version_major(),
    functions.OPENSSL_version_minor(),
    functions.OPENSSL_version_patch(),
  ].join(".");
  // No file of configuration, which could put other ciphers in place of these; no hook on the process's end.
  if (functions.OPENSSL_init_crypto(NO_LOAD_CONFIG + NO_ATEXIT, null) !== 1) {
    throw new Error(`OpenSSL ${version} does not start`);
  }
  return { version, functions };
}

const NO_LOAD_CONFIG = 0x80;
const NO_ATEXIT = 0x80000;
