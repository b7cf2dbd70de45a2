/**
 * Syntax of the ClientHello extensions that sotto reads (step 8 of tls13-server §2.1). Those that it only passes over
 * are not parsed at all, not even their syntax (RFC 9846 §4.3).
 *
 * Each check takes the body `bytes[at, end)` and throws TlsError for what RFC 9846 §6.2 calls decode_error.
 *
 * @module
 */
import { TlsError } from "../error.ts";
import { ExtensionType } from "./code-points.ts";
import {
  checkCodes16,
  checkCodes8,
  checkEmpty,
  checkVector16,
  checkVector8,
  hasRepeatedCode,
  skipVector16,
  skipVector8,
  u16At,
} from "./vectors.ts";

export function checkExtension(type: number, bytes: Uint8Array, at: number, end: number): void {
  switch (type) {
    case ExtensionType.supported_groups:
    case ExtensionType.signature_algorithms:
    case ExtensionType.signature_algorithms_cert:
      return checkCodes16(bytes, at, end);
    case ExtensionType.key_share:
      return checkKeyShareList(bytes, at, end);
    case ExtensionType.application_layer_protocol_negotiation:
      return checkProtocolNameList(bytes, at, end);
    case ExtensionType.psk_key_exchange_modes:
      return checkVector8(bytes, at, end, 1);
    case ExtensionType.pre_shared_key:
      return checkOfferedPsks(bytes, at, end);
    case ExtensionType.compress_certificate:
      return checkCompressionAlgorithms(bytes, at, end);
    case ExtensionType.record_size_limit:
      return checkRecordSizeLimit(bytes, at, end);
    case ExtensionType.status_request:
      return checkStatusRequest(bytes, at, end);
    case ExtensionType.signed_certificate_timestamp:
    case ExtensionType.early_data:
      return checkEmpty(at, end);
    case ExtensionType.ticket_request:
      return checkSize(2, at, end);
  }
}

/**
 * RFC 6066 §3: `ServerName server_name_list<1..2^16-1>`, of which there is exactly one, of type host_name.
 *
 * @returns the offset of the name, which reaches to `end`
 * @throws {TlsError} decode errors; "bad server_name" for what parses and is no host_name of 1 to 255 bytes
 */
export function checkServerName(bytes: Uint8Array, at: number, end: number): number {
  checkVector16(bytes, at, end, 1);
  const nameType = bytes[at + 2]!;
  const name = at + 5;
  if (skipVector16(bytes, at + 3, end, 0) !== end) {
    throw new TlsError("trailing bytes", "server_name");
  }
  if (nameType !== 0 || name === end || end - name > 255) throw new TlsError("bad server_name");
  for (let i = name; i < end; i++) {
    if (bytes[i] === 0) throw new TlsError("bad server_name");
  }
  return name;
}

/** RFC 9846 §4.3.1: `ProtocolVersion versions<2..254>`. */
export function checkSupportedVersions(bytes: Uint8Array, at: number, end: number): void {
  checkCodes8(bytes, at, end);
}

/** RFC 9846 §4.3.8: `struct { NamedGroup group; opaque key_exchange<1..2^16-1>; }`, `client_shares<0..2^16-1>`. */
function checkKeyShareList(bytes: Uint8Array, at: number, end: number): void {
  checkVector16(bytes, at, end, 0);
  at += 2;
  while (at < end) at = skipVector16(bytes, at + 2, end, 1);
}

/** RFC 7301 §3.1: `opaque ProtocolName<1..2^8-1>`, `protocol_name_list<2..2^16-1>`. */
function checkProtocolNameList(bytes: Uint8Array, at: number, end: number): void {
  checkVector16(bytes, at, end, 1);
  at += 2;
  while (at < end) at = skipVector8(bytes, at, end, 1);
}

/**
 * RFC 9846 §4.3.11: `PskIdentity identities<7..2^16-1>`, `PskBinderEntry binders<33..2^16-1>`.
 *
 * A binder may have any length here: one that is not the hash's is a wrong binder, so it is decrypt_error
 * and only for the PSK that is chosen (tls13-server §7).
 */
function checkOfferedPsks(bytes: Uint8Array, at: number, end: number): void {
  const identitiesEnd = skipVector16(bytes, at, end, 1);
  at += 2;
  while (at < identitiesEnd) {
    at = skipVector16(bytes, at, identitiesEnd, 1);
    if (identitiesEnd - at < 4) throw new TlsError("message too short");
    at += 4;
  }
  checkVector16(bytes, identitiesEnd, end, 1);
  at = identitiesEnd + 2;
  while (at < end) at = skipVector8(bytes, at, end, 0);
}

/** RFC 8879 §3: `CertificateCompressionAlgorithm algorithms<2..2^8-2>`. It is silent about one listed twice. */
function checkCompressionAlgorithms(bytes: Uint8Array, at: number, end: number): void {
  checkCodes8(bytes, at, end);
  if (hasRepeatedCode(bytes, at + 1, end)) throw new TlsError("duplicate compression algorithm");
}

/** RFC 8449 §4. No upper bound: a server MUST NOT enforce one. */
function checkRecordSizeLimit(bytes: Uint8Array, at: number, end: number): void {
  checkSize(2, at, end);
  if (u16At(bytes, at) < 64) throw new TlsError("bad record_size_limit");
}

/** RFC 6066 §8: for type ocsp(1), `ResponderID responder_id_list<0..2^16-1>` and `Extensions<0..2^16-1>`. */
function checkStatusRequest(bytes: Uint8Array, at: number, end: number): void {
  if (at === end) throw new TlsError("message too short");
  if (bytes[at] !== 1) return; // another type has a body of its own
  const respondersEnd = skipVector16(bytes, at + 1, end, 0);
  at += 3;
  while (at < respondersEnd) at = skipVector16(bytes, at, respondersEnd, 1);
  checkVector16(bytes, respondersEnd, end, 0);
}

function checkSize(size: number, at: number, end: number): void {
  if (end - at < size) throw new TlsError("message too short");
  if (end - at > size) throw new TlsError("trailing bytes");
}
