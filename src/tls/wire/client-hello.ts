/**
 * ClientHello (RFC 9846 §4.2.2), read once, in place: offsets and views, no copies, no strings.
 *
 *     ProtocolVersion legacy_version = 0x0303;
 *     Random random;
 *     opaque legacy_session_id<0..32>;
 *     CipherSuite cipher_suites<2..2^16-2>;
 *     opaque legacy_compression_methods<1..2^8-1>;
 *     Extension extensions<7..2^16-1>;
 *
 * Linear in the hello's bytes whatever they are, and nothing is allocated per extension, share or identity. The inner
 * hello of ECH comes through here as well, once it has been rebuilt.
 *
 * @module
 */
import { TlsError } from "../error.ts";
import { listsProtocol, listsProtocolAlone, protocolNames } from "./alpn.ts";
import {
  checkExtension,
  checkServerName,
  checkSupportedVersions,
} from "./client-hello-extensions.ts";
import {
  CipherSuite,
  ExtensionType,
  HandshakeType,
  LEGACY_VERSION,
  PskKeyExchangeMode,
  TLS13,
} from "./code-points.ts";
import { isHostName } from "./host-name.ts";
import { checkShares, countKeyShares, findKeyShare, hasKeyShare } from "./key-shares.ts";
import { checkPskIndex, OfferedPsks } from "./offered-psks.ts";
import { hasCode, latin1, mark, part, u16At, u24At, unmark } from "./vectors.ts";

export { checkSecondClientHello } from "./second-client-hello.ts";

/**
 * Step 2 of tls13-server §2.1: syntax of the body, where each extension is, and that none occurs twice.
 *
 * `message` is the whole handshake message with its 4-byte header; it is aliased, not copied.
 *
 * @throws {TlsError} "unexpected message" (another type), "message too short", "trailing bytes", "vector too short",
 * "vector too long", "odd vector length", "duplicate extension"
 */
export function parseClientHello(message: Uint8Array): ClientHello {
  return new ClientHello(message);
}

/** Offsets count from the start of the message; an end is the offset behind the last byte. */
export class ClientHello {
  readonly legacyVersion: number;
  readonly randomAt = 6;
  readonly sessionIdAt = 39;
  readonly sessionIdEnd: number;
  readonly cipherSuitesAt: number;
  readonly cipherSuitesEnd: number;
  readonly compressionAt: number;
  readonly compressionEnd: number;
  /** The extensions themselves, without their 2-byte length. Both are the message's length where there are none. */
  readonly extensionsAt: number;
  readonly extensionsEnd: number;

  #bytes: Uint8Array;
  /** By slot: where the body of a known extension starts; 0: absent. Its length stands in the two bytes before. */
  readonly #bodies: number[];
  #nameAt = 0;
  #nameEnd = 0;
  #psks: OfferedPsks | undefined;

  constructor(message: Uint8Array) {
    const end = message.length;
    if (end < 4) throw new TlsError("message too short");
    if (message[0] !== HandshakeType.client_hello) throw new TlsError("unexpected message");
    const length = u24At(message, 1);
    if (length > end - 4) throw new TlsError("message too short");
    if (length < end - 4) throw new TlsError("trailing bytes", "ClientHello");

    this.#bytes = message;
    if (end < this.sessionIdAt) throw new TlsError("message too short");
    this.legacyVersion = u16At(message, 4);
    const sessionIdLength = message[this.sessionIdAt - 1]!;
    if (sessionIdLength > 32) throw new TlsError("vector too long", "legacy_session_id");
    this.sessionIdEnd = this.sessionIdAt + sessionIdLength;

    this.cipherSuitesAt = this.sessionIdEnd + 2;
    if (this.cipherSuitesAt > end) throw new TlsError("message too short");
    const cipherSuitesLength = u16At(message, this.sessionIdEnd);
    if (cipherSuitesLength === 0) throw new TlsError("vector too short", "cipher_suites");
    if (cipherSuitesLength % 2 !== 0) throw new TlsError("odd vector length", "cipher_suites");
    this.cipherSuitesEnd = this.cipherSuitesAt + cipherSuitesLength;

    this.compressionAt = this.cipherSuitesEnd + 1;
    if (this.compressionAt > end) throw new TlsError("message too short");
    const compressionLength = message[this.cipherSuitesEnd]!;
    if (compressionLength === 0) throw new TlsError("vector too short", "compression methods");
    this.compressionEnd = this.compressionAt + compressionLength;
    if (this.compressionEnd > end) throw new TlsError("message too short");

    this.#bodies = NO_BODIES.slice();
    if (this.compressionEnd === end) {
      this.extensionsAt = end;
      this.extensionsEnd = end;
      return;
    }
    this.extensionsAt = this.compressionEnd + 2;
    if (this.extensionsAt > end) throw new TlsError("message too short");
    this.extensionsEnd = this.extensionsAt + u16At(message, this.compressionEnd);
    if (this.extensionsEnd > end) throw new TlsError("message too short");
    if (this.extensionsEnd < end) throw new TlsError("trailing bytes", "ClientHello");
    this.#indexExtensions();
  }

  /**
   * Steps 5 to 9 of tls13-server §2.1, in that order: what can be wrong with a hello by itself. Once the hello to go
   * on with is known (the inner one, if ECH was accepted), this comes before any getter below.
   *
   * @throws {TlsError} decode errors; "bad server_name"; "no TLS version in common"; "legacy_version is not 0x0303";
   * "bad compression methods"; "bad record_size_limit"; "extension not allowed here"; "pre_shared_key is not last";
   * "identities and binders differ in number"; "missing …" for signature_algorithms, supported_groups, key_share,
   * psk_key_exchange_modes
   */
  checkExtensions(): void {
    this.#checkServerName();
    this.#checkVersion();
    this.#checkEachExtension();
    this.#checkMissingExtensions();
  }

  /** The whole message. */
  get bytes(): Uint8Array {
    return this.#bytes;
  }

  get random(): Uint8Array {
    return this.#bytes.slice(this.randomAt, this.randomAt + 32);
  }

  get sessionId(): Uint8Array {
    return this.#bytes.slice(this.sessionIdAt, this.sessionIdEnd);
  }

  /** Whether an extension is there, of those that code-points.ts names. */
  has(type: number): boolean {
    return this.#bodies[SLOT_OF[type]!] !== 0;
  }

  /** A view of a known extension's body. */
  body(type: number): Uint8Array | undefined {
    const at = this.#bodyAt(type);
    return at === 0 ? undefined : part(this.#bytes, at, this.#bodyEnd(at));
  }

  /** The body of encrypted_client_hello: ECH blanks its payload by offset. -1 where there is none. */
  get echAt(): number {
    return this.has(ExtensionType.encrypted_client_hello)
      ? this.#bodyAt(ExtensionType.encrypted_client_hello)
      : -1;
  }

  get echEnd(): number {
    return this.has(ExtensionType.encrypted_client_hello) ? this.#bodyEnd(this.echAt) : -1;
  }

  /** By supported_versions alone; false without it. May be asked before `checkExtensions`. */
  offersVersion(version: number): boolean {
    return this.#lists(ExtensionType.supported_versions, 1, version);
  }

  /**
   * The host_name as sent, in any case, without a trailing dot. Undefined where there is none, or where it is an IP
   * address or otherwise no host name (policy §6.4: as if it were absent).
   */
  get serverName(): Uint8Array | undefined {
    return this.#nameAt === 0 ? undefined : this.#bytes.slice(this.#nameAt, this.#nameEnd);
  }

  /** The same as lower-case text. */
  get serverNameText(): string | undefined {
    return this.#nameAt === 0
      ? undefined
      : latin1(this.#bytes, this.#nameAt, this.#nameEnd).toLowerCase();
  }

  offersCipherSuite(code: number): boolean {
    return hasCode(this.#bytes, this.cipherSuitesAt, this.cipherSuitesEnd, code);
  }

  /** True if ChaCha20 stands before every AES suite: a client without AES instructions. */
  get prefersChaCha20(): boolean {
    for (let at = this.cipherSuitesAt; at < this.cipherSuitesEnd; at += 2) {
      const code = u16At(this.#bytes, at);
      if (code === CipherSuite.TLS_CHACHA20_POLY1305_SHA256) return true;
      if (code >= CipherSuite.TLS_AES_128_GCM_SHA256 && code <= AES_128_CCM_8_SHA256) return false;
    }
    return false;
  }

  offersGroup(code: number): boolean {
    return this.#lists(ExtensionType.supported_groups, 2, code);
  }

  /**
   * Step 15: RFC 9846 §4.3.7 and §4.3.8 let a server refuse a group listed twice, a second share of a group, and a
   * share for a group that is not listed. Another order of the shares is let pass.
   *
   * @throws {TlsError} "duplicate group", "duplicate key share", "key share for an unlisted group"
   */
  checkKeyShares(): void {
    const groups = this.#bodyAt(ExtensionType.supported_groups);
    const shares = this.#bodyAt(ExtensionType.key_share);
    if (groups === 0 || shares === 0) return;
    const groupsEnd = this.#bodyEnd(groups);
    checkShares(this.#bytes, groups + 2, groupsEnd, shares + 2, this.#bodyEnd(shares));
  }

  /** The key_exchange of the first share of a group. */
  keyShare(group: number): Uint8Array | undefined {
    const shares = this.#bodyAt(ExtensionType.key_share);
    if (shares === 0) return undefined;
    return findKeyShare(this.#bytes, shares + 2, this.#bodyEnd(shares), group);
  }

  hasKeyShare(group: number): boolean {
    const shares = this.#bodyAt(ExtensionType.key_share);
    return shares !== 0 && hasKeyShare(this.#bytes, shares + 2, this.#bodyEnd(shares), group);
  }

  get keyShareCount(): number {
    const shares = this.#bodyAt(ExtensionType.key_share);
    return shares === 0 ? 0 : countKeyShares(this.#bytes, shares + 2, this.#bodyEnd(shares));
  }

  get hasSignatureAlgorithms(): boolean {
    return this.has(ExtensionType.signature_algorithms);
  }

  offersSignatureScheme(code: number): boolean {
    return this.#lists(ExtensionType.signature_algorithms, 2, code);
  }

  get offersAlpn(): boolean {
    return this.has(ExtensionType.application_layer_protocol_negotiation);
  }

  /** That protocol, and no other beside it. */
  offersAlpnAlone(name: string): boolean {
    const list = this.#bodyAt(ExtensionType.application_layer_protocol_negotiation);
    return list !== 0 && listsProtocolAlone(this.#bytes, list + 2, this.#bodyEnd(list), name);
  }

  /** One character per byte. For logs and tests. */
  alpnProtocols(): string[] {
    const list = this.#bodyAt(ExtensionType.application_layer_protocol_negotiation);
    return list === 0 ? [] : protocolNames(this.#bytes, list + 2, this.#bodyEnd(list));
  }

  /** The first of our protocols that the client lists (RFC 7301 §3.2: the server's order decides). */
  selectAlpn(ours: readonly string[]): string | undefined {
    const list = this.#bodyAt(ExtensionType.application_layer_protocol_negotiation);
    if (list === 0) return undefined;
    const end = this.#bodyEnd(list);
    for (const name of ours) {
      if (listsProtocol(this.#bytes, list + 2, end, name)) return name;
    }
    return undefined;
  }

  offersCertificateCompression(algorithm: number): boolean {
    return this.#lists(ExtensionType.compress_certificate, 1, algorithm);
  }

  get recordSizeLimit(): number | undefined {
    const at = this.#bodyAt(ExtensionType.record_size_limit);
    return at === 0 ? undefined : u16At(this.#bytes, at);
  }

  get offersPskDheKe(): boolean {
    const modes = this.#bodyAt(ExtensionType.psk_key_exchange_modes);
    if (modes === 0) return false;
    const end = this.#bodyEnd(modes);
    for (let at = modes + 1; at < end; at++) {
      if (this.#bytes[at] === PskKeyExchangeMode.psk_dhe_ke) return true;
    }
    return false;
  }

  get offersEarlyData(): boolean {
    return this.has(ExtensionType.early_data);
  }

  get wantsOcsp(): boolean {
    const at = this.#bodyAt(ExtensionType.status_request);
    return at !== 0 && this.#bytes[at] === 1;
  }

  get wantsSct(): boolean {
    return this.has(ExtensionType.signed_certificate_timestamp);
  }

  /** RFC 9149 §3. */
  get ticketRequest():
    | { readonly newSessionCount: number; readonly resumptionCount: number }
    | undefined {
    const at = this.#bodyAt(ExtensionType.ticket_request);
    if (at === 0) return undefined;
    return { newSessionCount: this.#bytes[at]!, resumptionCount: this.#bytes[at + 1]! };
  }

  /** As many identities as binders; 0 without pre_shared_key. */
  get pskCount(): number {
    return this.#psks?.count ?? 0;
  }

  /** @throws {RangeError} no such identity, as in the two below */
  pskIdentity(index: number): Uint8Array {
    return this.#offered(index).identity(this.#bytes, index);
  }

  /** obfuscated_ticket_age, milliseconds mod 2^32. */
  pskObfuscatedAge(index: number): number {
    return this.#offered(index).obfuscatedAge(this.#bytes, index);
  }

  /** Of any length: one that is not the hash's is a wrong binder. */
  pskBinder(index: number): Uint8Array {
    return this.#offered(index).binder(this.#bytes, index);
  }

  /** Where Truncate(ClientHello) ends (tls13-server §4.1): the offset of the binders' 2-byte length. -1 without a PSK. */
  get bindersAt(): number {
    const psks = this.#bodyAt(ExtensionType.pre_shared_key);
    return psks === 0 ? -1 : psks + 2 + u16At(this.#bytes, psks);
  }

  /** Puts a copy in place of the caller's bytes, for a hello that outlives the call. Views taken before keep theirs. */
  detach(): void {
    this.#bytes = this.#bytes.slice();
  }

  #indexExtensions(): void {
    const bytes = this.#bytes;
    const end = this.extensionsEnd;
    let at = this.extensionsAt;
    try {
      while (at < end) {
        if (end - at < 4) throw new TlsError("message too short");
        const type = u16At(bytes, at);
        const body = at + 4;
        const next = body + u16At(bytes, at + 2);
        if (next > end) throw new TlsError("message too short");
        if (!mark(type)) throw new TlsError("duplicate extension", `${type}`);
        const slot = SLOT_OF[type]!;
        if (slot !== 0) this.#bodies[slot] = body;
        at = next;
      }
    } finally {
      // Exactly those before `at` are marked.
      for (let i = this.extensionsAt; i < at; i += 4 + u16At(bytes, i + 2)) unmark(u16At(bytes, i));
    }
  }

  #checkServerName(): void {
    const at = this.#bodyAt(ExtensionType.server_name);
    if (at === 0) return;
    let end = this.#bodyEnd(at);
    const name = checkServerName(this.#bytes, at, end);
    if (this.#bytes[end - 1] === 0x2e) end--;
    if (!isHostName(this.#bytes, name, end)) return;
    this.#nameAt = name;
    this.#nameEnd = end;
  }

  #checkVersion(): void {
    const versions = this.#bodyAt(ExtensionType.supported_versions);
    if (versions !== 0) checkSupportedVersions(this.#bytes, versions, this.#bodyEnd(versions));
    if (!this.offersVersion(TLS13)) throw new TlsError("no TLS version in common");
    if (this.legacyVersion !== LEGACY_VERSION) throw new TlsError("legacy_version is not 0x0303");
    if (this.compressionEnd !== this.compressionAt + 1 || this.#bytes[this.compressionAt] !== 0) {
      throw new TlsError("bad compression methods");
    }
  }

  #checkEachExtension(): void {
    const bytes = this.#bytes;
    for (let at = this.extensionsAt; at < this.extensionsEnd;) {
      const next = at + 4 + u16At(bytes, at + 2);
      checkExtension(u16At(bytes, at), bytes, at + 4, next);
      at = next;
    }
    if (this.has(ExtensionType.oid_filters) || this.has(ExtensionType.ech_outer_extensions)) {
      throw new TlsError("extension not allowed here");
    }
    const psks = this.#bodyAt(ExtensionType.pre_shared_key);
    if (psks === 0) return;
    if (this.#bodyEnd(psks) !== this.extensionsEnd) {
      throw new TlsError("pre_shared_key is not last");
    }
    this.#psks = new OfferedPsks(bytes, psks, this.extensionsEnd);
  }

  /** RFC 9846 §9.2 and §4.3.9. */
  #checkMissingExtensions(): void {
    const groups = this.has(ExtensionType.supported_groups);
    const shares = this.has(ExtensionType.key_share);
    if (!this.has(ExtensionType.pre_shared_key)) {
      if (!this.hasSignatureAlgorithms) throw new TlsError("missing signature_algorithms");
      if (!groups) throw new TlsError("missing supported_groups");
    }
    if (groups && !shares) throw new TlsError("missing key_share");
    if (shares && !groups) throw new TlsError("missing supported_groups");
    if (
      this.has(ExtensionType.pre_shared_key) && !this.has(ExtensionType.psk_key_exchange_modes)
    ) throw new TlsError("missing psk_key_exchange_modes");
  }

  #bodyAt(type: number): number {
    return this.#bodies[SLOT_OF[type]!]!;
  }

  #bodyEnd(at: number): number {
    return at + u16At(this.#bytes, at - 2);
  }

  /** Whether an extension that is a list of two-byte code points behind a length of `prefix` bytes holds `code`. */
  #lists(type: number, prefix: number, code: number): boolean {
    const at = this.#bodyAt(type);
    return at !== 0 && hasCode(this.#bytes, at + prefix, this.#bodyEnd(at), code);
  }

  #offered(index: number): OfferedPsks {
    if (this.#psks === undefined) checkPskIndex(index, 0);
    return this.#psks!;
  }
}

const KNOWN: readonly number[] = Object.values(ExtensionType);

/** 0 for what we do not know, so that `#bodies[0]` stays "absent". */
const SLOT_OF = new Uint8Array(0x10000);
KNOWN.forEach((type, i) => (SLOT_OF[type] = i + 1));

const NO_BODIES: readonly number[] = [0, ...KNOWN.map(() => 0)];

/** The CCM suites, which we never choose, end the range of AES suites that starts at TLS_AES_128_GCM_SHA256. */
const AES_128_CCM_8_SHA256 = 0x1305;
