import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type HashKey, hashName, multipliersOf, otherHalf } from "../../src/snapshot/name-hash.ts";
import { MAX_INDEX, NameList } from "../../src/snapshot/name-list.ts";
import { homeOf, LINE_LENGTH, MAX_PROBE, SLOTS } from "../../src/snapshot/sni-table.ts";
import { SniTrie } from "../../src/snapshot/sni-trie.ts";
import { anyIndex, anyName, anySni, bytesOf, findNaively } from "./naive-names.ts";

const find = (trie: SniTrie, name: string): number | undefined => trie.find(bytesOf(name));

describe("policy 6.1: SniTrie.find", () => {
  const trie = SniTrie.build([
    ["example.com", 1],
    ["*.example.com", 2],
    ["www.example.com", 3],
    ["*.www.example.com", 4],
    ["localhost", 5],
    ["192.0.2.1", 6],
    ["2001:db8::1", 7],
  ]);

  test.each<[string, number | undefined]>([
    ["example.com", 1],
    ["EXAMPLE.com", 1],
    ["other.example.com", 2],
    ["www.example.com", 3],
    ["wWw.eXaMpLe.CoM", 3],
    ["a.www.example.com", 4],
    ["*.example.com", 2],
    ["localhost", 5],
    ["192.0.2.1", 6],
    ["2001:DB8::1", 7],
    ["a.b.example.com", undefined],
    ["a.localhost", undefined],
    ["example.com.", undefined],
    [".example.com", undefined],
    ["..example.com", undefined],
    [".", undefined],
    ["a.", undefined],
    ["", undefined],
    ["xexample.com", undefined],
    ["com", undefined],
    ["example-com", undefined],
    ["example.co\u00cd", undefined], // m with bit 5 turned: case is folded for letters only
    ["\u0000", undefined],
  ])("answers %j by %s", (name, index) => {
    expect(find(trie, name)).toBe(index);
  });

  test("reads the name where it lies in a message", () => {
    const hello = bytesOf("xxWWW.example.comxx");
    expect(trie.find(hello, 2, 17)).toBe(3);
    expect(trie.find(hello)).toBe(undefined);
  });

  test("takes names of 255 bytes and answers longer ones with undefined", () => {
    const name = `${"a.".repeat(127)}b`;
    const long = SniTrie.build([[name, 1], [`*.${name.slice(2)}`, 2]]);
    expect(find(long, name)).toBe(1);
    expect(find(long, name.toUpperCase())).toBe(1);
    expect(find(long, `b${name.slice(1)}`)).toBe(2);
    expect(find(long, `bb${name.slice(1)}`)).toBe(undefined); // 256
    expect(long.find(new Uint8Array(70_000).fill(0x61))).toBe(undefined);
  });

  test("finds nothing among no names", () => {
    const none = SniTrie.build([]);
    expect([none.size, find(none, "a"), find(none, "a.b")]).toEqual([0, undefined, undefined]);
  });

  test("counts the last entry of a name that comes twice", () => {
    const twice = SniTrie.build([["a.b", 1], ["*.b", 2], ["a.b", 3], ["*.b", 4]]);
    expect([twice.size, find(twice, "a.b"), find(twice, "x.b")]).toEqual([2, 3, 4]);
    const often = SniTrie.build(Array.from({ length: 1000 }, (_, i) => ["a.b", i] as const));
    expect([often.size, find(often, "a.b")]).toEqual([1, 999]);
  });

  test("does what the naive model does", () => {
    fc.assert(fc.property(
      fc.array(fc.tuple(anyName, anyIndex), { maxLength: 60 }),
      fc.array(anySni, { minLength: 1, maxLength: 40 }),
      (entries, asked) => {
        const built = SniTrie.build(entries);
        const read = SniTrie.fromBytes(built.toBytes().slice());
        expect(built.size).toBe(new Set(entries.map(([name]) => name)).size);
        for (const sni of [...asked, ...entries.map(([name]) => name)]) {
          const expected = findNaively(entries, sni);
          expect([sni, find(built, sni), find(read, sni)]).toEqual([sni, expected, expected]);
        }
      },
    ));
  });
});

describe("the names of an SniTrie", () => {
  test.each([
    "",
    ".",
    "a.",
    ".a",
    "a..b",
    "*",
    "*.",
    "*..a",
    "*a.b",
    "a.*.b",
    "*.*.b",
    "A.b",
    "a@b",
    "a[b",
    "a\\b",
    "a]b",
    "a^b",
    "bücher.example",
    "a b",
    "a\u0000",
    "a\u007f",
    "a".repeat(256),
    `*.${"a".repeat(254)}`,
  ])("%j is refused", (name) => {
    expect(() => SniTrie.build([[name, 1]])).toThrow(RangeError);
    const bytes = bytesOf(name);
    expect(() => new NameList().addBytes(bytes, 0, bytes.length, 1)).toThrow(/it is no name$/);
  });

  test.each([-1, 0.5, MAX_INDEX + 1, Number.NaN])("the index %d is refused", (index) => {
    expect(() => SniTrie.build([["a", index]])).toThrow("Cannot index a name by");
  });

  test("a refused name leaves the list as it was", () => {
    const list = NameList.from([["a.b", 1]]);
    expect(() => list.add("c.D", 2)).toThrow(RangeError);
    list.add("*.e", 3);
    const trie = SniTrie.build(list);
    expect([trie.size, find(trie, "a.b"), find(trie, "x.e")]).toEqual([2, 1, 3]);
  });

  test("can come from a packed buffer", () => {
    const packed = bytesOf("a.b*.cx");
    const list = new NameList();
    list.addBytes(packed, 0, 3, 1);
    list.addBytes(packed, 3, 6, 2);
    const trie = SniTrie.build(list);
    expect([find(trie, "a.b"), find(trie, "z.c"), find(trie, "x")]).toEqual([1, 2, undefined]);
  });
});

describe("SniTrie, bounded", () => {
  const key: HashKey = [0x0302_0100, 0x0706_0504];

  /** More names at home in one place than it holds: what an attacker wants who knows the key. */
  const hostile = (() => {
    const names: string[] = [];
    const count = SLOTS * MAX_PROBE + 20;
    const multipliers = multipliersOf(key);
    for (let i = 0; names.length < count; i++) {
      const name = `${i}.example`;
      const hash = hashName(bytesOf(name), 0, name.length, multipliers);
      if (homeOf(hash, count) === 0) names.push(name);
    }
    return names.map((name, i) => [name, i] as const);
  })();

  test("a key under which a name would lie too far away is drawn again", () => {
    const keys: HashKey[] = [key, key, [1, 2]];
    const trie = SniTrie.build(hostile, { drawKey: () => keys.shift() ?? key });
    expect(trie.hashKey).toEqual([1, 2]);
    for (const [name, index] of hostile) expect(find(trie, name)).toBe(index);
  });

  test("a key under which two names have one hash is drawn again", () => {
    // Found among sums of eight differences (Wagner's generalized birthday), which takes knowing the key.
    const two = ["bb99a47hg2pr5ihrsfhj3jb9eywrvqp4", "9kg1xc05fvmlq0r2lt20yhrqcog8rt19"];
    const names = two.map((label, i) => [`${label}.example`, i] as const);
    const multipliers = multipliersOf([1, 2]);
    const [one, other] = names.map(([name]) => {
      return [hashName(bytesOf(name), 0, name.length, multipliers), otherHalf[0]];
    });
    expect(one).toEqual(other);

    const keys: HashKey[] = [[1, 2], key];
    const trie = SniTrie.build(names, { drawKey: () => keys.shift()! });
    expect(trie.hashKey).toEqual(key);
    for (const [name, index] of names) expect(find(trie, name)).toBe(index);
  });

  test("names that lie too far away under every key are refused", () => {
    expect(() => SniTrie.build(hostile, { drawKey: () => key })).toThrow("too many in one place");
  });

  test("a filter that lets everything through costs lookups and finds nothing more", () => {
    const names = Array.from({ length: 500 }, (_, i) => [`n${i}.example`, i] as const);
    const trie = SniTrie.build(names);
    const bytes = trie.toBytes().slice();
    const view = new DataView(bytes.buffer);
    const linesLength = LINE_LENGTH * (view.getUint32(8, true) + MAX_PROBE);
    const namesLength = (view.getUint32(20, true) + 3) & ~3;
    bytes.fill(0xff, 64, bytes.length - namesLength - linesLength);
    const open = SniTrie.fromBytes(bytes);
    for (const [name, index] of names) expect(find(open, name)).toBe(index);
    for (let i = 500; i < 5000; i++) expect(find(open, `n${i}.example`)).toBeUndefined();
  });

  test("each trie draws its own key", () => {
    expect(SniTrie.build([]).hashKey).not.toEqual(SniTrie.build([]).hashKey);
  });

  test("a lookup reads the bytes of a name a few times each, whatever they are", () => {
    const names = Array.from(
      { length: 5000 },
      (_, i) => [`${"a.".repeat(i % 120)}n${i}`, i] as const,
    );
    const trie = SniTrie.build(
      names.flatMap(([name, i]) => [[name, i], [`*.${name}`, i]] as const),
    );
    fc.assert(fc.property(
      fc.oneof(
        anySni.map(bytesOf),
        fc.nat(255).map((length) => new Uint8Array(length).fill(0x2e)),
        fc.nat(127).map((labels) => bytesOf("a.".repeat(labels))),
        fc.nat(4999).map((i) => bytesOf(`x.${names[i]![0]}`)),
      ),
      (bytes) => {
        let reads = 0;
        const counted = new Proxy(bytes, {
          get(target, property) {
            reads++;
            return property === "length" ? target.length : target[Number(property)];
          },
        });
        trie.find(counted);
        // twice: a hash, and comparing with the few keys on the way that have its length and tag; once: the dot
        expect(reads).toBeLessThanOrEqual(7 * bytes.length + 8);
      },
    ));
  });
});

describe("SniTrie.fromBytes", () => {
  const names = Array.from({ length: 300 }, (_, i) => [`n${i}.example`, i] as const);
  const bytes = SniTrie.build(names, { drawKey: () => [5, 6] }).toBytes();

  test("reads in place what toBytes gave, and a copy of what lies at an odd address", () => {
    const moved = new Uint8Array(bytes.length + 5);
    moved.set(bytes, 4);
    const aliased = SniTrie.fromBytes(moved.subarray(4, -1));
    expect(aliased.toBytes().buffer).toBe(moved.buffer);
    moved.set(bytes, 1);
    const copied = SniTrie.fromBytes(moved.subarray(1, -4));
    expect(copied.toBytes().buffer).not.toBe(moved.buffer);
    for (const [name, index] of names) expect(find(copied, name)).toBe(index);
  });

  test("reads memory that threads share", () => {
    const shared = SniTrie.build(names, { shared: true }).toBytes();
    expect(shared.buffer).toBeInstanceOf(SharedArrayBuffer);
    expect(find(SniTrie.fromBytes(shared), "n7.example")).toBe(7);
  });

  test("refuses every prefix and one byte more", () => {
    for (let length = 0; length < bytes.length; length++) {
      expect(() => SniTrie.fromBytes(bytes.slice(0, length))).toThrow("Cannot read an SNI trie");
    }
    const longer = new Uint8Array(bytes.length + 1);
    longer.set(bytes);
    expect(() => SniTrie.fromBytes(longer)).toThrow("Cannot read an SNI trie");
  });

  test("refuses damage or stays within the buffer and within bounds", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }),
        fc.nat(299),
        (changes, i) => {
          const damaged = bytes.slice();
          for (const [at, value] of changes) damaged[at] = value;
          let trie: SniTrie;
          try {
            trie = SniTrie.fromBytes(damaged);
          } catch (error) {
            expect(error).toBeInstanceOf(RangeError);
            return;
          }
          let seen = 0;
          trie.forEach((_, start, end) => {
            expect(start < end && end <= damaged.length).toBe(true);
            seen++;
          });
          expect(seen).toBe(trie.size);
          const index = find(trie, `N${i}.example`);
          expect(index === undefined || (index >= 0 && index <= 0xffff_ffff)).toBe(true);
        },
      ),
      { numRuns: 1000 },
    );
  });

  test.each<[string, number, number]>([
    ["no magic", 0, 0],
    ["another number of lines", 8, 3],
    ["no lines", 8, 0],
    ["another number of names", 4, 299],
    ["another length of its names", 20, 1],
  ])("refuses %s", (_, at, value) => {
    const damaged = bytes.slice();
    new DataView(damaged.buffer).setUint32(at, value, true);
    expect(() => SniTrie.fromBytes(damaged)).toThrow("Cannot read an SNI trie");
  });
});

test("hashName has 64 bits of which each differs by chance for names that differ little", () => {
  const keys = Array.from({ length: 400 }, (_, i): HashKey => [i, 7]);
  const pairs = ([
    ["a.example", "b.example"],
    ["a.example", "a.examplf"],
    ["n10.example", "n20.example"],
    ["ab", "ba"],
    ["a", "aa"],
    ["a", "a\u0000"],
    ["abcd", "abcd\u0000"],
    ["abcd.efgh", "efgh.abcd"],
    [`${"a.".repeat(127)}a`, `${"a.".repeat(127)}b`],
  ] as const).map((pair) => pair.map(bytesOf));
  for (const [one, other] of pairs) {
    const counts = new Uint32Array(64);
    for (const key of keys) {
      const multipliers = multipliersOf(key);
      const halves = [one!, other!].map((name) => [
        hashName(name, 0, name.length, multipliers),
        otherHalf[0]!,
      ]);
      for (let bit = 0; bit < 64; bit++) {
        const [mine, its] = halves.map((each) => each[bit >> 5]! >>> (bit & 31) & 1);
        if (mine !== its) counts[bit]!++;
      }
    }
    // Half of 400, give or take six standard deviations.
    expect(Math.min(...counts)).toBeGreaterThan(140);
    expect(Math.max(...counts)).toBeLessThan(260);
  }
});

test("hashName takes no two names for one whatever its key: whoever brings names cannot have them collide", () => {
  const bytes = Uint8Array.from({ length: 128 }, (_, byte) => byte);
  const held = bytes.filter((byte) => {
    try {
      new NameList().addBytes(Uint8Array.of(0x61, byte, 0x61), 0, 3, 1);
      return true;
    } catch {
      return false;
    }
  });
  expect(held.length).toBeGreaterThanOrEqual(40); // letters, digits, "-", ".", "_", ":"
  for (const place of [0, 1, 2]) {
    const names = Array.from(held, (byte) => new Uint8Array(3).fill(0x61).with(place, byte));
    const apart = new Set(names.map((name) => hashName(name, 0, 3, multipliersOf([5, 6]))));
    expect(apart.size).toBe(held.length);
  }
});

test("hashName folds A-Z, tells all characters of names apart, and depends on the key", () => {
  const multipliers = multipliersOf([1, 2]);
  const hashOf = (bytes: Uint8Array, from = multipliers) => hashName(bytes, 0, bytes.length, from);
  const characters = bytesOf("abcdefghijklmnopqrstuvwxyz0123456789-._:");
  for (const place of [0, 1, 2, 3, 4, 6]) {
    const hashes = new Set<number>();
    for (const character of characters) {
      const one = new Uint8Array(7).fill(0x61);
      const other = one.slice();
      one[place] = character;
      other[place] = character >= 0x61 ? character - 0x20 : character;
      expect(hashOf(one)).toBe(hashOf(other));
      hashes.add(hashOf(one));
    }
    expect(hashes.size).toBe(characters.length);
  }
  const name = bytesOf("www.example.com");
  expect(hashOf(name, multipliersOf([1, 3]))).not.toBe(hashOf(name));
  expect(hashOf(name, multipliersOf([2, 2]))).not.toBe(hashOf(name));
});

test("hashName spreads names that are alike over lines and tags as chance would", () => {
  for (const make of [(i: number) => `n${i}.example`, (i: number) => `a.${i * 65_536}.b`]) {
    const counts = new Uint32Array(256 * 256);
    const multipliers = multipliersOf([0x1234_5678, 0x9abc_def0]);
    for (let i = 0; i < 65_536; i++) {
      const name = bytesOf(make(i));
      const hash = hashName(name, 0, name.length, multipliers);
      counts[((hash >>> 24) << 8) | (hash & 0xff)]!++;
    }
    expect(Math.max(...counts)).toBeLessThan(12); // of 65,536 drawn once each on average: 9 at most, nearly always
    expect(counts.filter((count) => count === 0).length / counts.length).toBeCloseTo(1 / Math.E, 1);
  }
});
