/**
 * ECH keys as other servers keep them: `PRIVATE KEY` (PKCS#8), then `ECHCONFIG` (an ECHConfigList) (RFC 9934).
 * @module
 */
import { Buffer } from "node:buffer";
import type { Crypto } from "../../crypto/crypto.ts";
import { echKey } from "../../tls/ech.ts";
import { TlsError } from "../../tls/error.ts";
import {
  decodeEchConfigList,
  type EchConfig,
  encodeEchConfigList,
} from "../../tls/wire/ech-config.ts";
import type { EchKeyRecord } from "./ech-keys.ts";

/**
 * The records of one file: one for each config of the private key, in the file's order. Configs of other keys, which
 * the list may name beside ours, are left out.
 *
 * @throws {RangeError} not one private key and one list, neither X25519 nor P-256, or no config that belongs to the key
 */
export function importEchPem(
  crypto: Crypto,
  pem: string,
  parts: { readonly retry: boolean; readonly createdMs: number },
): EchKeyRecord[] {
  const { kemId, privateKey } = decodePrivateKey(onlyBlock(pem, "PRIVATE KEY"));
  const publicKey = crypto.hpkeRecipient(kemId, privateKey, new Uint8Array(0)).publicKey;
  const records: EchKeyRecord[] = [];
  for (const config of decodeList(onlyBlock(pem, "ECHCONFIG"))) {
    if (config.kemId !== kemId || !crypto.equal(config.publicKey, publicKey)) continue;
    const record = { privateKey, config: config.raw.slice(), ...parts };
    echKey(crypto, record); // whatever else is wrong with it is said now
    records.push(record);
  }
  if (records.length === 0) {
    throw new RangeError("Cannot import ECH keys: no ECHCONFIG belongs to the PRIVATE KEY");
  }
  return records;
}

/** The file for one record. Secret. @throws {RangeError} its config cannot be parsed */
export function exportEchPem(record: EchKeyRecord): string {
  const list = encodeEchConfigList([record.config]);
  const [config] = decodeList(list);
  const prefix = PKCS8_PREFIX.get(config?.kemId ?? 0);
  if (prefix === undefined || record.privateKey.length !== RAW_KEY) {
    throw new RangeError("Cannot export an ECH key that is neither X25519 nor P-256");
  }
  return block("PRIVATE KEY", Buffer.concat([prefix, record.privateKey])) +
    block("ECHCONFIG", list);
}

function decodeList(list: Uint8Array): EchConfig[] {
  try {
    return decodeEchConfigList(list);
  } catch (error) {
    if (!(error instanceof TlsError)) throw error;
    throw new RangeError("Cannot import ECH keys: the ECHCONFIG cannot be parsed", {
      cause: error,
    });
  }
}

function onlyBlock(pem: string, label: string): Uint8Array {
  const found = [...pem.matchAll(PEM_BLOCK)].filter((match) => match[1] === label);
  const [match] = found;
  if (match === undefined || found.length > 1) {
    throw new RangeError(`Cannot import ECH keys: ${found.length} blocks ${label}, wanted one`);
  }
  const base64 = match[2]!.replaceAll(/\s/g, "");
  if (!BASE64.test(base64) || base64.length % 4 !== 0) {
    throw new RangeError(`Cannot import ECH keys: ${label} is not base64`);
  }
  return new Uint8Array(Buffer.from(base64, "base64"));
}

function block(label: string, bytes: Uint8Array): string {
  const lines = Buffer.from(bytes).toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}

/**
 *     OneAsymmetricKey ::= SEQUENCE { version INTEGER, SEQUENCE { OID, parameters }, OCTET STRING, … }   RFC 5958 §2
 *       X25519: the string is another OCTET STRING, 32 bytes                                             RFC 8410 §7
 *       P-256:  it is SEQUENCE { INTEGER 1, OCTET STRING (32 bytes), … }                                 RFC 5915 §3
 */
function decodePrivateKey(der: Uint8Array): { kemId: number; privateKey: Uint8Array } {
  const key = new Der(new Der(der).only(SEQUENCE));
  key.next(INTEGER);
  const algorithm = key.next(SEQUENCE);
  const secret = key.next(OCTET_STRING);
  const oid = Buffer.from(algorithm).toString("hex");
  if (oid === X25519) return raw(DHKEM_X25519, new Der(secret).only(OCTET_STRING));
  if (oid === EC_PUBLIC_KEY_P256) {
    const ec = new Der(new Der(secret).only(SEQUENCE));
    ec.next(INTEGER);
    return raw(DHKEM_P256, ec.next(OCTET_STRING));
  }
  throw new RangeError("Cannot import an ECH key that is neither X25519 nor P-256");
}

function raw(kemId: number, privateKey: Uint8Array): { kemId: number; privateKey: Uint8Array } {
  if (privateKey.length !== RAW_KEY) throw new RangeError(NOT_PKCS8);
  return { kemId, privateKey: privateKey.slice() };
}

/** Just enough DER for the above: values of up to 65,535 bytes, one after another. */
class Der {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  next(tag: number): Uint8Array {
    const bytes = this.#bytes;
    if (bytes[this.#at] !== tag) throw new RangeError(NOT_PKCS8);
    let length = bytes[this.#at + 1] ?? 0;
    let start = this.#at + 2;
    if (length >= 0x80) {
      const count = length & 0x7f;
      if (count < 1 || count > 2) throw new RangeError(NOT_PKCS8);
      length = 0;
      for (let i = 0; i < count; i++) length = (length << 8) | (bytes[start++] ?? 0);
    }
    const end = start + length;
    if (end > bytes.length) throw new RangeError(NOT_PKCS8);
    this.#at = end;
    return bytes.subarray(start, end);
  }

  only(tag: number): Uint8Array {
    const value = this.next(tag);
    if (this.#at !== this.#bytes.length) throw new RangeError(NOT_PKCS8);
    return value;
  }
}

const PEM_BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----([^-]*)-----END \1-----/g;
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;
const NOT_PKCS8 = "Cannot import ECH keys: the PRIVATE KEY is not PKCS#8";

const INTEGER = 0x02;
const OCTET_STRING = 0x04;
const SEQUENCE = 0x30;
/** What stands in the AlgorithmIdentifier. */
const X25519 = "06032b656e";
const EC_PUBLIC_KEY_P256 = "06072a8648ce3d020106082a8648ce3d030107";

const DHKEM_P256 = 0x0010;
const DHKEM_X25519 = 0x0020;
const RAW_KEY = 32;
/** Everything before the raw key, lengths included. */
const PKCS8_PREFIX = new Map([
  [DHKEM_X25519, Buffer.from("302e020100300506032b656e04220420", "hex")],
  [
    DHKEM_P256,
    Buffer.from("3041020100301306072a8648ce3d020106082a8648ce3d030107042730250201010420", "hex"),
  ],
]);
