/**
 * AES-GCM of the system's libIPSec_MB, Intel's Multi-Buffer Crypto for IPsec Library (Debian's package `libipsec-mb1`).
 *
 * It has the vector forms of AES (VAES with AVX-512), as OpenSSL has from 3.1 on: 16 KiB take it 1.5 µs, OpenSSL 3.0 3.8
 * and 3.5 1.7. On a processor without them it is no better than others, and not used.
 *
 * @module
 */
import { openForeign, size } from "./foreign.ts";
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

/**
 * Its major versions, the later first. What is called is exported by both, in the same form, and documented by neither:
 * so the answers are checked.
 */
const LIBRARIES = ["libIPSec_MB.so.2", "libIPSec_MB.so.1"];

/** The system's; undefined where it cannot be called, is not what it should be, or has no better AES for this processor. */
export function loadIpsecMb(): IpsecMb | undefined {
  if (!isLoaded) {
    isLoaded = true;
    for (const file of LIBRARIES) {
      try {
        loaded ??= open(file) ?? undefined;
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
 * @returns null where this processor has no vector AES: a configuration goes from machine to machine
 * @throws {RangeError} it cannot be called, or computes something else
 */
export function openIpsecMb(file: string): IpsecMb | null {
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

function open(file: string): IpsecMb | null {
  if (!isForThisProcessor(file)) return null;
  const functions = openForeign(file, SYMBOLS);
  const version = functions.imb_get_version();
  const addressOf = (memory: Uint8Array) => Number(functions.memchr(memory, memory[0]!, size(1)));
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

/** Of the C library: glibc from 2.33 on says what the processor can and the system lets it, as others do not. */
const PROCESSOR = {
  __x86_get_cpuid_feature_leaf: [["u32"], "pointer"],
  memcpy: [["buffer", "pointer", "usize"], "void"],
} as const;

/** @throws {Error} the file cannot be called */
function isForThisProcessor(file: string): boolean {
  openForeign(file, { memchr: SYMBOLS.memchr });
  try {
    const { __x86_get_cpuid_feature_leaf: featuresOf, memcpy } = openForeign(file, PROCESSOR);
    const leaf = new Uint32Array(LEAF_WORDS);
    memcpy(leaf, featuresOf(EXTENDED_FEATURES), size(leaf.byteLength));
    return hasVectorAes(leaf);
  } catch {
    return false; // another C library, or another kind of processor
  }
}

/** @param leaf `struct cpuid_feature` of extended features: EAX to EDX as CPUID has them, and again as they may be used */
export function hasVectorAes(leaf: Uint32Array): boolean {
  const [, ebx = 0, ecx = 0] = leaf.subarray(LEAF_WORDS / 2);
  return NEEDED_EBX.every((bit) => (ebx >>> bit & 1) === 1) &&
    NEEDED_ECX.every((bit) => (ecx >>> bit & 1) === 1);
}

const LEAF_WORDS = 8;
/** CPUID_INDEX_7 */
const EXTENDED_FEATURES = 1;
/** BMI2, AVX512F, AVX512DQ, AVX512_IFMA, AVX512CD, AVX512BW, AVX512VL */
const NEEDED_EBX = [8, 16, 17, 21, 28, 30, 31];
/** GFNI, VAES, VPCLMULQDQ */
const NEEDED_ECX = [8, 9, 10];
