/**
 * The hellos of one connection attempt: a plain one, or an inner and an outer, first and second.
 * @module
 */
import type { KeyPair } from "../crypto/crypto.ts";
import { GROUP_NAMES } from "../tls/suites.ts";
import {
  CipherSuite,
  ExtensionType,
  NamedGroup,
  PskKeyExchangeMode,
  SignatureScheme,
  TLS13,
} from "../tls/wire/code-points.ts";
import type { EchConfig } from "../tls/wire/ech-config.ts";
import { COMPRESSED_BY_DEFAULT, greaseEch } from "./ech-offer.ts";
import * as ext from "./extensions.ts";
import type { Extension } from "./extensions.ts";
import { type HelloFields, PLAIN_FIELDS } from "./hello.ts";
import type { Attempt, ClientOptions, HelloRole } from "./options.ts";
import { type ClientSession, greaseSessions, offerSessions } from "./session.ts";

export const DEFAULT_SUITES: readonly number[] = [
  CipherSuite.TLS_AES_128_GCM_SHA256,
  CipherSuite.TLS_AES_256_GCM_SHA384,
  CipherSuite.TLS_CHACHA20_POLY1305_SHA256,
];

const DEFAULT_GROUPS: readonly number[] = [
  NamedGroup.x25519,
  NamedGroup.secp256r1,
  NamedGroup.secp384r1,
];

export const DEFAULT_SCHEMES: readonly number[] = [
  SignatureScheme.ecdsa_secp256r1_sha256,
  SignatureScheme.ecdsa_secp384r1_sha384,
  SignatureScheme.ed25519,
  SignatureScheme.rsa_pss_rsae_sha256,
  SignatureScheme.rsa_pss_rsae_sha384,
  SignatureScheme.rsa_pss_rsae_sha512,
];

/** What a HelloRetryRequest asks for. */
export interface Retry {
  readonly group: number | undefined;
  readonly cookie: Uint8Array | undefined;
}

export class HelloMaker {
  readonly #options: ClientOptions;
  readonly #config: EchConfig | undefined;
  readonly #random: Uint8Array;
  readonly #outerRandom: Uint8Array;
  readonly #sessionId: Uint8Array;
  readonly #grease: Extension | undefined;
  readonly #pairs = new Map<number, KeyPair>();
  #greasePsk: Extension | undefined;

  /** @param config the ECHConfig of a real offer */
  constructor(options: ClientOptions, config: EchConfig | undefined) {
    const { crypto } = options;
    this.#options = options;
    this.#config = config;
    this.#random = crypto.random(32);
    this.#outerRandom = crypto.random(32);
    this.#sessionId = options.compatibilityMode === false ? new Uint8Array(0) : crypto.random(32);
    this.#grease = options.ech === "grease" ? greaseEch(crypto) : undefined;
  }

  get groups(): readonly number[] {
    return this.#options.groups ?? DEFAULT_GROUPS;
  }

  /** The secret shared with the server's share; undefined where that share is invalid or the group never ours. */
  agree(group: number, share: Uint8Array): Uint8Array | undefined {
    return this.#pairs.get(group)?.agree(share);
  }

  hasShare(group: number): boolean {
    return this.#pairs.has(group);
  }

  /**
   * All fields, with zeros for binders and without the ECH extension of a real outer hello (its place is taken by an
   * empty one).
   */
  fields(
    role: HelloRole,
    attempt: Attempt,
    sessions: readonly ClientSession[],
    nowMs: number,
    retry?: Retry,
  ): HelloFields {
    const fields: HelloFields = {
      ...PLAIN_FIELDS,
      random: role === "outer" ? this.#outerRandom : this.#random,
      sessionId: this.#sessionId,
      cipherSuites: this.#options.suites ?? DEFAULT_SUITES,
      extensions: this.#extensions(role, attempt, sessions, nowMs, retry),
    };
    return this.#options.hooks?.hello?.(fields, role, attempt) ?? fields;
  }

  #extensions(
    role: HelloRole,
    attempt: Attempt,
    sessions: readonly ClientSession[],
    nowMs: number,
    retry: Retry | undefined,
  ): Extension[] {
    const options = this.#options;
    const list: Extension[] = [
      ...this.#names(role),
      ext.supportedVersions(options.versions ?? [TLS13]),
      ext.pskKeyExchangeModes(options.pskModes ?? [PskKeyExchangeMode.psk_dhe_ke]),
      ...(retry?.cookie === undefined ? [] : [ext.cookie(retry.cookie)]),
      ext.supportedGroups(this.groups),
      ext.signatureAlgorithms(options.signatureSchemes ?? DEFAULT_SCHEMES),
      ext.keyShare(this.#shares(retry)),
      ...(options.ocsp ? [ext.statusRequest()] : []),
      ...(options.scts ? [ext.signedCertificateTimestamp()] : []),
      ...(options.compression ? [ext.compressCertificate(options.compression)] : []),
      ...(options.recordSizeLimit ? [ext.recordSizeLimit(options.recordSizeLimit)] : []),
      ...(options.ticketRequest
        ? [
          ext.ticketRequest(
            options.ticketRequest.newSessionCount,
            options.ticketRequest.resumptionCount,
          ),
        ]
        : []),
      ...(options.extensions ?? []),
      ...(options.earlyDataBytes !== undefined && attempt === 1 ? [ext.earlyData()] : []),
    ];
    return [...this.#compressedTogether(role, list), ...this.#last(role, sessions, nowMs)];
  }

  #names(role: HelloRole): Extension[] {
    const { serverName, alpn, ech } = this.#options;
    if (role !== "outer") {
      return [
        ...(serverName === undefined ? [] : [ext.serverName(serverName)]),
        ...(alpn === undefined ? [] : [ext.alpn(alpn)]),
      ];
    }
    const { knobs, outerAlpn } = ech as Exclude<typeof ech, "grease" | undefined>;
    const name = knobs?.outerName === undefined ? this.#config!.publicName : knobs.outerName;
    return [
      ...(name === null ? [] : [ext.serverName(name)]),
      ...(outerAlpn === undefined ? [] : [ext.alpn(outerAlpn)]),
    ];
  }

  /** RFC 9849 §5.1: what is compressed stands together in the inner hello, in the outer's order. */
  #compressedTogether(role: HelloRole, list: Extension[]): Extension[] {
    const { ech } = this.#options;
    if (role === "plain" || ech === "grease") return list;
    const compress = ech?.compress ?? COMPRESSED_BY_DEFAULT;
    return [
      ...list.filter(([type]) => !compress.includes(type)),
      ...list.filter(([type]) => compress.includes(type)),
    ];
  }

  #last(role: HelloRole, sessions: readonly ClientSession[], nowMs: number): Extension[] {
    const { crypto, ech } = this.#options;
    const list: Extension[] = [];
    if (role === "outer") list.push([ExtensionType.encrypted_client_hello, new Uint8Array(0)]);
    else if (role === "inner") {
      const mark = (ech as { knobs?: { innerMark?: Uint8Array | null } }).knobs?.innerMark;
      if (mark === undefined) list.push(ext.echInner());
      else if (mark !== null) list.push([ExtensionType.encrypted_client_hello, mark]);
    } else if (this.#grease !== undefined) list.push(this.#grease);
    if (sessions.length > 0) {
      if (role === "outer") list.push(this.#greasePsk ??= greaseSessions(crypto, sessions));
      else list.push(offerSessions(sessions, nowMs));
    }
    return list;
  }

  #shares(retry: Retry | undefined): [number, Uint8Array][] {
    const groups = retry?.group !== undefined
      ? [retry.group]
      : this.#options.keyShares ?? this.groups.slice(0, 1);
    return groups.map((group) => {
      const name = GROUP_NAMES.get(group);
      if (name === undefined) return [group, Uint8Array.of(0)];
      let pair = this.#pairs.get(group);
      if (pair === undefined) this.#pairs.set(group, pair = this.#options.crypto.keyPair(name));
      return [group, pair.share];
    });
  }
}
