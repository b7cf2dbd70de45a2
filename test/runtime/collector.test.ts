import process from "node:process";

import { expect, test } from "vitest";

import { leave } from "../../src/runtime/collector.ts";

const ENOUGH = 16 * 1024 * 1024;
const isBun = process.versions["bun"] !== undefined;

test("Bun's collector looks every so many bytes, and no other runtime's is told to", () => {
  leave(ENOUGH); // whatever was left before: it begins anew here
  expect(leave(ENOUGH / 2)).toBe(false);
  expect(leave(ENOUGH / 2)).toBe(isBun);
  expect(leave(ENOUGH / 2)).toBe(false);
});

test("What is given back after a look puts no later one off", () => {
  leave(-100 * ENOUGH);
  expect(leave(ENOUGH)).toBe(isBun);
});
