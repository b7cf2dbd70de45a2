import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { foldNames, NameIndex } from "../../src/snapshot/name-index.ts";
import { MAX_CHANGES, type NameChange, Overlay } from "../../src/snapshot/overlay.ts";
import { SniTrie } from "../../src/snapshot/sni-trie.ts";
import { anyIndex, anyName, anySni, bytesOf, type Entry, findNaively } from "./naive-names.ts";

const find = (index: NameIndex | SniTrie, name: string): number | undefined =>
  index.find(bytesOf(name));
const changesOf = (entries: readonly Entry[]): NameChange[] =>
  entries.map(([name, index]) => ({ name, index }));
const indexOf = (base: readonly Entry[], changes: readonly Entry[] = []): NameIndex =>
  new NameIndex(SniTrie.build(base as [string, number][])).withChanges(changesOf(changes));

describe("NameIndex.find", () => {
  const base: Entry[] = [["a.com", 1], ["*.com", 2], ["www.a.com", 3], ["*.a.com", 4]];

  test.each<[string, Entry, string, number | undefined]>([
    ["an exact name of the base beats a wildcard of the overlay", ["*.com", 9], "a.com", 1],
    ["an exact name of the overlay beats a wildcard of the base", ["b.com", 9], "b.com", 9],
    ["an exact name of the overlay beats that of the base", ["a.com", 9], "A.com", 9],
    ["a wildcard of the overlay beats that of the base", ["*.com", 9], "b.com", 9],
    ["a new wildcard matches", ["*.b.com", 9], "x.b.com", 9],
    ["a removal hides an exact name, a wildcard still matches", ["a.com", undefined], "a.com", 2],
    ["a removal hides a wildcard", ["*.com", undefined], "b.com", undefined],
    ["a removed wildcard leaves exact names", ["*.a.com", undefined], "www.a.com", 3],
    ["a removal of what never was does nothing", ["b.com", undefined], "b.com", 2],
  ])("%s", (_, change, name, expected) => {
    const index = indexOf(base, [change]);
    expect(find(index, name)).toBe(expected);
    expect(find(foldNames(index.base, index.overlay), name)).toBe(expected);
  });

  test("a removed exact name under a wildcard of the overlay is the wildcard's", () => {
    expect(find(indexOf(base, [["a.com", undefined], ["*.com", 9]]), "a.com")).toBe(9);
  });

  test("a removed name comes back", () => {
    const index = indexOf(base, [["a.com", undefined]]);
    expect(find(index.withChanges(changesOf([["a.com", 7]])), "a.com")).toBe(7);
  });

  test("changes make another index and leave this one as it was", () => {
    const before = indexOf(base);
    const after = before.withChanges(changesOf([["new.com", 5], ["a.com", undefined]]));
    expect([find(before, "new.com"), find(before, "a.com")]).toEqual([2, 1]);
    expect([find(after, "new.com"), find(after, "a.com")]).toEqual([5, 2]);
    expect(after.base).toBe(before.base);
  });

  test("does what the naive model does, in one overlay, in many, from bytes, and folded", () => {
    const entries = fc.array(fc.tuple(anyName, anyIndex), { maxLength: 40 });
    const changes = fc.array(
      fc.tuple(anyName, fc.option(anyIndex, { nil: undefined })),
      { maxLength: 40 },
    );
    fc.assert(fc.property(
      entries,
      changes,
      fc.array(anySni, { minLength: 1, maxLength: 30 }),
      (old, changed, asked) => {
        const all: Entry[] = [...old, ...changed];
        const once = indexOf(old, changed);
        let steps = indexOf(old);
        for (const change of changed) steps = steps.withChanges(changesOf([change]));
        const read = new NameIndex(once.base, Overlay.fromBytes(once.overlay.toBytes()));
        const folded = foldNames(once.base, once.overlay);
        const present = new Set(all.map(([name]) => name)).values()
          .filter((name) => all.findLast((entry) => entry[0] === name)![1] !== undefined);
        expect(folded.size).toBe([...present].length);
        for (const sni of [...asked, ...all.map(([name]) => name)]) {
          const found = [once, steps, read, folded].map((index) => find(index, sni));
          expect([sni, ...found]).toEqual([sni, ...found.map(() => findNaively(all, sni))]);
        }
      },
    ));
  });
});

test("NameIndex.namesOf has all names of an index, wherever they are held, and none that it had", () => {
  const index = indexOf(
    [["a.com", 1], ["*.com", 2], ["www.a.com", 1], ["*.a.com", 1], ["gone.com", 1], ["b.com", 1]],
    [["gone.com", undefined], ["b.com", 2], ["new.com", 1], ["a.com", 1], ["*.new.com", 1]],
  );
  expect(index.namesOf(1).sort()).toEqual(
    ["*.a.com", "*.new.com", "a.com", "new.com", "www.a.com"],
  );
  expect(index.namesOf(2).sort()).toEqual(["*.com", "b.com"]);
  expect(index.namesOf(3)).toEqual([]);
});

describe("NameIndex.withBase", () => {
  test("keeps what changed while the base was built, and nothing else", () => {
    const then = indexOf([["a", 1], ["b", 2], ["c", 3]], [
      ["a", 10],
      ["b", undefined],
      ["d", 4],
      ["e", 5],
    ]);
    const now = then.withChanges(changesOf([["a", 11], ["d", undefined], ["f", 6], ["e", 5]]));
    const index = now.withBase(foldNames(then.base, then.overlay), then.overlay);
    expect(index.overlay.size).toBe(3); // a, d, f
    expect(["a", "b", "c", "d", "e", "f"].map((name) => find(index, name)))
      .toEqual([11, undefined, 3, undefined, 5, 6]);
  });

  test("finds what the index without the new base finds, whenever the fold began", () => {
    const changes = fc.array(
      fc.tuple(anyName, fc.option(anyIndex, { nil: undefined })),
      { maxLength: 20 },
    );
    fc.assert(fc.property(changes, changes, (before, after) => {
      const then = indexOf([["a.com", 1], ["*.com", 2]], before);
      const now = then.withChanges(changesOf(after));
      const index = now.withBase(foldNames(then.base, then.overlay), then.overlay);
      for (const [name] of [...before, ...after]) {
        expect([name, find(index, name)]).toEqual([name, find(now, name)]);
      }
    }));
  });
});

describe("Overlay", () => {
  const many = (count: number): NameChange[] =>
    Array.from({ length: count }, (_, i) => ({
      name: `n${i}`,
      index: i % 2 === 0 ? i : undefined,
    }));

  test("takes 4,096 changes and not one more", () => {
    const full = indexOf([["n1", 1]]).withChanges(many(MAX_CHANGES));
    expect([full.overlay.size, find(full, "n4094"), find(full, "n1")]).toEqual([
      4096,
      4094,
      undefined,
    ]);
    expect(full.withChanges([{ name: "n0", index: 7 }]).overlay.size).toBe(MAX_CHANGES);
    expect(() => full.withChanges([{ name: "one-more", index: 7 }])).toThrow(
      "Cannot hold 4097 changes in an overlay of 4096",
    );
    const bytes = SniTrie.build(many(MAX_CHANGES + 1).map(({ name }) => [name, 0] as const))
      .toBytes();
    expect(() => Overlay.fromBytes(bytes)).toThrow("Cannot hold 4097 changes");
  });

  test("is crowded when it is half full", () => {
    expect(indexOf([]).withChanges(many(2047)).isCrowded).toBe(false);
    expect(indexOf([]).withChanges(many(2048)).isCrowded).toBe(true);
  });

  test("is one of many that go on from one another, from anywhere, and each says what it said", () => {
    const step = fc.record({
      from: fc.nat(1000), // of those that are there: the last for the most part
      changes: fc.array(
        fc.tuple(anyName, fc.option(anyIndex, { nil: undefined })),
        { maxLength: 4 },
      ),
    });
    fc.assert(fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const all = [{ index: indexOf([]), said: [] as Entry[] }];
      for (const { from, changes } of steps) {
        const { index, said } = from % 4 === 0 ? all[from % all.length]! : all.at(-1)!;
        all.push({ index: index.withChanges(changesOf(changes)), said: [...said, ...changes] });
      }
      const names = steps.flatMap(({ changes }) => changes.map(([name]) => name));
      for (const { index, said } of all) {
        for (const name of names) expect(find(index, name)).toBe(findNaively(said, name));
        expect(index.overlay.size).toBe(new Set(said.map(([name]) => name)).size);
      }
    }));
  });

  test("changes one name for ever without growing, and others stay as they were", () => {
    const before = indexOf([]).withChanges(many(100));
    let index = before;
    for (let i = 0; i < 3 * MAX_CHANGES; i++) {
      index = index.withChanges([{ name: "n0", index: i % 2 === 0 ? undefined : i }]);
    }
    expect([index.overlay.size, find(index, "n0"), find(index, "n2")]).toEqual([
      100,
      3 * MAX_CHANGES - 1,
      2,
    ]);
    expect(index.overlay.toBytes().length).toBe(before.overlay.toBytes().length);
    expect(find(before, "n0")).toBe(0);
  });

  test("refused changes leave it as it was, and it takes others", () => {
    const full = indexOf([]).withChanges(many(MAX_CHANGES - 1));
    const two = [{ name: "one-more", index: 7 }, { name: "and-another", index: 8 }];
    expect(() => full.withChanges(two)).toThrow("Cannot hold 4097 changes");
    expect(find(full, "one-more")).toBeUndefined();
    const next = full.withChanges([two[1]!]);
    expect([find(next, "one-more"), find(next, "and-another")]).toEqual([undefined, 8]);
    expect(find(full, "and-another")).toBeUndefined();
  });

  test("lies over its own base only", () => {
    const other = SniTrie.build([]);
    expect(() => new NameIndex(other, indexOf([]).overlay)).toThrow("another hash key");
  });

  test.each(["A.b", "", "a..b", "*"])("refuses to change or remove %j", (name) => {
    expect(() => indexOf([]).withChanges([{ name, index: 1 }])).toThrow("it is no name");
    expect(() => indexOf([]).withChanges([{ name, index: undefined }])).toThrow("it is no name");
  });

  test("adding one name to 100,000 costs far less than 10 ms of the processor", () => {
    const base = SniTrie.build(Array.from({ length: 100_000 }, (_, i) => [`n${i}.example`, i]));
    let index = new NameIndex(base).withChanges(many(MAX_CHANGES - 200));
    const times = Array.from({ length: 200 }, (_, i) => {
      const from = process.cpuUsage();
      index = index.withChanges([{ name: `added${i}`, index: i }]);
      const { user, system } = process.cpuUsage(from);
      return (user + system) / 1000;
    });
    expect(times.toSorted((a, b) => a - b)[100]).toBeLessThan(10);
  });
});
