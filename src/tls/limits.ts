/**
 * Every limit that a peer can run into in the core, by name (tls13-server §14.1).
 * @module
 */
export interface Limits {
  /** Body of a ClientHello, bytes. Reached: decode_error. */
  readonly maxClientHello: number;
  /** Body of any other handshake message outside Certificate, bytes. Reached: decode_error. */
  readonly maxHandshakeMessage: number;
  /** Body of a client's Certificate, and the declared size of a compressed one, bytes. */
  readonly maxCertificateMessage: number;
  /** Entries of a client's Certificate. Reached: decode_error. */
  readonly maxCertificateEntries: number;
  /** Body of a message after the handshake (only KeyUpdate is legal), bytes. Reached: decode_error. */
  readonly maxPostHandshakeMessage: number;
  /** Records in a row without content: empty application data, change_cipher_spec. */
  readonly maxUselessRecords: number;
  /** user_canceled alerts in a row. */
  readonly maxUserCanceled: number;
  /** KeyUpdates in a row without application data. */
  readonly maxKeyUpdatesWithoutData: number;
  /** PSK identities opened per hello; the rest is parsed and skipped. */
  readonly maxPskIdentities: number;
  /** Wire bytes of refused 0-RTT that are dropped, headers and tags counted. */
  readonly maxSkippedEarlyData: number;
  /** Records under one AES-GCM key before we send KeyUpdate (RFC 9846 §5.5). */
  readonly rekeyAfterRecords: number;
  /** Largest TLSInnerPlaintext we take, type and padding counted (RFC 8449). */
  readonly recordSizeLimit: number;
  /** ECH configs of one config_id that are tried per hello. */
  readonly maxEchCandidates: number;
  /** NewSessionTickets after a full handshake; one follows a resumption. */
  readonly ticketCount: number;
}

export const DEFAULT_LIMITS: Limits = {
  maxClientHello: 16384,
  maxHandshakeMessage: 16384,
  maxCertificateMessage: 102400,
  maxCertificateEntries: 10,
  maxPostHandshakeMessage: 1,
  maxUselessRecords: 32,
  maxUserCanceled: 4,
  maxKeyUpdatesWithoutData: 32,
  maxPskIdentities: 4,
  maxSkippedEarlyData: 16384,
  rekeyAfterRecords: 2 ** 23,
  recordSizeLimit: 16385,
  maxEchCandidates: 4,
  ticketCount: 2,
};
