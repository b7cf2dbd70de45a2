/**
 * ClientHellos for tests that no client would send: every field free, no keys behind them, the same bytes each time.
 *
 * The default is a hello that a server takes: its key share is X25519's base point, a valid public value whose private
 * half nobody holds. For a handshake that goes on, use `Pair`.
 *
 * @module
 */
import * as ext from "../../src/client/extensions.ts";
import type { Extension } from "../../src/client/extensions.ts";
import { encodeClientHello, type HelloFields, PLAIN_FIELDS } from "../../src/client/hello.ts";
import {
  CipherSuite,
  ContentType,
  NamedGroup,
  SignatureScheme,
  TLS13,
} from "../../src/tls/wire/code-points.ts";

export { ext };
export type { Extension };

export interface HelloOverrides extends Partial<HelloFields> {
  /** server_name; null: without the extension. Default "a.example". */
  readonly serverName?: string | null;
  readonly alpn?: readonly string[];
  readonly versions?: readonly number[];
  readonly groups?: readonly number[];
  readonly keyShares?: readonly (readonly [group: number, keyExchange: Uint8Array])[];
  readonly signatureSchemes?: readonly number[];
  /** These take the place of the default of their type, or follow the defaults. */
  readonly replace?: readonly Extension[];
  /** Types left out of the defaults. */
  readonly without?: readonly number[];
  /** Appended to the ClientHello structure, inside the handshake message. */
  readonly trailing?: Uint8Array;
}

export const BASE_POINT_X25519: Uint8Array = Uint8Array.from(
  { length: 32 },
  (_, i) => i === 0 ? 9 : 0,
);

/** A whole ClientHello message with its 4-byte header. `extensions` replaces the defaults altogether. */
export function hello(overrides: HelloOverrides = {}): Uint8Array {
  const message = encodeClientHello(helloFields(overrides));
  const trailing = overrides.trailing;
  return trailing === undefined ? message : withTrailing(message, trailing);
}

/** The same as fields, for tests that go on changing them. */
export function helloFields(overrides: HelloOverrides = {}): HelloFields {
  return {
    ...PLAIN_FIELDS,
    legacyVersion: overrides.legacyVersion ?? PLAIN_FIELDS.legacyVersion,
    random: overrides.random ?? new Uint8Array(32).fill(0x52),
    sessionId: overrides.sessionId ?? new Uint8Array(32).fill(0x53),
    cipherSuites: overrides.cipherSuites ?? [
      CipherSuite.TLS_AES_128_GCM_SHA256,
      CipherSuite.TLS_AES_256_GCM_SHA384,
      CipherSuite.TLS_CHACHA20_POLY1305_SHA256,
    ],
    compressionMethods: overrides.compressionMethods ?? PLAIN_FIELDS.compressionMethods,
    extensions: "extensions" in overrides ? overrides.extensions : defaultExtensions(overrides),
  };
}

export function defaultExtensions(overrides: HelloOverrides = {}): Extension[] {
  const { serverName = "a.example", alpn, replace = [], without = [] } = overrides;
  const defaults: Extension[] = [
    ...(serverName === null ? [] : [ext.serverName(serverName)]),
    ...(alpn === undefined ? [] : [ext.alpn(alpn)]),
    ext.supportedVersions(overrides.versions ?? [TLS13]),
    ext.supportedGroups(overrides.groups ?? [NamedGroup.x25519, NamedGroup.secp256r1]),
    ext.signatureAlgorithms(
      overrides.signatureSchemes ?? [
        SignatureScheme.ecdsa_secp256r1_sha256,
        SignatureScheme.ecdsa_secp384r1_sha384,
        SignatureScheme.rsa_pss_rsae_sha256,
        SignatureScheme.ed25519,
      ],
    ),
    ext.keyShare(overrides.keyShares ?? [[NamedGroup.x25519, BASE_POINT_X25519]]),
  ];
  const kept = defaults.filter(([type]) => !without.includes(type));
  return [
    ...kept.map((extension) => replace.find(([type]) => type === extension[0]) ?? extension),
    ...replace.filter(([type]) => !kept.some(([other]) => other === type)),
  ];
}

/** `content` in plaintext records of at most `fragmentBytes`. */
export function plaintextRecords(
  content: Uint8Array,
  options: { type?: number; version?: number; fragmentBytes?: number } = {},
): Uint8Array {
  const { type = ContentType.handshake, version = 0x0301, fragmentBytes = 16384 } = options;
  const records: Uint8Array[] = [];
  for (let at = 0; at === 0 || at < content.length; at += fragmentBytes) {
    const part = content.subarray(at, at + fragmentBytes);
    records.push(
      Uint8Array.of(type, version >> 8, version & 255, part.length >> 8, part.length & 255),
      part,
    );
  }
  return joined(records);
}

export function joined(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

function withTrailing(message: Uint8Array, trailing: Uint8Array): Uint8Array {
  const bytes = joined([message, trailing]);
  const length = bytes.length - 4;
  bytes[1] = length >> 16;
  bytes[2] = length >> 8;
  bytes[3] = length;
  return bytes;
}
