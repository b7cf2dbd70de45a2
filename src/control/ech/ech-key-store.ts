/**
 * ECH keys in storage: what makes a restart come back with the keys that clients have cached.
 *
 *     ech/keys/<config_id>-<start of the public key>.json    one record
 *     ech/key-set.json                                       active or withdrawing (ech-server §6)
 *
 * @module
 */
import { Buffer } from "node:buffer";
import * as z from "zod/mini";
import type { Crypto } from "../../crypto/crypto.ts";
import { type EchKey, echKey, EchKeySet } from "../../tls/ech.ts";
import type { Storage } from "../storage/storage.ts";
import { type EchKeyRecord, type EchKeyWish, generateEchKey } from "./ech-keys.ts";
import { proveEchKey } from "./prove-ech-key.ts";

/** A record that cannot be used. Names where it lies, never what it holds. */
export class EchKeyError extends Error {
  override readonly name = "EchKeyError";
}

/**
 * The key set as it was left, newest keys first; undefined if there has never been a key.
 *
 * @throws {EchKeyError} a record is damaged, or an active set has no key to hand out
 * @throws {StorageError}
 */
export async function loadEchKeySet(
  crypto: Crypto,
  storage: Storage,
): Promise<EchKeySet | undefined> {
  const keys = await loadReady(crypto, storage);
  if (keys.length === 0) return undefined;
  const state = await loadEchState(storage);
  if (state === "active" && !keys.some(isHandedOut)) {
    throw unusable(storage, KEYS, "no key is marked to be handed out");
  }
  return new EchKeySet(keys, state);
}

/**
 * The key set for a server with one public name: the one in storage, with a first key for that name if none is handed
 * out yet. Keys of an earlier public name stay, but only to decrypt. A set that is withdrawing is left alone.
 *
 * @throws {RangeError} as `generateEchKey` does
 * @throws {Error} as `proveEchKey` does
 * @throws {EchKeyError} as `loadEchKeySet` does
 * @throws {StorageError}
 */
export async function ensureEchKeySet(
  crypto: Crypto,
  storage: Storage,
  wish: Omit<EchKeyWish, "knownIds">,
): Promise<EchKeySet> {
  const present = await loadReady(crypto, storage);
  const state = await loadEchState(storage);
  if (state === "withdrawing") return new EchKeySet(present, state);
  const publicName = wish.publicName.toLowerCase();
  const isCurrent = (key: EchKey): boolean =>
    isHandedOut(key) && key.config.publicName === publicName;
  if (present.some(isCurrent)) return new EchKeySet(present, state);
  const knownIds = new Set(present.map((key) => key.configId));
  const fresh = generateEchKey(crypto, { ...wish, knownIds });
  await proveEchKey(crypto, fresh);
  // The new key first: at no moment is there an active set without a key to hand out.
  await saveEchKey(storage, fresh);
  for (const { at, record } of await loadStored(storage)) {
    if (at === keyFor(fresh) || !record.retry) continue;
    await saveEchKey(storage, { ...record, retry: false });
  }
  return new EchKeySet(await loadReady(crypto, storage), state);
}

/** All records, newest first. @throws {EchKeyError} one of them is damaged */
export async function loadEchKeys(storage: Storage): Promise<EchKeyRecord[]> {
  return (await loadStored(storage)).map((stored) => stored.record);
}

/** Keeps a record; the same key saved again replaces it (its `retry` flag changes that way). */
export async function saveEchKey(storage: Storage, record: EchKeyRecord): Promise<void> {
  const json = JSON.stringify({
    privateKey: Buffer.from(record.privateKey).toString("base64"),
    config: Buffer.from(record.config).toString("base64"),
    retry: record.retry,
    created: new Date(record.createdMs).toISOString(),
  });
  await storage.put(keyFor(record), Buffer.from(json + "\n"));
}

/** Erases a key for good: hellos sealed to it are rejected from the next load on. */
export async function forgetEchKey(storage: Storage, record: EchKeyRecord): Promise<void> {
  await storage.delete(keyFor(record));
}

export async function loadEchState(storage: Storage): Promise<EchKeySet["state"]> {
  const bytes = await storage.get(STATE);
  if (bytes === undefined) return "active";
  return parse(storage, STATE, bytes, stateShape).state;
}

/** Enter "withdrawing" only when no DNS record with our configs can be cached any more (ech-server §6). */
export async function saveEchState(storage: Storage, state: EchKeySet["state"]): Promise<void> {
  await storage.put(STATE, Buffer.from(JSON.stringify({ state }) + "\n"));
}

/** Not counting a config that clients have to skip (ech-server §12). */
function isHandedOut(key: EchKey): boolean {
  return key.retry && !key.config.hasUnknownMandatory;
}

async function loadReady(crypto: Crypto, storage: Storage): Promise<EchKey[]> {
  return (await loadStored(storage)).map(({ at, record }) => {
    try {
      return echKey(crypto, record);
    } catch (error) {
      throw unusable(storage, at, error instanceof Error ? error.message : "it does not load");
    }
  });
}

interface Stored {
  readonly at: string;
  readonly record: EchKeyRecord;
}

async function loadStored(storage: Storage): Promise<Stored[]> {
  const stored: Stored[] = [];
  for (const at of await storage.list(KEYS)) {
    const bytes = await storage.get(at);
    if (bytes === undefined) continue; // another process has just erased it
    const json = parse(storage, at, bytes, recordShape);
    stored.push({
      at,
      record: {
        privateKey: new Uint8Array(Buffer.from(json.privateKey, "base64")),
        config: new Uint8Array(Buffer.from(json.config, "base64")),
        retry: json.retry,
        createdMs: Date.parse(json.created),
      },
    });
  }
  return stored.sort((a, b) => b.record.createdMs - a.record.createdMs || (a.at < b.at ? -1 : 1));
}

/** What a parser says of broken JSON quotes it, and here that is a private key: the cause is dropped. */
function parse<T>(storage: Storage, at: string, bytes: Uint8Array, shape: z.ZodMiniType<T>): T {
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(bytes).toString("utf8"));
  } catch {
    throw unusable(storage, at, "it is not JSON");
  }
  const result = shape.safeParse(json);
  if (result.success) return result.data;
  const fields = result.error.issues.map((issue) => issue.path.join(".") || "the whole");
  throw unusable(storage, at, `not as expected: ${fields.join(", ")}`);
}

/** config_ids may come back after years, so the public key (the config holds it) is part of the name. */
function keyFor(record: EchKeyRecord): string {
  const id = record.config[CONFIG_ID_AT] ?? 0;
  const start = record.config.subarray(PUBLIC_KEY_AT, PUBLIC_KEY_AT + 8);
  return `${KEYS}/${id.toString(16).padStart(2, "0")}-${Buffer.from(start).toString("hex")}.json`;
}

function unusable(storage: Storage, at: string, why: string): EchKeyError {
  return new EchKeyError(`Cannot use ${at} in ${storage.description}: ${why}`);
}

const recordShape = z.object({
  privateKey: z.base64(),
  config: z.base64(),
  retry: z.boolean(),
  created: z.iso.datetime(),
});
const stateShape = z.object({ state: z.enum(["active", "withdrawing"]) });

const KEYS = "ech/keys";
const STATE = "ech/key-set.json";
/** Behind version and length; then config_id, kem_id and the length of the public key. */
const CONFIG_ID_AT = 4;
const PUBLIC_KEY_AT = 9;
