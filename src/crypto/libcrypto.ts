/**
 * The system's OpenSSL 3, called through the foreign function interface of Bun or Deno.
 *
 * Its ciphers write where they are told to. What node:crypto returns is memory of its own, for each of the five calls a
 * record takes, and making, filling and collecting that costs Bun as much as the encryption; Deno's AES takes 92 µs
 * for 16 KiB, OpenSSL's 4.
 *
 * C checks no bounds: whoever calls one of these functions has made sure that its arrays are as long as it takes them for.
 * Nothing here calls back, or is kept by OpenSSL beyond the call.
 *
 * @module
 */
import process from "node:process";

/** Each symbol's parameters and its result. A buffer may be null where OpenSSL allows that; a pointer is OpenSSL's own. */
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
  EVP_PKEY_new_raw_private_key: [["i32", "pointer", "buffer", "usize"], "pointer"],
  EVP_PKEY_new_raw_public_key: [["i32", "pointer", "buffer", "usize"], "pointer"],
  EVP_PKEY_get_raw_public_key: [["pointer", "buffer", "buffer"], "i32"],
  EVP_PKEY_free: [["pointer"], "void"],
  EVP_PKEY_CTX_new: [["pointer", "pointer"], "pointer"],
  EVP_PKEY_CTX_free: [["pointer"], "void"],
  EVP_PKEY_derive_init: [["pointer"], "i32"],
  EVP_PKEY_derive_set_peer: [["pointer", "pointer"], "i32"],
  EVP_PKEY_derive: [["pointer", "buffer", "buffer"], "i32"],
  SHA256: [["buffer", "usize", "buffer"], "pointer"],
} as const satisfies Record<string, Signature>;

type Type = "pointer" | "buffer" | "i32" | "u32" | "u64" | "usize" | "void";
type Signature = readonly [parameters: readonly Type[], result: Type];

/** Something of OpenSSL's. Only where it lies is known, in the runtime's own form. */
export type Pointer = { readonly of: "OpenSSL" };
type Value<T extends Type> = T extends "pointer" ? Pointer | null
  : T extends "buffer" ? Uint8Array | Uint32Array | BigUint64Array
  : T extends "void" ? void
  : T extends "usize" ? number | bigint
  : number;
type Values<T extends readonly Type[]> = { [I in keyof T]: Value<T[I]> };

export type LibcryptoFunctions = {
  readonly [N in keyof typeof SYMBOLS]: (
    ...values: Values<(typeof SYMBOLS)[N][0]>
  ) => Value<(typeof SYMBOLS)[N][1]>;
};

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
  const open = process.versions["bun"] !== undefined
    ? openForBun
    : process.versions["deno"] !== undefined
    ? openForDeno
    : undefined;
  if (open === undefined) throw new Error("Only Bun and Deno can call it");
  if (process.platform !== "linux") throw new Error("It is only known on Linux");
  const functions = open(file);
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

/** What we use of bun:ffi. */
interface BunFfi {
  readonly dlopen: (
    file: string,
    symbols: Record<string, { readonly args: readonly string[]; readonly returns: string }>,
  ) => { readonly symbols: unknown };
}

function openForBun(file: string): LibcryptoFunctions {
  const { dlopen } = process.getBuiltinModule("bun:ffi") as BunFfi;
  const named = (type: Type) => type === "pointer" ? "ptr" : type;
  const symbols = Object.entries(SYMBOLS).map(([name, [parameters, result]]) => [
    name,
    { args: parameters.map(named), returns: named(result) },
  ]);
  return dlopen(file, Object.fromEntries(symbols)).symbols as LibcryptoFunctions;
}

/** What we use of Deno's global. */
interface DenoFfi {
  readonly permissions: {
    querySync(what: { readonly name: "ffi"; readonly path?: string }): {
      readonly state: string;
      /** Granted, but for some files. */
      readonly partial?: boolean;
    };
  };
  dlopen(
    file: string,
    symbols: Record<string, { readonly parameters: readonly string[]; readonly result: string }>,
  ): { readonly symbols: unknown };
}

function openForDeno(file: string): LibcryptoFunctions {
  const { Deno } = globalThis as unknown as { readonly Deno: DenoFfi };
  // Without permission it would ask on the terminal. With one that names files, it takes a name for a path, and looks
  // where it was started.
  const isPath = file.includes("/");
  const { state, partial } = Deno.permissions.querySync(
    isPath ? { name: "ffi", path: file } : { name: "ffi" },
  );
  if (state !== "granted" || (partial === true && !isPath)) {
    throw new Error("It may not be called: Deno wants --allow-ffi for that");
  }
  const symbols = Object.entries(SYMBOLS).map(([name, [parameters, result]]) => [
    name,
    { parameters, result },
  ]);
  return Deno.dlopen(file, Object.fromEntries(symbols)).symbols as LibcryptoFunctions;
}
