/**
 * AES-GCM of the system's libIPSec_MB, Intel's Multi-Buffer Crypto for IPsec Library (Debian's package `libipsec-mb1`).
 *
 * It has the vector forms of AES (VAES with AVX-512), as OpenSSL has from 3.1 on: 16 KiB take it 1.5 µs, OpenSSL 3.0 3.8
 * and 3.5 1.7. On a processor without them it is no better than others, and not used.
 *
 * @module
 */
import { openForeign } from "./foreign.ts";
import { checkedCipher } from "./ipsec-mb-aead.ts";
import type { Primitives } from "./primitives.ts";

const IN = ["buffer", "usize"] as const;
const KEY_AND_CONTEXT = ["buffer", "buffer"] as const;
const WHOLE = [
  [...KEY_AND_CONTEXT, "buffer", ...IN, "buffer", ...IN, "buffer", "usize"],
  "void",
] as const;
const PRE = [["buffer", "buffer"], "void"] as const;
const INIT = [[...KEY_AND_CONTEXT, "buffer", ...IN], "void"] as const;
const UPDATE = [[...KEY_AND_CONTEXT, "buffer", ...IN], "void"] as const;
const FINALIZE = [[...KEY_AND_CONTEXT, "buffer", "usize"], "void"] as const;

/** The library has each of them for several kinds of processors. */
const SYMBOLS = {
  /** The C library's, on which this one rests. Its result is where a buffer lies, as a number. */
  memchr: [["buffer", "i32", "usize"], "usize"],
  imb_get_version: [[], "u32"],
  imb_get_feature_flags: [[], "usize"],
  aes_gcm_pre_128_vaes_avx512: PRE,
  aes_gcm_enc_128_vaes_avx512: WHOLE,
  aes_gcm_dec_128_vaes_avx512: WHOLE,
  aes_gcm_init_128_vaes_avx512: INIT,
  aes_gcm_enc_128_update_vaes_avx512: UPDATE,
  aes_gcm_enc_128_finalize_vaes_avx512: FINALIZE,
  aes_gcm_pre_256_vaes_avx512: PRE,
  aes_gcm_enc_256_vaes_avx512: WHOLE,
  aes_gcm_dec_256_vaes_avx512: WHOLE,
  aes_gcm_init_256_vaes_avx512: INIT,
  aes_gcm_enc_256_update_vaes_avx512: UPDATE,
  aes_gcm_enc_256_finalize_vaes_avx512: FINALIZE,
} as const;

export interface IpsecMb {
  /** "ipsec-mb 1.3.0" */
  readonly name: string;
  readonly primitives: Pick<Primitives, "aes-gcm">;
}

/** Its major versions, the later first; what is called is the same in both. */
const LIBRARIES = ["libIPSec_MB.so.2", "libIPSec_MB.so.1"];

/** The system's; undefined where it cannot be called, is not what it should be, or has no better AES for this processor. */
export function loadIpsecMb(): IpsecMb | undefined {
  if (!isLoaded) {
    isLoaded = true;
    for (const file of LIBRARIES) {
      try {
        loaded ??= open(file);
      } catch {
        // Another one, or OpenSSL.
      }
    }
  }
  return loaded;
}

let isLoaded = false;
let loaded: IpsecMb | undefined;

/**
 * @param file a path
 * @throws {RangeError} it cannot be called, has no better AES for this processor, or computes something else
 */
export function openIpsecMb(file: string): IpsecMb {
  try {
    return open(file);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new RangeError(
      `Cannot call ${file} of libIPSec_MB: ${reason}. Name another file (ipsec_mb under [crypto], or ` +
        "SOTTO_IPSEC_MB), or do without: ipsec_mb = false, or SOTTO_IPSEC_MB=off",
      { cause },
    );
  }
}

function open(file: string): IpsecMb {
  const functions = openForeign(file, SYMBOLS);
  if ((BigInt(functions.imb_get_feature_flags()) & NEEDED_FEATURES) !== NEEDED_FEATURES) {
    throw new Error("This processor has no VAES with AVX-512");
  }
  const version = functions.imb_get_version();
  const addressOf = (memory: Uint8Array) => Number(functions.memchr(memory, memory[0]!, 1));
  const ciphers = {
    "aes-128-gcm": checkedCipher("aes-128-gcm", {
      pre: functions.aes_gcm_pre_128_vaes_avx512,
      seal: functions.aes_gcm_enc_128_vaes_avx512,
      open: functions.aes_gcm_dec_128_vaes_avx512,
      init: functions.aes_gcm_init_128_vaes_avx512,
      sealPart: functions.aes_gcm_enc_128_update_vaes_avx512,
      sealEnd: functions.aes_gcm_enc_128_finalize_vaes_avx512,
      addressOf,
    }),
    "aes-256-gcm": checkedCipher("aes-256-gcm", {
      pre: functions.aes_gcm_pre_256_vaes_avx512,
      seal: functions.aes_gcm_enc_256_vaes_avx512,
      open: functions.aes_gcm_dec_256_vaes_avx512,
      init: functions.aes_gcm_init_256_vaes_avx512,
      sealPart: functions.aes_gcm_enc_256_update_vaes_avx512,
      sealEnd: functions.aes_gcm_enc_256_finalize_vaes_avx512,
      addressOf,
    }),
  };
  return {
    name: `ipsec-mb ${version >>> 16}.${(version >>> 8) & 0xff}.${version & 0xff}`,
    primitives: {
      "aes-gcm": (key) => ciphers[key.length === 16 ? "aes-128-gcm" : "aes-256-gcm"].aead(key),
    },
  };
}

/** IMB_CPUFLAGS_AVX512_T2 but for what these functions do without, as intel-ipsec-mb.h numbers them. */
const NEEDED_FEATURES = [
  1, // AESNI
  2, // PCLMULQDQ
  7, // AVX512F
  8, // AVX512DQ
  9, // AVX512CD
  10, // AVX512BW
  11, // AVX512VL
  12, // VAES
  13, // VPCLMULQDQ
  16, // GFNI
  17, // AVX512_IFMA
  18, // BMI2
].reduce((flags, bit) => flags | (1n << BigInt(bit)), 0n);
