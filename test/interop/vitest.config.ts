import process from "node:process";

import { defineConfig } from "vitest/config";

import { reportersOf } from "../support/run-report.ts";

// Real clients against the real program. The runtime that serves is SOTTO_SERVER: bun (default), deno or node.
export default defineConfig({
  test: {
    include: ["test/interop/**/*.test.ts"],
    globalSetup: "test/interop/support/setup.ts",
    testTimeout: 60_000,
    hookTimeout: 120_000,
    // Latencies are measured: nothing beside them.
    fileParallelism: false,
    reporters: reportersOf(`interop-${process.env["SOTTO_SERVER"] ?? "bun"}`),
  },
});
