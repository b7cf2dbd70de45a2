/**
 * The providers that every test of primitives runs against, and what this runtime gets by default.
 *
 * @module
 */
import { chooseCrypto } from "../../src/crypto/choose.ts";
import type { Crypto, Suite } from "../../src/crypto/crypto.ts";
import { nativePrimitives } from "../../src/crypto/native.ts";
import { noblePrimitives } from "../../src/crypto/noble.ts";
import { loadIpsecMb } from "../../src/crypto/ipsec-mb.ts";
import { loadOpenssl } from "../../src/crypto/openssl.ts";
import type { Primitives } from "../../src/crypto/primitives.ts";
import type { SignaturePrimitives } from "../../src/crypto/signing-key.ts";
import { loadWasmVariant, variants } from "../../src/crypto/wasm-module.ts";
import { wasmPrimitives } from "../../src/crypto/wasm.ts";

/** Both variants where the runtime runs both: Bun, and Deno with its flag. */
const MODULES = variants().map(loadWasmVariant);

/** On Bun and Deno, where the system has it: openssl.test.ts sees to that. */
const OPENSSL = [loadOpenssl()].filter((one) => one !== undefined);

/** Likewise, where the processor has what it is for: ipsec-mb.test.ts. */
const IPSEC_MB = [loadIpsecMb()].filter((one) => one !== undefined);

/** Those that sign are checked where a provider is whole. */
export type TestedPrimitives = Omit<Primitives, keyof SignaturePrimitives>;

/** A provider's own primitives; what it lacks is absent. */
export const PRIMITIVES: readonly {
  readonly name: string;
  readonly primitives: Partial<TestedPrimitives>;
}[] = [
  { name: "native", primitives: nativePrimitives() },
  { name: "noble", primitives: noblePrimitives() },
  ...MODULES.map((module) => ({
    name: `wasm (${module.variant})`,
    primitives: wasmPrimitives(module),
  })),
  ...OPENSSL.map(({ name, primitives: { sha256, ...primitives } }) => ({
    name,
    primitives: { ...primitives, ...sha256.among(nativePrimitives()) },
  })),
  ...IPSEC_MB,
];

export const PROVIDERS: readonly { name: string; crypto: Crypto }[] = [
  { name: "native", crypto: chooseCrypto({ force: "native" }) },
  { name: "noble", crypto: chooseCrypto({ force: "noble" }) },
  ...MODULES.map((module) => ({
    name: `wasm (${module.variant})`,
    crypto: chooseCrypto({ force: "wasm", module }),
  })),
  ...MODULES.map((module) => ({
    name: `chosen (${module.variant})`,
    crypto: chooseCrypto({ module, openssl: null, ipsecMb: null }),
  })),
  ...OPENSSL.map(({ name }) => ({ name, crypto: chooseCrypto({ force: "openssl" }) })),
  ...OPENSSL.map((openssl) => ({
    name: `chosen (${openssl.name})`,
    crypto: chooseCrypto({ openssl, ipsecMb: null }),
  })),
  ...IPSEC_MB.map((ipsecMb) => ({
    name: `chosen (${ipsecMb.name})`,
    crypto: chooseCrypto({ openssl: null, ipsecMb }),
  })),
];

export const SUITES = {
  TLS_AES_128_GCM_SHA256: { aead: "aes-128-gcm", hash: "sha256", keyLength: 16, hashLength: 32 },
  TLS_AES_256_GCM_SHA384: { aead: "aes-256-gcm", hash: "sha384", keyLength: 32, hashLength: 48 },
  TLS_CHACHA20_POLY1305_SHA256: {
    aead: "chacha20-poly1305",
    hash: "sha256",
    keyLength: 32,
    hashLength: 32,
  },
} as const satisfies Record<string, Suite>;

export function bytes(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex, "hex"));
}

export function hex(value: Uint8Array | undefined): string | undefined {
  return value && Buffer.from(value).toString("hex");
}
