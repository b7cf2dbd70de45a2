/**
 * The keys that tickets are sealed with: a new one twice a day (policy §5, tls13-server §7.1).
 * @module
 */
import type { Crypto } from "../crypto/crypto.ts";
import { freshTicketKey, rotate, type TicketKey, TicketKeys } from "../tls/tickets.ts";

export class TicketRotation {
  readonly #crypto: Crypto;
  readonly #now: () => number;
  /** The newest first. */
  #keys: readonly TicketKey[];
  #tickets: TicketKeys;

  constructor(crypto: Crypto, now: () => number) {
    this.#crypto = crypto;
    this.#now = now;
    this.#keys = [freshTicketKey(crypto, now())];
    this.#tickets = new TicketKeys(crypto, this.#keys, LIFETIME_SECONDS);
  }

  get tickets(): TicketKeys {
    return this.#tickets;
  }

  /** Where it is due. True: there is a new generation. */
  rotate(): boolean {
    const nowMs = this.#now();
    const ageMs = nowMs - this.#keys[0]!.createdMs;
    // Below 0 the clock was set back: rather one rotation too many than none for long.
    if (ageMs >= 0 && ageMs < ROTATION_MS) return false;
    this.#keys = rotate(this.#keys, freshTicketKey(this.#crypto, nowMs), GENERATIONS);
    this.#tickets = new TicketKeys(this.#crypto, this.#keys, LIFETIME_SECONDS);
    return true;
  }
}

/** policy §5 and tls13-server §7.1: a key opens what it sealed for as long as that may be used. */
const ROTATION_MS = 12 * 3600_000;
const GENERATIONS = 4;
const LIFETIME_SECONDS = 36 * 3600;
