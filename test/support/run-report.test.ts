import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

import { expect, onTestFinished, test } from "vitest";

import type { RunReport } from "./run-report.ts";

const root = join(import.meta.dirname, "../..");

test("A run's report counts whatever kept it from passing, and says what that was", async () => {
  const folder = await mkdtemp(join(tmpdir(), "sotto-report-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  const args = [
    "node_modules/vitest/vitest.mjs",
    "run",
    "--config",
    "test/support/fixtures/run-report/vitest.config.ts",
  ];
  const before = process.versions["deno"] !== undefined ? ["run", "-A"] : [];
  const env = { PATH: process.env["PATH"], HOME: process.env["HOME"], SOTTO_REPORTS: folder };
  const run = spawn(process.execPath, [...before, ...args], { cwd: root, env, stdio: "ignore" });
  const [code] = await once(run, "exit");

  expect(code).toBe(1);
  const report = JSON.parse(await readFile(join(folder, "fixture.json"), "utf8")) as RunReport;
  expect(report).toMatchObject({ passed: 2, failed: 5, skipped: 2 });
  const reasons = report.reasons.toSorted();
  expect(reasons).toHaveLength(5);
  expect(reasons[0]).toMatch(
    /^Outside any test:\nError: \[vitest-pool\].*\n  because: Worker exited unexpectedly$/s,
  );
  expect(reasons[1]).toMatch(
    /^Outside any test:\nError: nobody waits for this\n.*mixed\.fixture\.ts/s,
  );
  expect(reasons[2]).toBe("gone.fixture.ts > takes its process along: it never ended");
  expect(reasons[3]).toMatch(/^mixed\.fixture\.ts > fails\nAssertionError: expected 1 to be 2/);
  expect(reasons[4]).toMatch(
    /^mixed\.fixture\.ts: outside its tests\nError: no native beginning\n/,
  );
});
