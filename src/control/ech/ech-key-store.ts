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
import { echKey, EchKeySet } from "../../tls/ech.ts";
import type { Storage } from "../storage/storage.ts";
import { type EchKeyRecord, type EchKeyWish, generateEchKey } from "./ech-keys.ts";

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
  const stored = await loadStored(storage);
  if (stored.length === 0) return undefined;
  const keys = stored.map(({ at, record }) => {
    try {
      return echKey(crypto, record);
    } catch (error) {
      throw unusable(storage, at, error instanceof Error ? error.message : "it does not load");
    }
  });
  const state = await loadEchState(storage);
  try {
    return new EchKeySet(keys, state);
  } catch (error) {
    throw unusable(storage, "ech/keys", error instanceof Error ? error.message : "no usable set");
  }
}

/**
 * The key set for a server with one public name: the one in storage, with a first key for that name if none is handed
 * out yet. Keys of an earlier public name stay, but only to decrypt. A set that is withdrawing is left alone.
 */
export async function ensureEchKeySet(
  crypto: Crypto,
  storage: Storage,
  wish: Omit<EchKeyWish, "knownIds">,
): Promise<EchKeySet> {
  const present = await loadEchKeySet(crypto, storage);
  if (present !== undefined && present.state === "withdrawing") return present;
  const publicName = wish.publicName.toLowerCase();
  const ours = present?.keys.some((key) => key.retry && key.config.publicName === publicName);
  if (present !== undefined && ours === true) return present;
  const knownIds = new Set(present?.keys.map((key) => key.configId));
  // The new key first: at no moment is there an active set without a key to hand out.
  const fresh = generateEchKey(crypto, { ...wish, knownIds });
  await saveEchKey(storage, fresh);
  for (const { at, record } of await loadStored(storage)) {
    if (at === keyFor(fresh) || !record.retry) continue;
    await saveEchKey(storage, { ...record, retry: false });
  }
  const keys = await loadEchKeySet(crypto, storage);
  if (keys === undefined) throw unusable(storage, keyFor(fresh), "it is not there any more");
  return keys;
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
