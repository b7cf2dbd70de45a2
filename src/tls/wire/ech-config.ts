/**
 * ECHConfigList (RFC 9849 §4).
 *
 *     struct { HpkeKdfId kdf_id; HpkeAeadId aead_id; } HpkeSymmetricCipherSuite;
 *     struct { uint8 config_id; HpkeKemId kem_id; HpkePublicKey public_key<1..2^16-1>;
 *              HpkeSymmetricCipherSuite cipher_suites<4..2^16-4>; } HpkeKeyConfig;
 *     struct { HpkeKeyConfig key_config; uint8 maximum_name_length; opaque public_name<1..255>;
 *              ECHConfigExtension extensions<0..2^16-1>; } ECHConfigContents;
 *     struct { uint16 version; uint16 length; ECHConfigContents contents; } ECHConfig;
 *     ECHConfig ECHConfigList<4..2^16-1>;
 *
 * @module
 */
import { TlsError } from "../error.ts";
import { ExtensionType } from "./code-points.ts";
import { decodeExtensions } from "./message.ts";
import { Reader } from "./reader.ts";
import { Writer } from "./writer.ts";

export { isPublicName } from "./host-name.ts";

/** The version of RFC 9849 is the code point of its extension. */
export const ECH_CONFIG_VERSION: number = ExtensionType.encrypted_client_hello;

export interface HpkeSymmetricCipherSuite {
  readonly kdfId: number;
  readonly aeadId: number;
}

export interface EchConfigExtension {
  readonly type: number;
  readonly data: Uint8Array;
}

export interface EchConfigFields {
  readonly configId: number;
  readonly kemId: number;
  /** As the KEM serializes it: 32 bytes for X25519. */
  readonly publicKey: Uint8Array;
  /** One at least. */
  readonly suites: readonly HpkeSymmetricCipherSuite[];
  /** Bytes of the longest name behind this config; 0: unknown. */
  readonly maximumNameLength: number;
  /** ASCII, without a trailing dot. Its rules are `isPublicName`'s. */
  readonly publicName: string;
  readonly extensions?: readonly EchConfigExtension[];
}

export interface EchConfig extends EchConfigFields {
  readonly version: number;
  readonly extensions: readonly EchConfigExtension[];
  /** The whole ECHConfig with version and length, which is what HPKE's info takes. */
  readonly raw: Uint8Array;
  /** An extension with the high bit set is there. We know none, so no client of ours may use this config. */
  readonly hasUnknownMandatory: boolean;
}

/** One ECHConfig. @throws {RangeError} a field that does not fit its structure */
export function encodeEchConfig(fields: EchConfigFields): Uint8Array {
  checkFields(fields);
  const w = new Writer(64 + fields.publicKey.length + fields.publicName.length);
  const contents = w.u16(ECH_CONFIG_VERSION).begin(2);
  const suites = w.u8(fields.configId).u16(fields.kemId).opaque16(fields.publicKey).begin(2);
  for (const { kdfId, aeadId } of fields.suites) w.u16(kdfId).u16(aeadId);
  const publicName = w.end(suites, 2).u8(fields.maximumNameLength).begin(1);
  for (let i = 0; i < fields.publicName.length; i++) w.u8(fields.publicName.charCodeAt(i));
  const extensions = w.end(publicName, 1).begin(2);
  for (const { type, data } of fields.extensions ?? []) {
    w.u16(type).opaque16(data);
  }
  w.end(extensions, 2).end(contents, 2);
  return w.copy();
}

/** With its 2-byte length. @throws {RangeError} none, or more than fit */
export function encodeEchConfigList(configs: readonly Uint8Array[]): Uint8Array {
  if (configs.length === 0) throw new RangeError("Cannot encode an empty ECHConfigList");
  const w = new Writer(2 + configs.reduce((sum, config) => sum + config.length, 0));
  const list = w.begin(2);
  for (const config of configs) w.bytes(config);
  return w.end(list, 2).copy();
}

/**
 * The configs of a list (with its 2-byte length) that are of a version we know, in the list's order. Views into `list`.
 *
 * @throws {TlsError} decode errors; "duplicate extension"
 */
export function decodeEchConfigList(list: Uint8Array): EchConfig[] {
  const r = new Reader(list);
  const entries = r.vector16(4);
  r.finish("ECHConfigList");
  const configs: EchConfig[] = [];
  while (entries.left > 0) {
    const config = decodeNext(list, entries);
    if (config !== undefined) configs.push(config);
  }
  return configs;
}

/** One ECHConfig by itself. Undefined: of an unknown version. @throws {TlsError} as `decodeEchConfigList` */
export function decodeEchConfig(raw: Uint8Array): EchConfig | undefined {
  const r = new Reader(raw);
  const config = decodeNext(raw, r);
  r.finish("ECHConfig");
  return config;
}

function decodeNext(bytes: Uint8Array, r: Reader): EchConfig | undefined {
  const at = r.at;
  const version = r.u16();
  const contents = r.vector16();
  if (version !== ECH_CONFIG_VERSION) return undefined;
  const configId = contents.u8();
  const kemId = contents.u16();
  const publicKey = contents.vector16(1).rest();
  const suites = decodeSuites(contents.vector16(4));
  const maximumNameLength = contents.u8();
  const publicName = String.fromCharCode(...contents.vector8(1).rest());
  const extensions = [...decodeExtensions(contents)].map(([type, body]) => ({
    type,
    data: body.rest(),
  }));
  return {
    version,
    configId,
    kemId,
    publicKey,
    suites,
    maximumNameLength,
    publicName,
    extensions,
    raw: bytes.subarray(at, r.at),
    hasUnknownMandatory: extensions.some(({ type }) => type >= 0x8000),
  };
}

function decodeSuites(list: Reader): HpkeSymmetricCipherSuite[] {
  if (list.left % 4 !== 0) throw new TlsError("odd vector length", "ECH cipher_suites");
  const suites: HpkeSymmetricCipherSuite[] = [];
  while (list.left > 0) suites.push({ kdfId: list.u16(), aeadId: list.u16() });
  return suites;
}

function checkFields(fields: EchConfigFields): void {
  if (!(fields.configId >= 0 && fields.configId <= 255)) {
    throw new RangeError(`Cannot encode ECH config_id ${fields.configId}`);
  }
  if (!(fields.maximumNameLength >= 0 && fields.maximumNameLength <= 255)) {
    throw new RangeError(`Cannot encode ECH maximum_name_length ${fields.maximumNameLength}`);
  }
  if (fields.publicKey.length === 0) throw new RangeError("Cannot encode an empty ECH public key");
  if (fields.suites.length === 0) throw new RangeError("Cannot encode an ECHConfig without suites");
  if (!/^\p{ASCII}{1,255}$/u.test(fields.publicName)) {
    throw new RangeError("Cannot encode an ECH public name that is not 1 to 255 ASCII bytes");
  }
  const types = (fields.extensions ?? []).map(({ type }) => type);
  if (new Set(types).size !== types.length) {
    throw new RangeError("Cannot encode an ECHConfig with an extension twice");
  }
}
