/**
 * The ECH keys that a server holds (RFC 9849 §4, §7.1; ech-server §1, §6, §11).
 *
 * Immutable: a rotation builds a new set, running connections keep the key that opened their first hello.
 *
 * @module
 */
import type { Crypto, HpkeRecipient } from "../crypto/crypto.ts";
import { TlsError } from "./error.ts";
import {
  decodeEchConfig,
  type EchConfig,
  encodeEchConfigList,
  isPublicName,
} from "./wire/ech-config.ts";

/** One ECHConfig with its private key, ready to open. */
export interface EchKey {
  readonly configId: number;
  readonly config: EchConfig;
  /** True for the up-to-date ones: those that retry_configs and DNS hand out. The others only decrypt. */
  readonly retry: boolean;
  readonly recipient: HpkeRecipient;
}

/**
 * Makes a key ready; refuses whatever would fail later, at a client's.
 *
 * @param parts.privateKey as `Crypto.hpkeRecipient` takes it
 * @param parts.config exactly one ECHConfig, with its version and length
 * @throws {RangeError} the config cannot be parsed, is of another version, names a KEM, a suite or an extension that we
 *   do not implement, has a bad public_name, or belongs to another private key
 */
export function echKey(
  crypto: Pick<Crypto, "equal" | "hpkeRecipient">,
  parts: { readonly privateKey: Uint8Array; readonly config: Uint8Array; readonly retry: boolean },
): EchKey {
  const config = decodeConfig(parts.config.slice());
  const id = config.configId;
  for (const { kdfId, aeadId } of config.suites) {
    if (kdfId !== HKDF_SHA256 || aeadId < AES_128_GCM || aeadId > CHACHA20_POLY1305) {
      throw new RangeError(`Cannot use ECHConfig ${id}: its suite ${kdfId}/${aeadId} is unknown`);
    }
  }
  for (const { type } of config.extensions) {
    if (!isGreaseExtension(type)) {
      throw new RangeError(`Cannot use ECHConfig ${id}: its extension ${type} is unknown`);
    }
  }
  if (!isPublicName(config.publicName)) {
    throw new RangeError(`Cannot use ECHConfig ${id}: no client takes its public_name`);
  }
  const recipient = crypto.hpkeRecipient(config.kemId, parts.privateKey, hpkeInfo(config));
  if (!crypto.equal(recipient.publicKey, config.publicKey)) {
    throw new RangeError(`Cannot use ECHConfig ${id}: its public key belongs to another key`);
  }
  return { configId: id, config, retry: parts.retry, recipient };
}

/**
 * All keys of a server, and what it says of them.
 *
 * - `active`: rejected hellos are answered with the configs of the keys marked `retry`, in their order.
 * - `withdrawing`: the keys still open; nothing is handed out, which tells clients that ECH is off.
 */
export class EchKeySet {
  readonly state: "active" | "withdrawing";
  readonly keys: readonly EchKey[];
  /** The ECHConfigList for retry_configs, with its own length; undefined while withdrawing. */
  readonly retryConfigs: Uint8Array | undefined;
  readonly #byId = new Map<number, EchKey[]>();
  readonly #publicNames: readonly Uint8Array[];

  /** @throws {RangeError} an active set needs a retry key that clients can use */
  constructor(keys: readonly EchKey[], state: "active" | "withdrawing") {
    this.state = state;
    this.keys = keys;
    for (const key of keys) {
      const sameId = this.#byId.get(key.configId);
      if (sameId === undefined) this.#byId.set(key.configId, [key]);
      else sameId.push(key);
    }
    this.#publicNames = [...new Set(keys.map((key) => key.config.publicName))].map(lowerCaseBytes);
    const retry = keys.filter((key) => key.retry);
    if (state === "active") {
      if (!retry.some((key) => !key.config.hasUnknownMandatory)) {
        throw new RangeError(
          "Cannot use an active ECH key set: no key that clients can retry with",
        );
      }
      this.retryConfigs = encodeEchConfigList(retry.map((key) => key.config.raw));
    } else {
      this.retryConfigs = undefined;
    }
  }

  /** The keys of that config_id, in the order of the set. Ids may repeat. */
  candidates(configId: number): readonly EchKey[] {
    return this.#byId.get(configId) ?? NONE;
  }

  /** Whether `name` is the public name of any key, in any case. */
  isPublicName(name: Uint8Array): boolean {
    for (const known of this.#publicNames) {
      if (equalLowerCase(name, known)) return true;
    }
    return false;
  }
}

/** `"tls ech" || 0x00 || ECHConfig` (RFC 9849 §6.1). */
function hpkeInfo(config: EchConfig): Uint8Array {
  const info = new Uint8Array(INFO_LABEL.length + config.raw.length);
  info.set(INFO_LABEL);
  info.set(config.raw, INFO_LABEL.length);
  return info;
}

function decodeConfig(raw: Uint8Array): EchConfig {
  let config: EchConfig | undefined;
  try {
    config = decodeEchConfig(raw);
  } catch (error) {
    if (!(error instanceof TlsError)) throw error;
    throw new RangeError("Cannot use an ECHConfig: it cannot be parsed", { cause: error });
  }
  if (config === undefined) throw new RangeError("Cannot use an ECHConfig: its version is unknown");
  return config;
}

/** 0x0000, 0x1A1A … 0xFAFA (RFC 9849 §11.3); those with the top bit set are mandatory, so clients skip the config. */
function isGreaseExtension(type: number): boolean {
  const high = type >>> 8;
  return high === (type & 0xff) && (high === 0 || (high & 0x0f) === 0x0a && high !== 0x0a);
}

function lowerCaseBytes(name: string): Uint8Array {
  return Uint8Array.from(name, (char) => lowerCase(char.charCodeAt(0)));
}

function equalLowerCase(name: Uint8Array, lower: Uint8Array): boolean {
  if (name.length !== lower.length) return false;
  for (let i = 0; i < name.length; i++) {
    if (lowerCase(name[i]!) !== lower[i]) return false;
  }
  return true;
}

function lowerCase(code: number): number {
  return code >= 0x41 && code <= 0x5a ? code + 0x20 : code;
}

const NONE: readonly EchKey[] = [];
const INFO_LABEL = Uint8Array.of(0x74, 0x6c, 0x73, 0x20, 0x65, 0x63, 0x68, 0x00);
const HKDF_SHA256 = 0x0001;
const AES_128_GCM = 0x0001;
const CHACHA20_POLY1305 = 0x0003;
