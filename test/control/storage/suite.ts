/**
 * What `Storage` promises, held against one backend. A new backend's test calls it and adds only what is its own.
 * @module
 */
import { describe, expect, test } from "vitest";
import type { Storage } from "../../../src/control/storage/storage.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

export function storageSuite(backend: string, open: () => Promise<Storage>): void {
  describe(`acme 14.1: storage in ${backend}`, () => {
    test("gives back what was put, byte for byte", async () => {
      const storage = await open();
      const value = Uint8Array.from({ length: 256 }, (_, i) => i);
      await storage.put("a/b/c", value);
      expect(await storage.get("a/b/c")).toEqual(value);
      await storage.put("empty", new Uint8Array(0));
      expect(await storage.get("empty")).toEqual(new Uint8Array(0));
    });

    test("keeps a copy: the caller may reuse its buffer at once", async () => {
      const storage = await open();
      const value = bytes("before");
      const put = storage.put("k", value);
      value.fill(0);
      await put;
      expect(await storage.get("k")).toEqual(bytes("before"));
    });

    test("replaces, also by something shorter", async () => {
      const storage = await open();
      await storage.put("k", bytes("a long value"));
      await storage.put("k", bytes("short"));
      expect(await storage.get("k")).toEqual(bytes("short"));
    });

    test("creates what is not there, and leaves alone what is", async () => {
      const storage = await open();
      expect(await storage.create("new/a", bytes("first"))).toBe(true);
      expect(await storage.create("new/a", bytes("second"))).toBe(false);
      expect(await storage.get("new/a")).toEqual(bytes("first"));
      await storage.put("b", bytes("put"));
      expect(await storage.create("b", bytes("created"))).toBe(false);
      expect(await storage.get("b")).toEqual(bytes("put"));
      await storage.delete("b");
      expect(await storage.create("b", bytes("created"))).toBe(true);
      expect(await storage.get("b")).toEqual(bytes("created"));
      expect(await storage.list("")).toEqual(["b", "new/a"]);
    });

    test("lets exactly one of many create a key, and shows everybody its value, whole", async () => {
      const storage = await open();
      const tries = Array.from({ length: 16 }, (_, n) => new Uint8Array(3000).fill(n));
      const outcomes = await Promise.all(tries.map(async (value) => {
        const created = await storage.create("k", value);
        return { created, seen: await storage.get("k") };
      }));
      expect(outcomes.filter(({ created }) => created)).toHaveLength(1);
      const winner = tries[outcomes.findIndex(({ created }) => created)];
      for (const { seen } of outcomes) expect(seen).toEqual(winner);
      expect(await storage.list("")).toEqual(["k"]);
    });

    test("answers undefined for what is not there, wherever it is not", async () => {
      const storage = await open();
      await storage.put("a/b", bytes("1"));
      for (const key of ["x", "x/y/z", "a", "a/b/c", "a/bc"]) {
        expect(await storage.get(key), key).toBeUndefined();
      }
    });

    test("deletes, and deletes what is not there", async () => {
      const storage = await open();
      await storage.put("a/b", bytes("1"));
      await storage.delete("a/b");
      expect(await storage.get("a/b")).toBeUndefined();
      expect(await storage.list("")).toEqual([]);
      for (const key of ["a/b", "a", "x/y", "x"]) await storage.delete(key);
    });

    test("lists whole segments below a prefix, sorted", async () => {
      const storage = await open();
      for (const key of ["b", "a/2", "a/1/x", "ab", "a-/1"]) await storage.put(key, bytes(key));
      expect(await storage.list("")).toEqual(["a-/1", "a/1/x", "a/2", "ab", "b"]);
      expect(await storage.list("a")).toEqual(["a/1/x", "a/2"]);
      expect(await storage.list("a/1")).toEqual(["a/1/x"]);
      expect(await storage.list("none")).toEqual([]);
      expect(await storage.list("b")).toEqual([]);
    });

    test("takes every character that a safe name can have", async () => {
      const storage = await open();
      const key = "certificates/wildcard_.Example-1.com/o_plus_o@x";
      await storage.put(key, bytes("1"));
      expect(await storage.list("certificates")).toEqual([key]);
    });

    test("shows a reader the old value or the new one, never a mixture", async () => {
      const storage = await open();
      const values = [0, 1, 2, 3].map((n) => new Uint8Array(100_000 + n).fill(n));
      await storage.put("k", values[0]!);
      let writing = true;
      const writers = Promise.all(values.map(async (value) => {
        for (let i = 0; i < 10; i++) await storage.put("k", value);
      })).finally(() => writing = false);
      while (writing) {
        const seen = await storage.get("k");
        const n = seen?.[0] ?? -1;
        expect(seen?.length).toBe(100_000 + n);
        expect(seen?.every((byte) => byte === n)).toBe(true);
      }
      await writers;
    });

    test("makes many new keys below one new folder at once", async () => {
      const storage = await open();
      const keys = Array.from({ length: 20 }, (_, i) => `new/folder/${String(i).padStart(2, "0")}`);
      await Promise.all(keys.map((key) => storage.put(key, bytes(key))));
      expect(await storage.list("new")).toEqual(keys);
    });

    const BAD = [
      "",
      "/",
      "/a",
      "a/",
      "a//b",
      ".",
      "..",
      "../a",
      "a/../b",
      "a/./b",
      "a\\b",
      "..\\a",
      "a\0b",
      "a b",
      "a~b",
      "a:b",
      "ä",
      "a\n",
      "x".repeat(256),
    ];
    test.each(BAD)("refuses the key %j in every method", async (key) => {
      const storage = await open();
      const refusal = { name: "StorageError", trouble: "bad key" };
      await expect(storage.get(key)).rejects.toMatchObject(refusal);
      await expect(storage.put(key, bytes("1"))).rejects.toMatchObject(refusal);
      await expect(storage.create(key, bytes("1"))).rejects.toMatchObject(refusal);
      await expect(storage.delete(key)).rejects.toMatchObject(refusal);
      if (key !== "") await expect(storage.list(key)).rejects.toMatchObject(refusal);
      expect(await storage.list("")).toEqual([]);
    });
  });
}
