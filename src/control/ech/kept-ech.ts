/**
 * A configuration's ECH keys, to serve with and as they are kept.
 * @module
 */
import type { Config } from "../../config/config.ts";
import type { Crypto } from "../../crypto/crypto.ts";
import type { StoredEchKeys } from "../../snapshot/codec.ts";
import { echKey, EchKeySet } from "../../tls/ech.ts";
import type { Storage } from "../storage/storage.ts";
import { ensureEchKeySet, loadEchKeys } from "./ech-key-store.ts";
import { maximumNameLength } from "./ech-keys.ts";

export interface KeptEch {
  readonly set: EchKeySet;
  /** The same keys, as they are kept. */
  readonly stored: StoredEchKeys;
}

/**
 * Undefined: ECH is off.
 *
 * @param before what serves now: the same object again where nothing has changed
 * @throws {EchKeyError | StorageError | RangeError} as `ensureEchKeySet`
 */
export async function openKeptEch(
  { ech, sites }: Config,
  storage: Storage,
  crypto: Crypto,
  nowMs: number,
  before: KeptEch | undefined,
): Promise<KeptEch | undefined> {
  if (!ech.enabled) return undefined;
  const set = await ensureEchKeySet(crypto, storage, {
    publicName: ech.publicName,
    maximumNameLength: maximumNameLength(namesOf(sites), false),
    nowMs,
  });
  const next = { set, stored: { state: set.state, keys: await loadEchKeys(storage) } };
  return before !== undefined && isSameEch(before, next) ? before : next;
}

/** As a snapshot has kept them. */
export function keptEchOf(crypto: Crypto, stored: StoredEchKeys): KeptEch {
  return {
    set: new EchKeySet(stored.keys.map((key) => echKey(crypto, key)), stored.state),
    stored,
  };
}

export function isSameEch(a: KeptEch, b: KeptEch): boolean {
  return a.stored.state === b.stored.state &&
    JSON.stringify(a.stored.keys) === JSON.stringify(b.stored.keys);
}

function* namesOf(sites: Config["sites"]): Generator<string> {
  for (const { names, ech } of sites) if (ech) yield* names;
}
