/**
 * Alert codes (RFC 9846 §6, RFC 9849 §11.2). Spelt as the RFC spells them, so that a grep of one finds the other.
 * @module
 */
export const Alert = {
  close_notify: 0,
  unexpected_message: 10,
  bad_record_mac: 20,
  record_overflow: 22,
  handshake_failure: 40,
  bad_certificate: 42,
  unsupported_certificate: 43,
  certificate_revoked: 44,
  certificate_expired: 45,
  certificate_unknown: 46,
  illegal_parameter: 47,
  unknown_ca: 48,
  access_denied: 49,
  decode_error: 50,
  decrypt_error: 51,
  protocol_version: 70,
  insufficient_security: 71,
  internal_error: 80,
  inappropriate_fallback: 86,
  user_canceled: 90,
  missing_extension: 109,
  unsupported_extension: 110,
  unrecognized_name: 112,
  bad_certificate_status_response: 113,
  unknown_psk_identity: 115,
  certificate_required: 116,
  general_error: 117,
  no_application_protocol: 120,
  ech_required: 121,
} as const;

export type AlertName = keyof typeof Alert;

const nameOfCode = new Map<number, AlertName>(
  Object.entries(Alert).map(([name, code]) => [code, name as AlertName]),
);

/** The name of an alert code, or its number as text where the registry has none that we know. */
export function alertName(code: number): AlertName | `${number}` {
  return nameOfCode.get(code) ?? `${code}`;
}
