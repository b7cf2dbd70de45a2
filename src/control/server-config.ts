/**
 * What the core has to know of a server as a whole.
 * @module
 */
import { type Config, DEFAULT_GROUPS } from "../config/config.ts";
import { coreLimits } from "../config/limits.ts";
import type { AeadName, Crypto } from "../crypto/crypto.ts";
import type { ServerConfig } from "../tls/config.ts";
import type { EchKeySet } from "../tls/ech.ts";
import type { TicketKeys } from "../tls/tickets.ts";
import { CipherSuite } from "../tls/wire/code-points.ts";
import { readLeafKey } from "../x509/leaf-key.ts";
import { certificateCompression } from "./certificates/compression.ts";

export interface ServerParts {
  readonly config: Pick<Config, "limits" | "ech">;
  readonly crypto: Crypto;
  readonly keyLog: ((line: string) => void) | undefined;
  /** Undefined: ECH is off. */
  readonly ech: EchKeySet | undefined;
  readonly tickets: TicketKeys;
}

export function serverConfig(parts: ServerParts, flightPadding: number): ServerConfig {
  const { config, crypto, ech, tickets, keyLog } = parts;
  return {
    crypto,
    limits: coreLimits(config.limits),
    suites: crypto.aeads.map((name) => SUITES[name]),
    groups: DEFAULT_GROUPS,
    ech,
    tickets,
    flightPadding,
    ...certificateCompression(),
    readCertificate: readLeafKey,
    strictOuterSni: config.ech.strictOuterSni,
    greaseHelloRetry: config.ech.greaseHelloRetry,
    keepExporterSecret: false,
    keyLog,
  };
}

/** Policy §5: one order for all sites, which is this runtime's. */
const SUITES: Readonly<Record<AeadName, CipherSuite>> = {
  "aes-128-gcm": CipherSuite.TLS_AES_128_GCM_SHA256,
  "aes-256-gcm": CipherSuite.TLS_AES_256_GCM_SHA384,
  "chacha20-poly1305": CipherSuite.TLS_CHACHA20_POLY1305_SHA256,
};

/**
 * One size for the encrypted flight of every site, so that it does not tell which one it is (ech-server §10): room for
 * the longest chain, CertificateRequest and signature, in steps of 1 KiB.
 */
export function flightPadding(longestFlight: number): number {
  return Math.ceil((longestFlight + REST_OF_FLIGHT) / 1024) * 1024;
}

/** EncryptedExtensions, the headers, CertificateVerify of a 4096-bit RSA key, Finished; the rest is rounding. */
const REST_OF_FLIGHT = 700;
