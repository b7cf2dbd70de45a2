/**
 * ServerHello and HelloRetryRequest (RFC 9846 §4.2.3, §4.2.4): one message, told apart by its random.
 *
 *     ProtocolVersion legacy_version = 0x0303;
 *     Random random;
 *     opaque legacy_session_id_echo<0..32>;
 *     CipherSuite cipher_suite;
 *     uint8 legacy_compression_method = 0;
 *     Extension extensions<6..2^16-1>;
 *
 * @module
 */
import { TlsError } from "../error.ts";
import { ExtensionType, HandshakeType, LEGACY_VERSION, TLS13 } from "./code-points.ts";
import { beginMessage, decodeExtensions, endMessage, openMessage } from "./message.ts";
import type { Reader } from "./reader.ts";
import { equalRanges } from "./vectors.ts";
import type { Writer } from "./writer.ts";

/** SHA-256 of "HelloRetryRequest". */
export const HELLO_RETRY_REQUEST_RANDOM: Uint8Array = Uint8Array.from(
  "cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c".match(/../g)!,
  (hex) => parseInt(hex, 16),
);

/** Offset of `random` in the message, header counted. The ECH signal goes into its last 8 bytes. */
export const SERVER_RANDOM_AT = 6;

export interface ServerHelloParts {
  /** 32 bytes. */
  readonly random: Uint8Array;
  /** The client's, as it sent it. */
  readonly sessionId: Uint8Array;
  readonly cipherSuite: number;
  readonly keyShare: KeyShareEntry;
  /** Index of the PSK that was chosen; undefined: none. */
  readonly selectedIdentity: number | undefined;
}

export interface HelloRetryRequestParts {
  readonly sessionId: Uint8Array;
  readonly cipherSuite: number;
  /** The group whose share the client shall send. */
  readonly group: number;
  /** The 8 bytes of ECH's signal, zeros if they are not known yet. They end the message. Undefined: no extension. */
  readonly ech: Uint8Array | undefined;
}

/** RFC 9846 §4.3.8 */
export interface KeyShareEntry {
  readonly group: number;
  readonly keyExchange: Uint8Array;
}

export function encodeServerHello(w: Writer, parts: ServerHelloParts): void {
  const message = beginHello(w, parts.random, parts.sessionId, parts.cipherSuite);
  const extensions = beginExtensions(w);
  const share = w.u16(ExtensionType.key_share).begin(2);
  w.u16(parts.keyShare.group).opaque16(parts.keyShare.keyExchange).end(share, 2);
  if (parts.selectedIdentity !== undefined) {
    w.u16(ExtensionType.pre_shared_key).u16(2).u16(parts.selectedIdentity);
  }
  w.end(extensions, 2);
  endMessage(w, message);
}

export function encodeHelloRetryRequest(w: Writer, parts: HelloRetryRequestParts): void {
  const message = beginHello(w, HELLO_RETRY_REQUEST_RANDOM, parts.sessionId, parts.cipherSuite);
  const extensions = beginExtensions(w);
  w.u16(ExtensionType.key_share).u16(2).u16(parts.group);
  if (parts.ech !== undefined) {
    w.u16(ExtensionType.encrypted_client_hello).opaque16(parts.ech);
  }
  w.end(extensions, 2);
  endMessage(w, message);
}

export interface ServerHello {
  /** A HelloRetryRequest, by its random. */
  readonly isRetry: boolean;
  readonly legacyVersion: number;
  readonly random: Uint8Array;
  readonly sessionId: Uint8Array;
  readonly cipherSuite: number;
  /** From supported_versions; without it legacy_version. */
  readonly selectedVersion: number;
  /** `keyExchange` is empty in a HelloRetryRequest, which names only the group. */
  readonly keyShare?: KeyShareEntry;
  readonly selectedIdentity?: number;
  readonly cookie?: Uint8Array;
  /** 8 bytes in a HelloRetryRequest; unread in a ServerHello, where it does not belong. */
  readonly ech?: Uint8Array;
  /** In wire order, known or not: whether they were asked for, and belong here, is for the client to judge. */
  readonly extensionTypes: readonly number[];
}

/** @throws {TlsError} decode errors; "duplicate extension"; "bad compression methods" */
export function decodeServerHello(message: Uint8Array): ServerHello {
  const r = openMessage(message, HandshakeType.server_hello);
  const legacyVersion = r.u16();
  const random = r.bytes(32);
  const sessionId = r.vector8();
  if (sessionId.left > 32) throw new TlsError("vector too long", "legacy_session_id_echo");
  const cipherSuite = r.u16();
  const hello = { legacyVersion, random, sessionId: sessionId.rest(), cipherSuite };
  if (r.u8() !== 0) throw new TlsError("bad compression methods");

  const isRetry = equalRanges(random, 0, 32, HELLO_RETRY_REQUEST_RANDOM, 0, 32);
  const extensions = r.left === 0 ? new Map<number, Reader>() : decodeExtensions(r);
  const known: { -readonly [K in keyof ServerHello]?: ServerHello[K] } = {};
  for (const [type, body] of extensions) {
    switch (type) {
      case ExtensionType.supported_versions:
        known.selectedVersion = body.u16();
        break;
      case ExtensionType.key_share:
        known.keyShare = {
          group: body.u16(),
          keyExchange: isRetry ? body.bytes(0) : body.vector16(1).rest(),
        };
        break;
      case ExtensionType.pre_shared_key:
        known.selectedIdentity = body.u16();
        break;
      case ExtensionType.cookie:
        known.cookie = body.vector16(1).rest();
        break;
      case ExtensionType.encrypted_client_hello:
        known.ech = isRetry ? body.bytes(8) : body.rest();
        break;
      default:
        continue;
    }
    body.finish("extension");
  }
  return {
    isRetry,
    selectedVersion: legacyVersion,
    ...hello,
    ...known,
    extensionTypes: [...extensions.keys()],
  };
}

function beginHello(w: Writer, random: Uint8Array, sessionId: Uint8Array, suite: number): number {
  const message = beginMessage(w, HandshakeType.server_hello);
  w.u16(LEGACY_VERSION).bytes(random).opaque8(sessionId).u16(suite).u8(0);
  return message;
}

function beginExtensions(w: Writer): number {
  const extensions = w.begin(2);
  w.u16(ExtensionType.supported_versions).u16(2).u16(TLS13);
  return extensions;
}
