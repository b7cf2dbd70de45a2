/**
 * What the rest of sotto wants from cryptography: synchronous, and coarse where the hot path is.
 *
 * Four providers implement it (`native.ts`, `openssl.ts`, `wasm.ts`, `noble.ts`); `choose.ts` puts one together per runtime,
 * primitive by primitive. Nothing here knows TLS messages: names are those of the registries, secrets are bytes.
 *
 * Ownership, unless a method says otherwise: arguments are borrowed for the call, results are the caller's.
 *
 * @module
 */
export type HashName = "sha256" | "sha384";
export type AeadName = "aes-128-gcm" | "aes-256-gcm" | "chacha20-poly1305";
export type GroupName = "x25519" | "secp256r1" | "secp384r1" | "X25519MLKEM768";
/** RFC 9846 §4.3.3, those that a CertificateVerify can carry. */
export type SignatureName =
  | "ecdsa_secp256r1_sha256"
  | "ecdsa_secp384r1_sha384"
  | "rsa_pss_rsae_sha256"
  | "rsa_pss_rsae_sha384"
  | "rsa_pss_rsae_sha512"
  | "rsa_pss_pss_sha256"
  | "rsa_pss_pss_sha384"
  | "rsa_pss_pss_sha512"
  | "ed25519";

/** A cipher suite as the key schedule sees it. */
export interface Suite {
  readonly aead: AeadName;
  readonly hash: HashName;
  /** Bytes of an AEAD key: 16 or 32. IVs are 12 bytes, tags 16. */
  readonly keyLength: 16 | 32;
  /** Bytes of a hash and of every secret: 32 or 48. */
  readonly hashLength: 32 | 48;
}

export interface Crypto {
  /** For people: "native", "noble", "native + wasm (wide)". */
  readonly name: string;

  /** `length` bytes from the system's CSPRNG. */
  random(length: number): Uint8Array;

  /** True if both are equal; time depends on the lengths alone. */
  equal(a: Uint8Array, b: Uint8Array): boolean;

  digest(hash: HashName, bytes: Uint8Array): Uint8Array;
  hmac(hash: HashName, key: Uint8Array, bytes: Uint8Array): Uint8Array;
  hash(hash: HashName): RunningHash;

  /** All of them, the one whose bytes cost this runtime least first. */
  readonly aeads: readonly AeadName[];

  /** One AEAD key made ready. @throws {RangeError} a key of another length than the AEAD's. */
  aead(name: AeadName, key: Uint8Array): Aead;

  /**
   * The server's half of a key exchange in one step: a fresh ephemeral key (or encapsulation) against the peer's share.
   *
   * Undefined where the peer's share is invalid: wrong length, not on the curve, compressed, infinity, an all-zero
   * X25519 result, an ML-KEM encapsulation key with a coefficient ≥ 3329.
   */
  answerShare(group: GroupName, peerShare: Uint8Array): SharedKey | undefined;

  /** A fresh key pair whose owner speaks first: the client's side of a key exchange. */
  keyPair(group: GroupName): KeyPair;

  readonly schedule: KeySchedule;

  /**
   * A private HPKE key made ready for one `info` (RFC 9180 §5.1.1, base mode, KDF HKDF-SHA256).
   *
   * @param kem 0x0020 (X25519) or 0x0010 (P-256)
   * @param privateKey the raw private key (32 bytes)
   * @throws {RangeError} an unknown KEM or a key of the wrong length
   */
  hpkeRecipient(kem: number, privateKey: Uint8Array, info: Uint8Array): HpkeRecipient;

  /** A fresh raw HPKE key pair for `kem`. */
  hpkeKeyPair(kem: number): { readonly privateKey: Uint8Array; readonly publicKey: Uint8Array };

  /**
   * A private key made ready to sign.
   *
   * @param key PKCS#8, SEC 1 or PKCS#1 in PEM, or what such a block holds
   * @throws {TypeError} it cannot be read, or its kind is none of ECDSA P-256/P-384, RSA ≥ 2048, RSA-PSS, Ed25519
   */
  signingKey(key: string | PrivateKeyBlock): SigningKey;

  /**
   * One signature with a key that is not ready (ecdsa_secp256r1_sha256), where that is cheaper than to make it ready: the
   * point is not compared with the scalar. Undefined: it is not.
   *
   * @throws {TypeError} the scalar is none
   */
  readonly signOnce?: ((key: P256Numbers, content: Uint8Array) => Uint8Array) | undefined;

  /**
   * Verifies a CertificateVerify signature.
   *
   * @param spki the signer's SubjectPublicKeyInfo, DER
   * @returns false for a wrong signature, a key that does not fit the scheme, or one that cannot be read
   */
  verify(
    scheme: SignatureName,
    spki: Uint8Array,
    content: Uint8Array,
    signature: Uint8Array,
  ): boolean;
}

/** A hash that goes on after it has been asked. */
export interface RunningHash {
  update(bytes: Uint8Array): void;
  /** The hash of all bytes so far; more may follow. */
  digest(): Uint8Array;
  /** A second one that goes its own way from here. */
  clone(): RunningHash;
}

/** A PEM block without its armour. */
export interface PrivateKeyBlock {
  /** "PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY" */
  readonly label: string;
  readonly der: Uint8Array;
  /** Where they are known, for providers that have no use for the rest. Undefined also of a P-256 key: look into `der`. */
  readonly p256?: P256Numbers;
}

/** A key of P-256: the bytes may be views of something larger, and are not kept. */
export interface P256Numbers {
  /** Big-endian, 32 bytes. */
  readonly scalar: Uint8Array;
  /** Uncompressed, 65 bytes. */
  readonly point: Uint8Array;
}

export interface Aead {
  /**
   * Encrypts `plaintext` into `out` at `at`, tag behind it; returns the end. `plaintext` may be the very bytes at
   * `out[at..]` (in place), else it must not overlap.
   */
  seal(
    nonce: Uint8Array,
    aad: Uint8Array,
    plaintext: Uint8Array,
    out: Uint8Array,
    at: number,
  ): number;

  /**
   * Absent, or `seal` of `content` ‖ `rest` for the price of less copying where `content` is long. `rest` may be the
   * very bytes where it goes in `out`; `content` must not overlap.
   */
  sealJoined?(
    nonce: Uint8Array,
    aad: Uint8Array,
    content: Uint8Array,
    rest: Uint8Array,
    out: Uint8Array,
    at: number,
  ): number;

  /** Decrypts ciphertext ‖ tag; undefined if it does not verify. The view is valid until the provider's next call. */
  open(nonce: Uint8Array, aad: Uint8Array, ciphertext: Uint8Array): Uint8Array | undefined;
}

export interface SharedKey {
  /** What goes back to the peer: our public key, or ciphertext ‖ public key. */
  readonly share: Uint8Array;
  readonly secret: Uint8Array;
}

export interface KeyPair {
  readonly share: Uint8Array;
  /** The shared secret; undefined where the peer's share is invalid. */
  agree(peerShare: Uint8Array): Uint8Array | undefined;
}

export interface SigningKey {
  /** What this key can sign with, best first. */
  readonly schemes: readonly SignatureName[];
  /** Its public half, SubjectPublicKeyInfo in DER: compared with the certificate's. */
  readonly spki: Uint8Array;
  /** True where a signature takes milliseconds (RSA): worth another thread, if there is one. */
  readonly slow: boolean;
  /** ECDSA as DER; RSA-PSS with salt length = hash length, checked before it is returned (RFC 9846 §C.3). */
  sign(scheme: SignatureName, content: Uint8Array): Uint8Array;
}

export interface HpkeRecipient {
  readonly publicKey: Uint8Array;
  /**
   * SetupBaseR (RFC 9180 §5.1.1). Undefined where `enc` is invalid (length, all-zero result, not on the curve) or the
   * AEAD is unknown.
   *
   * @param aead 0x0001 AES-128-GCM, 0x0002 AES-256-GCM, 0x0003 ChaCha20-Poly1305
   */
  setup(aead: number, enc: Uint8Array): HpkeContext | undefined;
}

export interface HpkeContext {
  /** Opens the next message. Undefined if it does not verify; only success moves on to the next nonce. */
  open(aad: Uint8Array, ciphertext: Uint8Array): Uint8Array | undefined;
  /** The KEM's shared secret, for SSLKEYLOGFILE alone (RFC 9850, ECH_SECRET). */
  readonly sharedSecret: Uint8Array;
}

export interface TrafficKeys {
  readonly key: Uint8Array;
  readonly iv: Uint8Array;
}

export interface HandshakeSecrets {
  /** client_handshake_traffic_secret and server_handshake_traffic_secret. */
  readonly clientTraffic: Uint8Array;
  readonly serverTraffic: Uint8Array;
  readonly clientKeys: TrafficKeys;
  readonly serverKeys: TrafficKeys;
  readonly clientFinishedKey: Uint8Array;
  readonly serverFinishedKey: Uint8Array;
  /** The Main Secret: all that the second half needs. */
  readonly main: Uint8Array;
}

export interface ApplicationSecrets {
  /** client_application_traffic_secret_0 and server_application_traffic_secret_0. */
  readonly clientTraffic: Uint8Array;
  readonly serverTraffic: Uint8Array;
  readonly clientKeys: TrafficKeys;
  readonly serverKeys: TrafficKeys;
  readonly exporter: Uint8Array;
}

/**
 * The key schedule (RFC 9846 §7.1) in the steps that a handshake takes, each one call.
 * `…Hash` arguments are transcript hashes of the suite's hash.
 */
export interface KeySchedule {
  /** HMAC under the binder key of a resumption PSK, over the hash of the truncated hello (§4.3.11.2). */
  binder(hash: HashName, psk: Uint8Array, truncatedHelloHash: Uint8Array): Uint8Array;

  /** First half: from PSK (undefined: none) and (EC)DHE secret to the handshake keys. `helloHash`: CH..SH. */
  handshake(
    suite: Suite,
    psk: Uint8Array | undefined,
    sharedSecret: Uint8Array,
    helloHash: Uint8Array,
  ): HandshakeSecrets;

  /** Second half: from the Main Secret to the application keys. `finishedHash`: CH..server Finished. */
  application(suite: Suite, main: Uint8Array, finishedHash: Uint8Array): ApplicationSecrets;

  /** verify_data of a Finished (§4.5.3). */
  finished(hash: HashName, finishedKey: Uint8Array, transcriptHash: Uint8Array): Uint8Array;

  /** resumption_secret. `clientFinishedHash`: CH..client Finished. */
  resumption(hash: HashName, main: Uint8Array, clientFinishedHash: Uint8Array): Uint8Array;

  /** The PSK of one ticket (§4.7.1). */
  ticketPsk(hash: HashName, resumptionSecret: Uint8Array, nonce: Uint8Array): Uint8Array;

  /** The next generation of a traffic secret and its keys (§7.2). */
  update(suite: Suite, trafficSecret: Uint8Array): {
    readonly secret: Uint8Array;
    readonly keys: TrafficKeys;
  };

  /** An exported value (§7.5). Any length up to 255 × the hash's. */
  exporter(
    hash: HashName,
    exporterSecret: Uint8Array,
    label: string,
    context: Uint8Array,
    length: number,
  ): Uint8Array;

  /** The 8 bytes of RFC 9849 §7.2: label is "ech accept confirmation" or "hrr ech accept confirmation". */
  echConfirmation(
    hash: HashName,
    innerRandom: Uint8Array,
    label: "ech accept confirmation" | "hrr ech accept confirmation",
    transcriptHash: Uint8Array,
  ): Uint8Array;
}
