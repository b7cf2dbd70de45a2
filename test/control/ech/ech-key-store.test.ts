import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  EchKeyError,
  ensureEchKeySet,
  forgetEchKey,
  loadEchKeys,
  loadEchKeySet,
  loadEchState,
  saveEchKey,
  saveEchState,
} from "../../../src/control/ech/ech-key-store.ts";
import {
  type EchKeyRecord,
  generateEchKey,
  publishedConfigList,
} from "../../../src/control/ech/ech-keys.ts";
import { openFileStorage } from "../../../src/control/storage/files.ts";
import type { Storage } from "../../../src/control/storage/storage.ts";
import { chooseCrypto } from "../../../src/crypto/choose.ts";
import { ascii } from "../../support/ech-sender.ts";

const crypto = chooseCrypto();
const WISH = { publicName: "public.example", maximumNameLength: 64, nowMs: 1_700_000_000_000 };

let folder: string;
let storage: Storage;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "sotto-ech-"));
  storage = await openFileStorage(join(folder, "data"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

function record(
  parts: Partial<typeof WISH & { retry: boolean; knownIds: Set<number> }> = {},
): EchKeyRecord {
  const { retry = true, ...wish } = parts;
  return { ...generateEchKey(crypto, { knownIds: new Set(), ...WISH, ...wish }), retry };
}

describe("saveEchKey and loadEchKeys", () => {
  test("give back what was saved, newest first", async () => {
    const [old, current, between] = [
      record({ nowMs: 1000, retry: false }),
      record({ nowMs: 3000 }),
      record({ nowMs: 2000, retry: false }),
    ];
    for (const each of [old, current, between]) await saveEchKey(storage, each);
    expect(await loadEchKeys(storage)).toEqual([current, between, old]);
  });

  test("keep one record per key: saved again it replaces the first", async () => {
    const current = record();
    await saveEchKey(storage, current);
    await saveEchKey(storage, { ...current, retry: false });
    expect(await loadEchKeys(storage)).toEqual([{ ...current, retry: false }]);
  });

  test("keep two keys of one config_id apart", async () => {
    const everyId = new Set(Array.from({ length: 256 }, (_, i) => i));
    everyId.delete(5);
    const [a, b] = [record({ knownIds: everyId }), record({ knownIds: everyId, nowMs: 1 })];
    await saveEchKey(storage, a);
    await saveEchKey(storage, b);
    expect(await loadEchKeys(storage)).toEqual([a, b]);
    await forgetEchKey(storage, a);
    expect(await loadEchKeys(storage)).toEqual([b]);
  });

  test("lie below ech/ as JSON with base64", async () => {
    await saveEchKey(storage, record());
    const [at, ...others] = await storage.list("ech");
    expect(others).toEqual([]);
    expect(at).toMatch(/^ech\/keys\/[0-9a-f]{2}-[0-9a-f]{16}\.json$/);
    const json: unknown = JSON.parse(new TextDecoder().decode(await storage.get(at!)));
    expect(json).toEqual({
      privateKey: expect.stringMatching(/^[A-Za-z0-9+/]{43}=$/),
      config: expect.stringMatching(/^\/g0A/),
      retry: true,
      created: "2023-11-14T22:13:20.000Z",
    });
  });
});

describe("loadEchKeySet", () => {
  test("is undefined where there has never been a key", async () => {
    expect(await loadEchKeySet(crypto, storage)).toBeUndefined();
  });

  test("hands out retry keys, newest first, and keeps the others for decryption", async () => {
    const keys = [
      record({ nowMs: 1000, retry: false }),
      record({ nowMs: 2000 }),
      record({ nowMs: 3000, publicName: "newest.example" }),
    ];
    for (const each of keys) await saveEchKey(storage, each);
    const set = (await loadEchKeySet(crypto, storage))!;
    expect(set.keys.map((key) => key.config.raw)).toEqual(keys.toReversed().map((k) => k.config));
    expect(set.keys.map((key) => key.retry)).toEqual([true, true, false]);
    expect(set.isPublicName(ascii("newest.example"))).toBe(true);
  });

  test("ech 6: withdrawing survives a restart, and so does its end", async () => {
    await saveEchKey(storage, record());
    expect(await loadEchState(storage)).toBe("active");
    await saveEchState(storage, "withdrawing");
    const reopened = await openFileStorage(join(folder, "data"));
    expect((await loadEchKeySet(crypto, reopened))!.state).toBe("withdrawing");
    await saveEchState(reopened, "active");
    expect((await loadEchKeySet(crypto, storage))!.state).toBe("active");
  });

  test("ech 6: refuses an active set without a key to hand out", async () => {
    await saveEchKey(storage, record({ retry: false }));
    await expect(loadEchKeySet(crypto, storage)).rejects.toThrow(EchKeyError);
    await saveEchState(storage, "withdrawing");
    expect((await loadEchKeySet(crypto, storage))!.retryConfigs).toBeUndefined();
  });

  test("names a record that cannot be used, and does not quote it", async () => {
    await saveEchKey(storage, record());
    const [at] = await storage.list("ech");
    const json = new TextDecoder().decode(await storage.get(at!));
    const { privateKey, config } = JSON.parse(json) as { privateKey: string; config: string };
    const damaged = [
      "",
      json.slice(0, 40),
      json.replace(privateKey, `"${privateKey}`),
      json.replace(privateKey, "?"),
      json.replace('"retry":true', '"retry":1'),
      json.replace(/"created":"[^"]*"/, '"created":"yesterday"'),
      json.replace(config, config.slice(0, -8)),
      json.replace(privateKey, btoa("x".repeat(32))),
      json.replace(privateKey, btoa("x".repeat(31))),
    ];
    for (const text of damaged) {
      await storage.put(at!, ascii(text));
      const error = await loadEchKeySet(crypto, storage).catch((error: unknown) => error);
      if (!(error instanceof EchKeyError)) expect.fail(`no EchKeyError for ${text}`);
      expect(error.message).toContain(at);
      expect(error.message).toContain(storage.description);
      expect(`${error.stack} ${String(error.cause)}`).not.toContain(privateKey.slice(0, 8));
    }
  });

  test("refuses a state that it does not know", async () => {
    await saveEchKey(storage, record());
    await storage.put("ech/key-set.json", ascii('{"state":"paused"}'));
    await expect(loadEchKeySet(crypto, storage)).rejects.toThrow(EchKeyError);
  });
});

describe("ensureEchKeySet", () => {
  test("makes a first key, and after a restart has the same ones", async () => {
    const first = await ensureEchKeySet(crypto, storage, WISH);
    expect(first.keys).toHaveLength(1);
    const reopened = await openFileStorage(join(folder, "data"));
    const again = await ensureEchKeySet(crypto, reopened, { ...WISH, nowMs: WISH.nowMs + 1e9 });
    expect(again.keys.map((key) => key.config.raw)).toEqual(
      first.keys.map((key) => key.config.raw),
    );
    expect(publishedConfigList(again)).toBe(publishedConfigList(first));
  });

  test("takes the public name in any case", async () => {
    await ensureEchKeySet(crypto, storage, WISH);
    const upper = { ...WISH, publicName: "PUBLIC.example" };
    expect((await ensureEchKeySet(crypto, storage, upper)).keys).toHaveLength(1);
  });

  test("makes a key for a new public name with an id of its own, and keeps the old for decryption", async () => {
    const before = await ensureEchKeySet(crypto, storage, WISH);
    const after = await ensureEchKeySet(crypto, storage, {
      ...WISH,
      publicName: "new.example",
      nowMs: WISH.nowMs + 1,
    });
    expect(after.keys.map((key) => [key.config.publicName, key.retry])).toEqual([
      ["new.example", true],
      ["public.example", false],
    ]);
    expect(after.candidates(before.keys[0]!.configId)).toHaveLength(1);
  });

  test("makes a key to hand out where all keys only decrypt", async () => {
    const old = record({ retry: false, nowMs: 1 });
    await saveEchKey(storage, old);
    const set = await ensureEchKeySet(crypto, storage, WISH);
    expect(set.keys.map((key) => key.retry)).toEqual([true, false]);
    expect(set.keys[1]!.config.raw).toEqual(old.config);
  });

  test("makes no key while ECH is being withdrawn, not even a first one", async () => {
    await saveEchState(storage, "withdrawing");
    expect((await ensureEchKeySet(crypto, storage, WISH)).keys).toEqual([]);
  });

  test("leaves a set alone that is withdrawing", async () => {
    await ensureEchKeySet(crypto, storage, WISH);
    await saveEchState(storage, "withdrawing");
    const set = await ensureEchKeySet(crypto, storage, { ...WISH, publicName: "new.example" });
    expect(set.state).toBe("withdrawing");
    expect(set.keys).toHaveLength(1);
  });

  test("refuses a public name that clients refuse, and stores nothing", async () => {
    const wish = { ...WISH, publicName: "192.0.2.1" };
    await expect(ensureEchKeySet(crypto, storage, wish)).rejects.toThrow(RangeError);
    expect(await storage.list("ech")).toEqual([]);
  });
});
