/**
 * The identities and binders of a ClientHello's pre_shared_key (RFC 9846 §4.3.11), whose syntax has been checked,
 * where they stand.
 *
 *     PskIdentity identities<7..2^16-1>;     struct { opaque identity<1..2^16-1>; uint32 obfuscated_ticket_age; }
 *     PskBinderEntry binders<33..2^16-1>;    opaque<32..255>
 *
 * @module
 */
import { TlsError } from "../error.ts";
import { part, u16At } from "./vectors.ts";

/** Offsets alone: `bytes` is the hello that it was made of, or a copy of it. */
export class OfferedPsks {
  readonly count: number;
  readonly #identitiesAt: number;
  readonly #bindersAt: number;
  /** Where identity number `#index` starts: reading them in order takes one walk. */
  #index = 0;
  #at: number;

  /** @throws {TlsError} "identities and binders differ in number" */
  constructor(bytes: Uint8Array, at: number, end: number) {
    this.#identitiesAt = this.#at = at + 2;
    this.#bindersAt = this.#identitiesAt + u16At(bytes, at) + 2;
    let identities = 0;
    for (let i = this.#identitiesAt; i < this.#bindersAt - 2; i += 6 + u16At(bytes, i)) {
      identities++;
    }
    let binders = 0;
    for (let i = this.#bindersAt; i < end; i += 1 + bytes[i]!) binders++;
    if (identities !== binders) throw new TlsError("identities and binders differ in number");
    this.count = identities;
  }

  /** @throws {RangeError} no such identity, as in the two below */
  identity(bytes: Uint8Array, index: number): Uint8Array {
    const at = this.#identityAt(bytes, index);
    return part(bytes, at + 2, at + 2 + u16At(bytes, at));
  }

  obfuscatedAge(bytes: Uint8Array, index: number): number {
    const identity = this.#identityAt(bytes, index);
    const at = identity + 2 + u16At(bytes, identity);
    return u16At(bytes, at) * 0x10000 + u16At(bytes, at + 2);
  }

  binder(bytes: Uint8Array, index: number): Uint8Array {
    checkPskIndex(index, this.count);
    let at = this.#bindersAt;
    for (let i = 0; i < index; i++) at += 1 + bytes[at]!;
    return part(bytes, at + 1, at + 1 + bytes[at]!);
  }

  #identityAt(bytes: Uint8Array, index: number): number {
    checkPskIndex(index, this.count);
    if (index < this.#index) {
      this.#index = 0;
      this.#at = this.#identitiesAt;
    }
    for (; this.#index < index; this.#index++) this.#at += 6 + u16At(bytes, this.#at);
    return this.#at;
  }
}

export function checkPskIndex(index: number, count: number): void {
  if (!(index >= 0 && index < count)) throw new RangeError(`Cannot read PSK ${index} of ${count}`);
}
