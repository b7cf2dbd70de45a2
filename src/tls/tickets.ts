/**
 * Stateless session tickets (RFC 9846 §4.7.1; format: tls13-server §7.1).
 *
 *     ticket = key_name 16 ‖ seed 32 ‖ AEAD(key, nonce; aad = key_name ‖ seed; state)
 *     key 32 ‖ nonce 12 = HKDF-Expand(ticket_key, "sotto ticket 1" ‖ seed)
 *
 * Each ticket has a key of its own, so there is no count of random nonces to watch. The state is of one size whatever
 * it says: behind one public name, the length of a ticket must not tell sites apart.
 *
 * @module
 */
import type { Aead, Crypto } from "../crypto/crypto.ts";
import { Reader } from "./wire/reader.ts";
import { Writer } from "./wire/writer.ts";

/** What a ticket remembers. */
export interface TicketState {
  /** CipherSuite code point; its hash is the PSK's. */
  readonly suite: number;
  /** 32 or 48 bytes. */
  readonly psk: Uint8Array;
  readonly createdMs: number;
  /** When the full handshake at the root of the chain of resumptions was. */
  readonly authenticatedSeconds: number;
  readonly lifetimeSeconds: number;
  readonly ageAdd: number;
  /** SHA-256 of the lower-cased server name, the inner one if ECH was accepted. */
  readonly serverNameHash: Uint8Array;
  /** As negotiated. A name over 32 bytes is not stored: it comes back as "", which equals no protocol. */
  readonly alpn: string | undefined;
  readonly policyId: number;
  readonly echAccepted: boolean;
}

/** One generation. */
export interface TicketKey {
  /** 16 random bytes, not secret. */
  readonly name: Uint8Array;
  /** 32 bytes. */
  readonly key: Uint8Array;
  readonly createdMs: number;
}

export class TicketKeys {
  readonly keys: readonly TicketKey[];
  readonly lifetimeSeconds: number;
  readonly #crypto: Crypto;

  /**
   * @param keys the first one seals, all open
   * @throws {RangeError} no key, one of the wrong size, or a lifetime that RFC 9846 §4.7.1 does not allow
   */
  constructor(crypto: Crypto, keys: readonly TicketKey[], lifetimeSeconds: number) {
    if (keys.length === 0) throw new RangeError("Cannot seal tickets: no key");
    if (keys.some((key) => key.name.length !== NAME_LENGTH || key.key.length !== KEY_LENGTH)) {
      throw new RangeError("Cannot seal tickets: a key is of the wrong size");
    }
    if (!(lifetimeSeconds > 0 && lifetimeSeconds <= MAX_LIFETIME_SECONDS)) {
      throw new RangeError(`Cannot seal tickets: lifetime of ${lifetimeSeconds} seconds`);
    }
    this.#crypto = crypto;
    this.keys = keys;
    this.lifetimeSeconds = lifetimeSeconds;
  }

  /** A ticket: `TICKET_LENGTH` bytes. @throws {RangeError} a PSK or hash of the wrong size */
  seal(state: TicketState): Uint8Array {
    const key = this.keys[0]!;
    const ticket = new Uint8Array(TICKET_LENGTH);
    ticket.set(key.name);
    ticket.set(this.#crypto.random(SEED_LENGTH), NAME_LENGTH);
    const { aead, nonce } = this.#derive(key, ticket);
    const encoded = encodeState(state);
    aead.seal(nonce, ticket.slice(0, AAD_LENGTH), encoded, ticket, AAD_LENGTH);
    encoded.fill(0);
    return ticket;
  }

  /** What an identity of pre_shared_key says; undefined if it is none of our tickets, whatever the reason. */
  open(identity: Uint8Array): TicketState | undefined {
    if (identity.length !== TICKET_LENGTH) return undefined;
    const key = this.keys.find((key) => startsWith(identity, key.name));
    if (key === undefined) return undefined;
    const { aead, nonce } = this.#derive(key, identity);
    const state = aead.open(nonce, identity.slice(0, AAD_LENGTH), identity.slice(AAD_LENGTH));
    return state === undefined ? undefined : decodeState(state);
  }

  /** HKDF-Expand alone: the ticket key is uniformly random already (RFC 5869 §3.3). */
  #derive(key: TicketKey, ticket: Uint8Array): { readonly aead: Aead; readonly nonce: Uint8Array } {
    for (let i = 0; i < SEED_LENGTH; i++) expandInput[SEED_AT + i] = ticket[NAME_LENGTH + i]!;
    expandInput[COUNTER_AT] = 1;
    const first = this.#crypto.hmac("sha256", key.key, firstExpandInput);
    expandInput.set(first);
    expandInput[COUNTER_AT] = 2;
    const second = this.#crypto.hmac("sha256", key.key, expandInput);
    expandInput.fill(0, 0, first.length);
    return { aead: this.#crypto.aead("aes-256-gcm", first), nonce: second.slice(0, 12) };
  }
}

export function freshTicketKey(crypto: Crypto, nowMs: number): TicketKey {
  return { name: crypto.random(NAME_LENGTH), key: crypto.random(KEY_LENGTH), createdMs: nowMs };
}

/**
 * `next` issues from now on; of the older ones so many are kept that `generations` open. Several nodes that share keys
 * first let every node accept it (`[keys[0], next, …]`), then rotate to it: it moves to the front.
 */
export function rotate(
  keys: readonly TicketKey[],
  next: TicketKey,
  generations: number,
): TicketKey[] {
  const others = keys.filter((key) => !startsWith(key.name, next.name));
  return [next, ...others].slice(0, Math.max(1, generations));
}

/** For storage: version ‖ (name ‖ key ‖ createdMs u64)*. It holds secrets. */
export function encodeTicketKeys(keys: readonly TicketKey[]): Uint8Array {
  const w = new Writer(1 + keys.length * STORED_KEY_LENGTH);
  w.u8(STORAGE_VERSION);
  for (const { name, key, createdMs } of keys) writeU64(w.bytes(name).bytes(key), createdMs);
  return w.copy();
}

/** @throws {RangeError} another version, or not whole */
export function decodeTicketKeys(bytes: Uint8Array): TicketKey[] {
  if (bytes[0] !== STORAGE_VERSION || (bytes.length - 1) % STORED_KEY_LENGTH !== 0) {
    throw new RangeError("Cannot decode ticket keys: unknown version or wrong length");
  }
  const r = new Reader(new Uint8Array(bytes), 1);
  const keys: TicketKey[] = [];
  while (r.left > 0) {
    const name = r.bytes(NAME_LENGTH);
    const key = r.bytes(KEY_LENGTH);
    keys.push({ name, key, createdMs: readU64(r) });
  }
  return keys;
}

/*
 * struct {
 *     uint8  format_version = 1;
 *     uint16 suite;
 *     uint8  psk_length;         opaque psk[48];             padded with zeros
 *     uint64 created_ms;         uint64 authenticated_s;
 *     uint32 lifetime;           uint32 age_add;
 *     opaque server_name_hash[32];
 *     uint8  alpn_length;        opaque alpn[32];            length 0: none, 255: too long to store
 *     uint32 policy_id;
 *     uint8  flags;                                          1: ECH accepted
 *     uint32 max_early_data_size = 0;                        0-RTT is not offered
 * } State;
 *
 * A view of memory that is reused: whoever has sealed it wipes it.
 */
function encodeState(state: TicketState): Uint8Array {
  if (state.psk.length !== 32 && state.psk.length !== MAX_PSK) {
    throw new RangeError(`Cannot seal a ticket: PSK of ${state.psk.length} bytes`);
  }
  if (state.serverNameHash.length !== 32) {
    throw new RangeError(`Cannot seal a ticket: name hash of ${state.serverNameHash.length} bytes`);
  }
  const w = stateWriter.reset();
  w.u8(FORMAT_VERSION).u16(state.suite);
  w.u8(state.psk.length).bytes(state.psk).zeros(MAX_PSK - state.psk.length);
  writeU64(w, state.createdMs);
  writeU64(w, state.authenticatedSeconds);
  w.u32(state.lifetimeSeconds).u32(state.ageAdd).bytes(state.serverNameHash);
  writeAlpn(w, state.alpn);
  w.u32(state.policyId).u8(state.echAccepted ? ECH_ACCEPTED : 0).u32(0);
  return w.view();
}

/** `bytes` is the provider's: the state lives in a copy. */
function decodeState(bytes: Uint8Array): TicketState | undefined {
  const r = new Reader(new Uint8Array(bytes));
  if (r.u8() !== FORMAT_VERSION) return undefined;
  const suite = r.u16();
  const pskLength = r.u8();
  if (pskLength !== 32 && pskLength !== MAX_PSK) return undefined;
  const psk = r.bytes(MAX_PSK).subarray(0, pskLength);
  const createdMs = readU64(r);
  const authenticatedSeconds = readU64(r);
  const lifetimeSeconds = readU32(r);
  const ageAdd = readU32(r);
  const serverNameHash = r.bytes(32);
  const alpn = readAlpn(r);
  const policyId = readU32(r);
  const echAccepted = (r.u8() & ECH_ACCEPTED) !== 0;
  return {
    suite,
    psk,
    createdMs,
    authenticatedSeconds,
    lifetimeSeconds,
    ageAdd,
    serverNameHash,
    alpn,
    policyId,
    echAccepted,
  };
}

/** Protocol names are bytes (RFC 7301 §3.1); as strings, one character each. */
function writeAlpn(w: Writer, alpn: string | undefined): void {
  const length = alpn === undefined ? 0 : alpn.length;
  if (alpn === "" || length > MAX_ALPN) {
    w.u8(ALPN_NOT_STORED).zeros(MAX_ALPN);
    return;
  }
  w.u8(length);
  for (let i = 0; i < length; i++) w.u8(alpn!.charCodeAt(i));
  w.zeros(MAX_ALPN - length);
}

function readAlpn(r: Reader): string | undefined {
  const length = r.u8();
  const bytes = r.bytes(MAX_ALPN);
  if (length === 0) return undefined;
  return length > MAX_ALPN ? "" : String.fromCharCode(...bytes.subarray(0, length));
}

function writeU64(w: Writer, value: number): void {
  w.u32(Math.floor(value / 2 ** 32)).u32(value % 2 ** 32);
}

function readU64(r: Reader): number {
  return readU32(r) * 2 ** 32 + readU32(r);
}

function readU32(r: Reader): number {
  return r.u16() * 2 ** 16 + r.u16();
}

/** Names are public: no need for constant time. */
function startsWith(bytes: Uint8Array, name: Uint8Array): boolean {
  for (let i = 0; i < NAME_LENGTH; i++) {
    if (bytes[i] !== name[i]) return false;
  }
  return true;
}

const NAME_LENGTH = 16;
const KEY_LENGTH = 32;
const SEED_LENGTH = 32;
const AAD_LENGTH = NAME_LENGTH + SEED_LENGTH;
const MAX_PSK = 48;
const MAX_ALPN = 32;
const ALPN_NOT_STORED = 255;
const ECH_ACCEPTED = 1;
const FORMAT_VERSION = 1;
const STATE_LENGTH = 1 + 2 + 1 + MAX_PSK + 8 + 8 + 4 + 4 + 32 + 1 + MAX_ALPN + 4 + 1 + 4;
/** Every ticket has this many bytes. */
export const TICKET_LENGTH: number = AAD_LENGTH + STATE_LENGTH + 16;
const STORAGE_VERSION = 1;
const STORED_KEY_LENGTH = NAME_LENGTH + KEY_LENGTH + 8;
const MAX_LIFETIME_SECONDS = 604800;
/** "sotto ticket 1" */
const INFO = Uint8Array.from("sotto ticket 1", (character) => character.charCodeAt(0));

/** The input of HKDF-Expand's HMACs: T(1) ‖ info ‖ seed ‖ counter; the first one's is without T(1). */
const SEED_AT = 32 + INFO.length;
const COUNTER_AT = SEED_AT + SEED_LENGTH;
const expandInput = new Uint8Array(COUNTER_AT + 1);
expandInput.set(INFO, 32);
const firstExpandInput = expandInput.subarray(32);
const stateWriter = new Writer(STATE_LENGTH);
