/**
 * Making ECH keys, and saying which of them the world may know (RFC 9849 §4; ech-server §11, ech-publication §1).
 * @module
 */
import { Buffer } from "node:buffer";
import type { Crypto } from "../../crypto/crypto.ts";
import { echKey, type EchKeySet } from "../../tls/ech.ts";
import { encodeEchConfig, isPublicName } from "../../tls/wire/ech-config.ts";

/** What is kept of one key: all that a restart needs. Secret. */
export interface EchKeyRecord {
  /** Raw, as the KEM has it. */
  readonly privateKey: Uint8Array;
  /** One ECHConfig, with its version and length. */
  readonly config: Uint8Array;
  /** Handed out in retry_configs and DNS; else it only decrypts. */
  readonly retry: boolean;
  readonly createdMs: number;
}

export interface EchKeyWish {
  /** Whose certificate we have: clients see it in the clear and fall back to it. */
  readonly publicName: string;
  /** A hint for the clients' padding, 0 to 255; 0: unknown. */
  readonly maximumNameLength: number;
  /** config_ids in use anywhere behind the same names: live and retained ones. */
  readonly knownIds: ReadonlySet<number>;
  readonly nowMs: number;
}

/**
 * A fresh X25519 key and its config, marked `retry`. Both have been loaded once, so what is returned will load again.
 *
 * @throws {RangeError} a name that clients refuse, a length that is not a byte, no config_id left
 */
export function generateEchKey(crypto: Crypto, wish: EchKeyWish): EchKeyRecord {
  const publicName = wish.publicName.toLowerCase();
  if (!isPublicName(publicName)) {
    throw new RangeError(
      `Cannot use ${JSON.stringify(wish.publicName)} as an ECH public name: clients take only ` +
        "host names of letters, digits and hyphens, and no IP addresses",
    );
  }
  if (!isByte(wish.maximumNameLength)) {
    throw new RangeError(`Cannot use ${wish.maximumNameLength} as a maximum_name_length`);
  }
  const { privateKey, publicKey } = crypto.hpkeKeyPair(DHKEM_X25519);
  const config = encodeEchConfig({
    configId: freshConfigId(crypto, wish.knownIds),
    kemId: DHKEM_X25519,
    publicKey,
    suites: SUITES,
    maximumNameLength: wish.maximumNameLength,
    publicName,
    extensions: [],
  });
  const record = { privateKey, config, retry: true, createdMs: wish.nowMs };
  echKey(crypto, record);
  return record;
}

/**
 * A random byte that is none of `known`. Random, so that it tells nothing about a site or an age; distinct, so that
 * no server has to try two keys (RFC 9849 §4.1).
 *
 * @throws {RangeError} all 256 are known
 */
export function freshConfigId(crypto: Pick<Crypto, "random">, known: ReadonlySet<number>): number {
  let free = 256;
  for (const id of known) if (isByte(id)) free--;
  if (free === 0) throw new RangeError("Cannot choose a config_id: all 256 are in use");
  for (;;) {
    const id = crypto.random(1)[0]!;
    if (!known.has(id)) return id;
  }
}

/**
 * maximum_name_length for the names behind one public name: the longest, rounded up so that a new site does not show
 * at once (ech-publication §1.3). Names that come on demand are not known beforehand: 64 at least.
 */
export function maximumNameLength(names: Iterable<string>, onDemand: boolean): number {
  let longest = onDemand ? 64 : 0;
  for (const name of names) longest = Math.max(longest, name.length);
  return Math.min(255, Math.ceil(longest / 16) * 16);
}

/** The base64 ECHConfigList for DNS (RFC 9848 §3); undefined while ECH is being withdrawn. */
export function publishedConfigList(keys: EchKeySet): string | undefined {
  const list = keys.retryConfigs;
  return list === undefined ? undefined : Buffer.from(list).toString("base64");
}

function isByte(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= 255;
}

const DHKEM_X25519 = 0x0020;
const HKDF_SHA256 = 0x0001;
/** AES-128-GCM is the one that every client has to know (RFC 9849 §9). */
const SUITES = [
  { kdfId: HKDF_SHA256, aeadId: 0x0001 },
  { kdfId: HKDF_SHA256, aeadId: 0x0002 },
  { kdfId: HKDF_SHA256, aeadId: 0x0003 },
];
