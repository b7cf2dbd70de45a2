/**
 * The extensions of a ClientHello, one function each. They encode what they are told, sense or nonsense.
 * @module
 */
import { ECHClientHelloType, ExtensionType } from "../tls/wire/code-points.ts";
import { Writer } from "../tls/wire/writer.ts";

/** One extension: its type and its body. */
export type Extension = readonly [type: number, body: Uint8Array];

export function serverName(name: string): Extension {
  return vector(
    ExtensionType.server_name,
    (w) => void w.u8(0).vector16(() => void w.bytes(ascii(name))),
  );
}

export function supportedVersions(versions: readonly number[]): Extension {
  return build(
    ExtensionType.supported_versions,
    (w) => void w.vector8(() => versions.forEach((version) => w.u16(version))),
  );
}

export function supportedGroups(groups: readonly number[]): Extension {
  return vector(ExtensionType.supported_groups, (w) => groups.forEach((group) => w.u16(group)));
}

export function signatureAlgorithms(schemes: readonly number[]): Extension {
  return vector(
    ExtensionType.signature_algorithms,
    (w) => schemes.forEach((scheme) => w.u16(scheme)),
  );
}

export function keyShare(
  shares: readonly (readonly [group: number, keyExchange: Uint8Array])[],
): Extension {
  return vector(ExtensionType.key_share, (w) => {
    for (const [group, keyExchange] of shares) {
      w.u16(group).vector16(() => void w.bytes(keyExchange));
    }
  });
}

export function alpn(protocols: readonly string[]): Extension {
  return vector(ExtensionType.application_layer_protocol_negotiation, (w) => {
    for (const protocol of protocols) w.vector8(() => void w.bytes(ascii(protocol)));
  });
}

export function pskKeyExchangeModes(modes: readonly number[]): Extension {
  return build(
    ExtensionType.psk_key_exchange_modes,
    (w) => void w.vector8(() => modes.forEach((mode) => w.u8(mode))),
  );
}

export interface PskIdentity {
  readonly identity: Uint8Array;
  readonly obfuscatedAge: number;
}

export function preSharedKey(
  identities: readonly PskIdentity[],
  binders: readonly Uint8Array[],
): Extension {
  return build(ExtensionType.pre_shared_key, (w) => {
    w.vector16(() => {
      for (const { identity, obfuscatedAge } of identities) {
        w.vector16(() => void w.bytes(identity)).u32(obfuscatedAge);
      }
    });
    w.vector16(() => binders.forEach((binder) => w.vector8(() => void w.bytes(binder))));
  });
}

export function earlyData(): Extension {
  return [ExtensionType.early_data, new Uint8Array(0)];
}

export function cookie(value: Uint8Array): Extension {
  return vector(ExtensionType.cookie, (w) => void w.bytes(value));
}

export function recordSizeLimit(limit: number): Extension {
  return build(ExtensionType.record_size_limit, (w) => void w.u16(limit));
}

export function compressCertificate(algorithms: readonly number[]): Extension {
  return build(
    ExtensionType.compress_certificate,
    (w) => void w.vector8(() => algorithms.forEach((algorithm) => w.u16(algorithm))),
  );
}

/** RFC 6066 §8: OCSP, no responder ids, no request extensions. */
export function statusRequest(): Extension {
  return build(ExtensionType.status_request, (w) => void w.u8(1).u16(0).u16(0));
}

export function signedCertificateTimestamp(): Extension {
  return [ExtensionType.signed_certificate_timestamp, new Uint8Array(0)];
}

/** RFC 9149 §3. */
export function ticketRequest(newSessionCount: number, resumptionCount: number): Extension {
  return build(ExtensionType.ticket_request, (w) => void w.u8(newSessionCount).u8(resumptionCount));
}

/** RFC 7685. */
export function padding(length: number): Extension {
  return [ExtensionType.padding, new Uint8Array(length)];
}

/** encrypted_client_hello of type outer (RFC 9849 §5). */
export interface EchOuter {
  readonly type: number;
  readonly kdfId: number;
  readonly aeadId: number;
  readonly configId: number;
  readonly enc: Uint8Array;
  readonly payload: Uint8Array;
}

export function echOuter(fields: EchOuter): Extension {
  return build(ExtensionType.encrypted_client_hello, (w) => {
    w.u8(fields.type).u16(fields.kdfId).u16(fields.aeadId).u8(fields.configId);
    w.vector16(() => void w.bytes(fields.enc)).vector16(() => void w.bytes(fields.payload));
  });
}

export function echInner(): Extension {
  return [ExtensionType.encrypted_client_hello, Uint8Array.of(ECHClientHelloType.inner)];
}

/** ech_outer_extensions (RFC 9849 §5.1). */
export function echOuterExtensions(types: readonly number[]): Extension {
  return build(
    ExtensionType.ech_outer_extensions,
    (w) => void w.vector8(() => types.forEach((type) => w.u16(type))),
  );
}

/** An extension whose whole body is one vector with a 2-byte length. */
function vector(type: number, body: (w: Writer) => void): Extension {
  return build(type, (w) => void w.vector16(() => body(w)));
}

function build(type: number, body: (w: Writer) => void): Extension {
  const w = new Writer(64);
  body(w);
  return [type, w.copy()];
}

/** One byte per character: what goes on the wire need not be ASCII in a test. */
function ascii(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}
