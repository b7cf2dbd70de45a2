import { readFileSync } from "node:fs";
import process from "node:process";

import { expect, test } from "vitest";

import { CliKit } from "./cli-kit.ts";

const kit = new CliKit("allocator");
const isBun = process.versions["bun"] !== undefined;

test("on Bun the program serves with settings of its own for the allocator, in the process that was started", async () => {
  const serving = await kit.serve();
  expect(serving.ready.pid).toBe(serving.child.pid);
  const environment = environmentOf(serving.ready.pid);
  expect(environment["MIMALLOC_PURGE_DELAY"]).toBe(isBun ? "1000" : undefined);
  expect(environment["MIMALLOC_PURGE_HOLES"]).toBe(isBun ? "0" : undefined);
  expect(environment["PATH"]).toBe(process.env["PATH"]);
  expect(await serving.stop()).toBe(0);
  expect(serving.stderr()).not.toContain("execve");
});

test("a setting that the environment has is left alone", async () => {
  const serving = await kit.serve([], { within: ["env", "MIMALLOC_PURGE_DELAY=10"] });
  const environment = environmentOf(serving.ready.pid);
  expect(environment["MIMALLOC_PURGE_DELAY"]).toBe("10");
  expect(environment["MIMALLOC_PURGE_HOLES"]).toBe(undefined);
});

test("under Bun's profiler it goes on as it began: a signal on its way would end it as it begins anew", async () => {
  const serving = await kit.serve([], {
    within: ["env", `BUN_OPTIONS=--cpu-prof --cpu-prof-interval 100 --cpu-prof-dir ${kit.folder}`],
  });
  expect(environmentOf(serving.ready.pid)["MIMALLOC_PURGE_DELAY"]).toBe(undefined);
  expect(await serving.stop()).toBe(0);
});

function environmentOf(pid: number): Readonly<Record<string, string>> {
  const lines = readFileSync(`/proc/${pid}/environ`, "utf8").split("\0").slice(0, -1);
  return Object.fromEntries(lines.map((line) => line.split(/=(.*)/s).slice(0, 2)));
}
