/**
 * HPKE, the receiver's side of base mode (RFC 9180 §5.1.1), synchronous, KDF HKDF-SHA256.
 *
 *     dh     = DH(skR, enc)
 *     shared = LabeledExpand(LabeledExtract("", "eae_prk", dh), "shared_secret", enc ‖ pkR, 32)
 *     secret = LabeledExtract(shared, "secret", "")
 *     key, base_nonce = LabeledExpand(secret, "key" | "base_nonce", 0 ‖ psk_id_hash ‖ info_hash, …)
 *
 * Everything that does not depend on `enc` is built once per recipient, so a `setup` is one key agreement and five
 * HMACs, or one call where the provider has it. Inputs that are reused hold public bytes only, except the one for `dh`,
 * which is wiped after use.
 *
 * @module
 */
import { makeAead } from "./aead.ts";
import type { Aead, AeadName, HpkeContext, HpkeRecipient, KeyPair } from "./crypto.ts";
import type { DiffieHellman, Hmac, HpkeSecrets, Primitives, Steps } from "./primitives.ts";

type HpkePrimitives =
  & Pick<
    Primitives,
    "hmac" | "system" | "aes-gcm" | "chacha20-poly1305" | "x25519" | "secp256r1"
  >
  & Pick<Steps, "hpkeSetup">;

const KEM_P256 = 0x0010;
const KEM_X25519 = 0x0020;
const KDF_HKDF_SHA256 = 0x0001;
const AEADS: ReadonlyMap<number, { readonly name: AeadName; readonly keyLength: number }> = new Map(
  [
    [0x0001, { name: "aes-128-gcm", keyLength: 16 }],
    [0x0002, { name: "aes-256-gcm", keyLength: 32 }],
    [0x0003, { name: "chacha20-poly1305", keyLength: 32 }],
  ] as const,
);

export class HpkeKey implements HpkeRecipient {
  readonly #primitives: HpkePrimitives;
  readonly #kem: number;
  readonly #keyPair: KeyPair;
  /** Kept where the provider takes the whole setup at once. */
  readonly #privateKey: Uint8Array | undefined;
  readonly #info: Uint8Array;
  /** LabeledExtract's input for "eae_prk" with room for dh; LabeledExpand's for "shared_secret" with room for enc. */
  readonly #eaePrk: Uint8Array;
  readonly #sharedSecret: Uint8Array;
  readonly #encAt: number;
  readonly #schedules = new Map<number, AeadSchedule>();

  constructor(primitives: HpkePrimitives, kem: number, privateKey: Uint8Array, info: Uint8Array) {
    this.#primitives = primitives;
    this.#kem = kem;
    this.#keyPair = kemOf(primitives, kem).from(privateKey);
    this.#privateKey = kem === KEM_X25519 && primitives.hpkeSetup !== undefined
      ? privateKey.slice()
      : undefined;
    this.#info = info.slice();
    const { share } = this.#keyPair;
    const suite = Uint8Array.of(...ascii("KEM"), kem >>> 8, kem & 0xff);
    this.#eaePrk = join(VERSION, suite, ascii("eae_prk"), new Uint8Array(DH_LENGTH));
    const head = join(Uint8Array.of(0, HASH_LENGTH), VERSION, suite, ascii("shared_secret"));
    this.#encAt = head.length;
    this.#sharedSecret = join(head, new Uint8Array(share.length), share, Uint8Array.of(1));
  }

  get publicKey(): Uint8Array {
    return this.#keyPair.share;
  }

  setup(aead: number, enc: Uint8Array): HpkeContext | undefined {
    const schedule = this.#scheduleOf(aead);
    if (schedule === undefined || enc.length !== this.publicKey.length) return undefined;
    const secrets = this.#privateKey === undefined
      ? this.#composed(schedule, enc)
      : this.#primitives.hpkeSetup!(
        this.#privateKey,
        this.publicKey,
        enc,
        aead,
        schedule.keyLength,
        schedule.context,
      );
    if (secrets === undefined) return undefined;
    const { key, baseNonce, sharedSecret } = secrets;
    return new Receiver(makeAead(this.#primitives, schedule.name, key), baseNonce, sharedSecret);
  }

  #composed(schedule: AeadSchedule, enc: Uint8Array): HpkeSecrets | undefined {
    const dh = this.#keyPair.agree(enc);
    if (dh === undefined) return undefined;
    const sharedSecret = this.#decapsulated(dh, enc);
    const { hmac } = this.#primitives;
    const secret = hmac("sha256", sharedSecret, schedule.secret);
    return {
      sharedSecret,
      key: hmac("sha256", secret, schedule.key).subarray(0, schedule.keyLength),
      baseNonce: hmac("sha256", secret, schedule.baseNonce).subarray(0, NONCE_LENGTH),
    };
  }

  /** ExtractAndExpand of RFC 9180 §4.1. */
  #decapsulated(dh: Uint8Array, enc: Uint8Array): Uint8Array {
    const { hmac } = this.#primitives;
    const dhAt = this.#eaePrk.length - DH_LENGTH;
    this.#eaePrk.set(dh, dhAt);
    const eaePrk = hmac("sha256", NO_SALT, this.#eaePrk);
    this.#eaePrk.fill(0, dhAt);
    this.#sharedSecret.set(enc, this.#encAt);
    return hmac("sha256", eaePrk, this.#sharedSecret);
  }

  #scheduleOf(aead: number): AeadSchedule | undefined {
    let schedule = this.#schedules.get(aead);
    if (schedule === undefined && AEADS.has(aead)) {
      schedule = aeadSchedule(this.#primitives.hmac, this.#kem, aead, this.#info);
      this.#schedules.set(aead, schedule);
    }
    return schedule;
  }
}

/** A fresh raw key pair for `kem`. @throws {RangeError} an unknown KEM */
export function hpkeKeyPair(
  primitives: HpkePrimitives,
  kem: number,
): { readonly privateKey: Uint8Array; readonly publicKey: Uint8Array } {
  const group = kemOf(primitives, kem);
  for (;;) {
    const privateKey = primitives.system.random(32);
    try {
      return { privateKey, publicKey: group.from(privateKey).share };
    } catch (error) {
      // A P-256 scalar outside [1, n): once in 2^32.
      if (!(error instanceof RangeError)) throw error;
    }
  }
}

function kemOf(primitives: HpkePrimitives, kem: number): DiffieHellman {
  if (kem === KEM_X25519) return primitives.x25519;
  if (kem === KEM_P256) return primitives.secp256r1;
  throw new RangeError(`Cannot use KEM 0x${kem.toString(16).padStart(4, "0")}`);
}

class Receiver implements HpkeContext {
  readonly sharedSecret: Uint8Array;
  readonly #aead: Aead;
  readonly #baseNonce: Uint8Array;
  #sequence = 0;

  constructor(aead: Aead, baseNonce: Uint8Array, sharedSecret: Uint8Array) {
    this.#aead = aead;
    this.#baseNonce = baseNonce;
    this.sharedSecret = sharedSecret;
  }

  open(aad: Uint8Array, ciphertext: Uint8Array): Uint8Array | undefined {
    const plaintext = this.#aead.open(this.#nonce(), aad, ciphertext);
    if (plaintext === undefined) return undefined;
    this.#sequence++;
    return plaintext.slice(); // an Aead's view does not outlive its next call
  }

  /** base_nonce XOR the sequence number, big-endian in its last 8 bytes (RFC 9180 §5.2). */
  #nonce(): Uint8Array {
    const nonce = new Uint8Array(this.#baseNonce);
    let rest = this.#sequence;
    for (let at = NONCE_LENGTH - 1; rest > 0; at--) {
      nonce[at] = nonce[at]! ^ (rest % 256);
      rest = Math.floor(rest / 256);
    }
    return nonce;
  }
}

/** The inputs of the key schedule's three HMACs (RFC 9180 §5.1) for one AEAD and `info`. */
interface AeadSchedule {
  readonly name: AeadName;
  readonly keyLength: number;
  /** mode ‖ psk_id_hash ‖ info_hash */
  readonly context: Uint8Array;
  readonly secret: Uint8Array;
  readonly key: Uint8Array;
  readonly baseNonce: Uint8Array;
}

function aeadSchedule(hmac: Hmac, kem: number, aead: number, info: Uint8Array): AeadSchedule {
  const { name, keyLength } = AEADS.get(aead)!;
  const ids = [kem, KDF_HKDF_SHA256, aead].flatMap((id) => [id >>> 8, id & 0xff]);
  const suite = Uint8Array.of(...ascii("HPKE"), ...ids);
  const extractInput = (label: string, input: Uint8Array): Uint8Array =>
    join(VERSION, suite, ascii(label), input);
  const pskIdHash = hmac("sha256", NO_SALT, extractInput("psk_id_hash", new Uint8Array(0)));
  const infoHash = hmac("sha256", NO_SALT, extractInput("info_hash", info));
  const context = join(Uint8Array.of(MODE_BASE), pskIdHash, infoHash);
  const expandInput = (label: string, length: number): Uint8Array =>
    join(Uint8Array.of(0, length), VERSION, suite, ascii(label), context, Uint8Array.of(1));
  return {
    name,
    keyLength,
    context,
    secret: extractInput("secret", new Uint8Array(0)),
    key: expandInput("key", keyLength),
    baseNonce: expandInput("base_nonce", NONCE_LENGTH),
  };
}

function join(...parts: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

function ascii(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

const MODE_BASE = 0x00;
const HASH_LENGTH = 32;
const DH_LENGTH = 32;
const NONCE_LENGTH = 12;
const VERSION = ascii("HPKE-v1");
/** HMAC pads its key with zeros: an empty salt and this one are the same, and not every HMAC takes an empty key. */
const NO_SALT = new Uint8Array(HASH_LENGTH);
