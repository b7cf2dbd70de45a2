/**
 * Which provider does what on which runtime. The table comes from `bench/crypto.bench.ts` and `npm run bench handshake`.
 *
 * @module
 */
import { aeadBySize } from "./aead-by-size.ts";
import { composeCrypto } from "./compose.ts";
import type { AeadName, Crypto } from "./crypto.ts";
import { type IpsecMb, loadIpsecMb } from "./ipsec-mb.ts";
import type { NativePrimitives } from "./native.ts";
import { nativePrimitives } from "./native.ts";
import { noblePrimitives } from "./noble.ts";
import type { Openssl, OpensslPrimitives } from "./openssl.ts";
import { loadOpenssl, openOpenssl } from "./openssl.ts";
import type { Primitives, Steps } from "./primitives.ts";
import type { Signatures } from "./signing-key.ts";
import type { WasmModule, WasmVariant } from "./wasm-module.ts";
import { loadWasm } from "./wasm-module.ts";
import type { WasmPrimitives } from "./wasm.ts";
import { wasmPrimitives } from "./wasm.ts";

export const PROVIDER_NAMES = ["native", "openssl", "wasm", "noble"] as const;
export type ProviderName = (typeof PROVIDER_NAMES)[number];

export function isProviderName(name: string): name is ProviderName {
  return (PROVIDER_NAMES as readonly string[]).includes(name);
}

/**
 * The crypto of this runtime.
 *
 * @param runtime "bun", "deno" or "node"; by default the one this runs on
 * @param force one provider for all it has. What `native` lacks then comes from `noble`, what others lack from `native`.
 * @param module the WebAssembly to use, by default this runtime's; null: none
 * @param openssl by default the system's; null: none
 * @param ipsecMb likewise, for AES-GCM where nothing is forced
 * @throws {RangeError} `wasm` or `openssl` is forced where it cannot be had
 */
export function chooseCrypto(
  {
    runtime = runtimeName(),
    force,
    module = force === "noble" ? null : loadWasm() ?? null,
    openssl = force === "openssl"
      ? openOpenssl()
      : force === undefined
      ? loadOpenssl() ?? null
      : null,
    ipsecMb = force === undefined ? loadIpsecMb() ?? null : null,
  }: {
    readonly runtime?: string;
    readonly force?: ProviderName;
    readonly module?: WasmModule | null;
    readonly openssl?: Openssl | null;
    readonly ipsecMb?: IpsecMb | null;
  } = {},
): Crypto {
  const noble = noblePrimitives();
  if (force === "noble") return composeCrypto("noble", noble);
  const native = nativePrimitives();
  const base = { ...noble, ...native };
  const baseName = nameOf(native, noble);
  if (force === "native") return composeCrypto(baseName, base, AEADS[runtime]);
  if (force === "openssl") {
    if (openssl === null) {
      throw new RangeError(
        "The provider of crypto is openssl, and openssl is off: take one of the two out",
      );
    }
    const { name, primitives } = openssl;
    const all = withOpenssl(base, primitives, Object.keys(primitives));
    return composeCrypto(`${name} + ${baseName}`, all);
  }
  const wasm = module === null ? undefined : wasmPrimitives(module);
  const wasmName = `wasm (${module?.variant})`;
  if (force === "wasm") {
    if (wasm === undefined) throw new RangeError("This runtime runs no WebAssembly");
    return composeCrypto(`${wasmName} + native`, { ...native, ...wasm }, AEADS[runtime]);
  }
  const names = [wasm === undefined ? baseName : `native + ${wasmName}`];
  let best = wasm === undefined ? base : mixed(runtime, native, wasm, module!.variant);
  const fromOpenssl = OPENSSL_TABLE[runtime];
  if (openssl !== null && fromOpenssl !== undefined) {
    names.push(openssl.name);
    const own = openssl.primitives;
    const primitives = module?.variant === "wide" ? withFasterShares(own, wasm!) : own;
    best = withOpenssl(best, primitives, fromOpenssl);
  }
  if (ipsecMb !== null) {
    names.push(ipsecMb.name);
    best = { ...best, ...ipsecMb.primitives };
  }
  const isAesNative = names.length === 1;
  return composeCrypto(names.join(" + "), best, isAesNative ? AEADS[runtime] : undefined);
}

function withOpenssl(
  others: Primitives & Steps,
  openssl: OpensslPrimitives,
  names: readonly string[],
): Primitives & Steps {
  const { "ecdsa-p256": ecdsa, sha256, ...whole } = openssl;
  const taken = Object.entries(whole).filter(([name]) => names.includes(name));
  const { schedule, hpkeSetup, answerHybrid, ...primitives } = others;
  return {
    ...primitives,
    // Steps have primitives of their own in them.
    ...(names.includes("x25519") ? {} : { hpkeSetup, answerHybrid }),
    ...(names.includes("sha256") ? sha256.among(others) : { schedule }),
    ...Object.fromEntries(taken) as Partial<typeof whole>,
    ...(names.includes("ecdsa-p256")
      ? { "ecdsa-p256": { ...ecdsa, verify: others["ecdsa-p256"].verify } }
      : { "ecdsa-p256": { ...others["ecdsa-p256"], signOnce: ecdsa.signOnce } }),
  };
}

/**
 * A key share is a multiple of the base point, of which WebAssembly has a table, and OpenSSL none: 19 µs against 34
 * (narrow: 35).
 */
function withFasterShares(openssl: OpensslPrimitives, wasm: WasmPrimitives): OpensslPrimitives {
  return { ...openssl, x25519: openssl.x25519.sharedBy(wasm.x25519.shareOf) };
}

/**
 * What is better with OpenSSL. µs, the best of the others / OpenSSL 3.0 (3.5) / libIPSec_MB, which has vector AES alone:
 *
 *                                      Bun 1.4, wide         Deno 2.9, wide
 *     AES-128-GCM, 64 B                0.8 / 0.5 (0.3) / 0.1  3.9 / 0.5 / 0.4
 *     AES-128-GCM, 16 KiB              4.3 / 3.9 (1.7) / 1.5   92 / 4.2 / 1.8
 *     ChaCha20-Poly1305, 64 B          0.6 / 0.6 (0.5)        0.6 / 0.7
 *     ChaCha20-Poly1305, 16 KiB         54 / 5.1 (4.9)         15 / 5.2
 *     X25519 answer                     45 / 68                78 / 57
 *     SHA-256, 200 B                                          1.2 / 0.4
 *     schedule, both halves                                    18 / 11
 *     P-256 answer                      60 / 66               272 / 66
 *     P-256 sign                        18 / 21                77 / 25
 *     … with a key that is not ready    32 / 21
 *
 * On Bun most of the difference is what node:crypto leaves behind, and does not show here: a handshake with a request takes
 * 0.96 of what it took without, a download 1.00 (0.75). A key that signs for the first time does so with OpenSSL, which
 * wants no more than its scalar: node:crypto takes 12 µs to read it. On Deno X25519 is OpenSSL's, with shares from
 * WebAssembly: alone it takes 70 µs, with or without the flag for wide arithmetic.
 */
const OPENSSL_TABLE: Readonly<Record<string, readonly (keyof OpensslPrimitives)[]>> = {
  bun: ["aes-gcm", "chacha20-poly1305"],
  deno: ["sha256", "aes-gcm", "chacha20-poly1305", "x25519", "secp256r1", "ecdsa-p256"],
};

function nameOf(native: NativePrimitives, noble: Primitives): string {
  return Object.keys(noble).every((name) => name in native) ? "native" : "native + noble";
}

/**
 * What is better in WebAssembly than native, by runtime and variant; what is native nowhere is WebAssembly too, whatever
 * stands here. µs, native / WebAssembly:
 *
 *                                   Bun 1.4, wide    Deno 2.9, wide   narrow    Node 24, narrow
 *     schedule, both halves           6.7 / 14         62 / 20        62 / 15     36 / 13
 *     the rest of it, 7 HMACs         2.1 / 5.7        20 / 8         20 / 8      15 / 5
 *     transcript, 6 hashes            3.2 / 8.7       8.6 / 13       8.6 / 13    7.3 / 12
 *     X25519 answer                    45 / 74         94 / 74        94 / 137    95 / 134
 *     HPKE X25519, setup and open      39 / 66         98 / 78        98 / 127    80 / 111
 *     P-256 answer                     60 / 321       543 / 272      543 / 733   138 / 720
 *     P-256 sign                       18 / 70        608 / 77       608 / 168    23 / 152
 *     P-256 verify                     56 / 268       664 / 250      664 / 678   142 / 750
 *     P-384 sign                      478 / 218      1475 / 195     1475 / 609   766 / 550
 *     P-384 answer                    908 / 1038     1377 / 850     1377 / 3232 2507 / 2795
 *     Ed25519 sign                     14 / 39         21 / 50        21 / 92     33 / 65
 *     ML-KEM-768 encapsulate           no / 44         no / 42        no / 42     35 / 42
 *     ChaCha20-Poly1305, 64 B          no / 0.6       2.4 / 0.5      2.4 / 0.5   3.3 / 0.6
 *
 * The curves of NIST are not audited: they are taken where they save hundreds of µs that a server spends often. On Bun
 * and Node no private key is WebAssembly's. Deno's native hashes are slower in a server than here: each is a stream of
 * node's with buffers of its own, whose garbage costs 5 to 8 % of a handshake.
 */
type Better = keyof WasmPrimitives | "ecdsa-p256 sign" | "ecdsa-p384 sign";
const TABLE: Readonly<Record<string, Readonly<Record<WasmVariant, readonly Better[]>>>> = {
  bun: { wide: [], narrow: [] },
  deno: {
    wide: [
      "schedule",
      "hash",
      "hmac",
      "x25519",
      "hpkeSetup",
      "answerHybrid",
      "secp256r1",
      "secp384r1",
      "ecdsa-p256",
      "ecdsa-p384",
      "chacha20-poly1305",
    ],
    narrow: [
      "schedule",
      "hash",
      "hmac",
      "ecdsa-p256 sign",
      "ecdsa-p384 sign",
      "chacha20-poly1305",
    ],
  },
  node: {
    wide: ["schedule", "hmac", "chacha20-poly1305"],
    narrow: ["schedule", "hmac", "chacha20-poly1305"],
  },
};

/**
 * The order in which a server prefers them, where AES-128 is not the cheapest. On Deno, without OpenSSL, 16 KiB take
 * 118 µs with either AES, and 21 with ChaCha20-Poly1305.
 */
const AEADS: Readonly<Record<string, readonly AeadName[]>> = {
  deno: ["chacha20-poly1305", "aes-128-gcm", "aes-256-gcm"],
};

/** Up to so many bytes a text is WebAssembly's where both have ChaCha20-Poly1305 and the table prefers it. */
const CHACHA20_LIMIT: Readonly<Record<string, number>> = { deno: 1024, node: 1536 };

function mixed(
  runtime: string,
  native: NativePrimitives,
  wasm: WasmPrimitives,
  variant: WasmVariant,
): Primitives & Steps {
  // A step rests on WebAssembly's own primitives: better only where the table says so.
  const { schedule: _schedule, answerHybrid: _answer, hpkeSetup: _setup, ...base } = wasm;
  const table = TABLE[runtime]?.[variant] ?? [];
  const better = Object.fromEntries(table.map((name) => {
    if (name === "ecdsa-p256 sign") return ["ecdsa-p256", signOnly(native, wasm, "ecdsa-p256")];
    if (name === "ecdsa-p384 sign") return ["ecdsa-p384", signOnly(native, wasm, "ecdsa-p384")];
    if (name === "chacha20-poly1305") return [name, chaCha20(runtime, native, wasm)];
    return [name, wasm[name]];
  })) as Partial<Primitives> & Steps;
  return { ...base, ...native, ...better };
}

function signOnly(
  native: NativePrimitives,
  wasm: WasmPrimitives,
  name: "ecdsa-p256" | "ecdsa-p384",
): Signatures {
  const { verify } = native[name];
  return { ...wasm[name], verify };
}

function chaCha20(
  runtime: string,
  { "chacha20-poly1305": large }: NativePrimitives,
  { "chacha20-poly1305": small }: WasmPrimitives,
): Primitives["chacha20-poly1305"] {
  return large === undefined ? small : aeadBySize(small, large, CHACHA20_LIMIT[runtime] ?? 0);
}

function runtimeName(): string {
  return ["bun", "deno"].find((name) => process.versions[name] !== undefined) ?? "node";
}
