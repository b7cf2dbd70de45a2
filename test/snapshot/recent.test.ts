import { expect, test } from "vitest";

import { Recent } from "../../src/snapshot/recent.ts";

test("It holds what it was given, the newest value of a key, and never more than it may", () => {
  const recent = new Recent<number, string>(100);
  for (let key = 0; key < 1000; key++) {
    recent.set(key, "old");
    recent.set(key, `${key}`);
    expect(recent.get(key)).toBe(`${key}`);
    expect(recent.size).toBe(Math.min(key + 1, 100));
  }
  const held = Array.from({ length: 1000 }, (_, key) => recent.get(key)).filter(Boolean);
  expect(held).toEqual(Array.from({ length: 100 }, (_, i) => `${900 + i}`));
});

test("What is used between any two that are new stays, whoever asks for how many others", () => {
  const recent = new Recent<string, number>(8);
  recent.set("used", -1);
  for (let i = 0; i < 1000; i++) {
    expect(recent.get("used")).toBe(-1);
    recent.set(`stranger ${i}`, i);
  }
  expect(recent.get("stranger 0")).toBeUndefined();
  expect(recent.get("stranger 999")).toBe(999);
  expect(recent.size).toBe(8);
});

test("Where all were used one goes all the same", () => {
  const recent = new Recent<number, number>(4);
  for (let key = 0; key < 4; key++) recent.set(key, key);
  for (let key = 0; key < 4; key++) recent.get(key);
  recent.set(4, 4);
  expect(recent.size).toBe(4);
  expect([0, 1, 2, 3, 4].filter((key) => recent.get(key) !== undefined)).toEqual([1, 2, 3, 4]);
});
