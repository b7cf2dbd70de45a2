/**
 * What a peer can do wrong, and what we tell it.
 * @module
 */
import { type AlertName, alertName } from "./alert.ts";

/** The peer's fault. Thrown where it is seen; the connection turns it into one alert and ends. */
export class TlsError extends Error {
  override readonly name = "TlsError";
  /** Stable: tests compare it, metrics count it. */
  readonly reason: Reason;
  /** The code of the alert that the peer sent, where `reason` is "received alert"; else undefined. */
  readonly received: number | undefined;

  constructor(reason: Reason, detail?: string, received?: number) {
    super(detail === undefined ? reason : `${reason}: ${detail}`);
    this.reason = reason;
    this.received = received;
  }

  /** The alert that answers it; undefined where nothing is to be answered. */
  get alert(): AlertName | undefined {
    return ALERT_FOR[this.reason];
  }
}

/**
 * What a peer's fatal alert is told by: one error for each code, so that no stack is walked for what happens all the time
 * (a client that learns of newer ECH keys goes away with one). Its stack is that of the first.
 */
export function receivedAlert(code: number): TlsError {
  return received[code] ??= new TlsError("received alert", alertName(code), code);
}

const received: (TlsError | undefined)[] = [];

export type Reason = keyof typeof ALERT_FOR;

/** The only place that decides which alert answers which fault. */
export const ALERT_FOR = {
  // syntax: it cannot be parsed (RFC 9846 §6.2)
  "message too short": "decode_error",
  "trailing bytes": "decode_error",
  "vector too short": "decode_error",
  "vector too long": "decode_error",
  "odd vector length": "decode_error",
  "duplicate extension": "decode_error",
  "duplicate compression algorithm": "decode_error",
  "bad certificate status type": "decode_error",
  "too many certificates": "decode_error",
  "message too long": "decode_error",
  "bad alert record": "decode_error",

  // the record layer (§5)
  "record overflow": "record_overflow",
  "bad record MAC": "bad_record_mac",
  "not a TLS record": "unexpected_message",
  "unexpected record": "unexpected_message",
  "empty fragment": "unexpected_message",
  "missing content type": "unexpected_message",
  "interleaved handshake message": "unexpected_message",
  "excess handshake bytes": "unexpected_message",
  "bad change_cipher_spec": "unexpected_message",
  "too many useless records": "unexpected_message",
  "too many alerts": "unexpected_message",
  "too many KeyUpdates": "unexpected_message",
  "too much skipped early data": "unexpected_message",

  // messages in the wrong place (§4)
  "unexpected message": "unexpected_message",

  // ClientHello (§4.2.2, §4.3, §9.2)
  "legacy_version is not 0x0303": "protocol_version",
  "no TLS version in common": "protocol_version",
  "bad compression methods": "illegal_parameter",
  "extension not allowed here": "illegal_parameter",
  "pre_shared_key is not last": "illegal_parameter",
  "missing signature_algorithms": "missing_extension",
  "missing supported_groups": "missing_extension",
  "missing key_share": "missing_extension",
  "missing psk_key_exchange_modes": "missing_extension",
  "missing server_name": "missing_extension",
  "bad server_name": "unrecognized_name",
  "unrecognized name": "unrecognized_name",
  "no cipher suite in common": "handshake_failure",
  "no group in common": "handshake_failure",
  "no signature scheme in common": "handshake_failure",
  "no application protocol in common": "no_application_protocol",
  "duplicate group": "illegal_parameter",
  "duplicate key share": "illegal_parameter",
  "key share for an unlisted group": "illegal_parameter",
  "bad key share": "illegal_parameter",
  "bad record_size_limit": "illegal_parameter",
  "access denied": "access_denied",

  // HelloRetryRequest (§4.2.4)
  "second ClientHello differs": "illegal_parameter",
  "second ClientHello with early_data": "illegal_parameter",
  "second ClientHello with a cookie": "illegal_parameter",
  "second ClientHello without the asked key share": "illegal_parameter",
  "second ClientHello without PSKs": "missing_extension",
  "second ClientHello without its PSK": "illegal_parameter",

  // PSK (§4.3.11)
  "identities and binders differ in number": "illegal_parameter",
  "incorrect binder": "decrypt_error",

  // the client's second flight (§4.5)
  "incorrect Finished": "decrypt_error",
  "incorrect CertificateVerify": "decrypt_error",
  "unoffered signature scheme": "illegal_parameter",
  "bad certificate_request_context": "illegal_parameter",
  "unsolicited certificate extension": "unsupported_extension",
  "repeated certificate extension": "illegal_parameter",
  "unoffered certificate compression": "illegal_parameter",
  "bad compressed certificate": "bad_certificate",
  "unparsable certificate": "decode_error",
  "certificate required": "certificate_required",
  "bad certificate": "bad_certificate",
  "unsupported certificate": "unsupported_certificate",
  "certificate revoked": "certificate_revoked",
  "certificate expired": "certificate_expired",
  "unknown certificate": "certificate_unknown",
  "unknown CA": "unknown_ca",

  // after the handshake (§4.7.3)
  "bad KeyUpdate": "illegal_parameter",

  // Encrypted Client Hello (RFC 9849 §5.1, §7.1, §7.1.1)
  "bad ECHClientHelloType": "illegal_parameter",
  "ECH of type inner from the network": "illegal_parameter",
  "inner hello not zero-padded": "illegal_parameter",
  "inner hello with a session id": "decode_error",
  "bad ech_outer_extensions": "illegal_parameter",
  "inner hello without its ECH mark": "illegal_parameter",
  "inner hello offers TLS 1.2": "illegal_parameter",
  "outer server_name is not the public name": "illegal_parameter",
  "second ClientHello without ECH": "missing_extension",
  "second ClientHello with another ECH type": "illegal_parameter",
  "second ClientHello with another ECH config": "illegal_parameter",
  "second ClientHello does not decrypt": "decrypt_error",

  // ours, not the peer's, but the peer must hear of it
  "signer failed": "internal_error",
  "site lookup failed": "internal_error",
  "internal error": "internal_error",

  // nothing to answer
  "received alert": undefined,
  "closed during the handshake": undefined,
} as const satisfies Record<string, AlertName | undefined>;
