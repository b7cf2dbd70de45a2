/**
 * How a connection fails, as its client sees it.
 * @module
 */
import type { AlertName } from "../tls/alert.ts";
import type { Reason } from "../tls/error.ts";

/** The keys under which a record came. */
export type KeyEpoch = "plaintext" | "handshake" | "application";

/** After an authenticated rejection: may the origin be tried with the server's configs, or without ECH? */
export type EchVerdict = "replaced" | "off";

export interface ClientErrorParts {
  readonly alertReceived?: AlertName | `${number}`;
  readonly alertReceivedUnder?: KeyEpoch;
  readonly retryConfigs?: Uint8Array | undefined;
  readonly echVerdict?: EchVerdict;
  readonly cause?: unknown;
  readonly detail?: string;
}

export class ClientError extends Error {
  override readonly name = "ClientError";
  /** Stable: tests compare it. One of the table below, or one of the core's where the core's decoder found it. */
  readonly reason: ClientReason | Reason;
  readonly alertReceived: AlertName | `${number}` | undefined;
  readonly alertReceivedUnder: KeyEpoch | undefined;
  /** What was told to the server. */
  readonly alertSent: AlertName | undefined;
  /** With "ECH rejected" alone: a list with at least one config that can be used. */
  readonly retryConfigs: Uint8Array | undefined;
  readonly echVerdict: EchVerdict | undefined;

  constructor(
    reason: ClientReason | Reason,
    alertSent: AlertName | undefined,
    parts: ClientErrorParts = {},
  ) {
    const said = parts.detail ?? parts.alertReceived;
    super(said === undefined ? reason : `${reason}: ${said}`, { cause: parts.cause });
    this.reason = reason;
    this.alertSent = alertSent;
    this.alertReceived = parts.alertReceived;
    this.alertReceivedUnder = parts.alertReceivedUnder;
    this.retryConfigs = parts.retryConfigs;
    this.echVerdict = parts.echVerdict;
  }
}

export type ClientReason = keyof typeof CLIENT_ALERT_FOR;

/** What only a client can find wrong, and what it says. */
export const CLIENT_ALERT_FOR = {
  "no ECH config to use": undefined,
  "bad ECHConfigList": undefined,

  "another version than TLS 1.3": "protocol_version",
  "legacy_session_id_echo differs": "illegal_parameter",
  "unoffered cipher suite": "illegal_parameter",
  "unoffered group": "illegal_parameter",
  "unoffered PSK": "illegal_parameter",
  "unoffered application protocol": "illegal_parameter",
  "ServerHello without a key share": "missing_extension",
  "unsolicited extension": "unsupported_extension",
  "HelloRetryRequest changes nothing": "illegal_parameter",
  "second HelloRetryRequest": "unexpected_message",
  "cipher suite differs from HelloRetryRequest": "illegal_parameter",
  "early data accepted": "illegal_parameter",

  "server without a certificate": "decode_error",
  "unreadable certificate": "bad_certificate",
  "certificate not valid now": "certificate_expired",
  "certificate for another name": "bad_certificate",
  "no trusted root": "unknown_ca",

  // RFC 9849 §6.1.4-§6.1.7
  "bad retry_configs": "decode_error",
  "ECH acceptance not confirmed": "illegal_parameter",
  "ECH extension after acceptance": "unsupported_extension",
  "pre_shared_key on rejected ECH": "illegal_parameter",
  "ECH rejected": "ech_required",

  "truncated": undefined,
} as const satisfies Record<string, AlertName | undefined>;

/** Throws what a client found, with the alert that the table has for it. */
export function refuse(reason: ClientReason, parts: ClientErrorParts = {}): never {
  throw new ClientError(reason, CLIENT_ALERT_FOR[reason], parts);
}
