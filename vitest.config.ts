import process from "node:process";

import { defineConfig } from "vitest/config";

import { reportersOf } from "./test/support/run-report.ts";

const runtime = ["bun", "deno"].find((name) => process.versions[name] !== undefined) ?? "node";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    exclude: ["test/alone/**", "test/interop/**", "test/e2e/**"],
    testTimeout: 20_000,
    reporters: reportersOf(runtime),
  },
});
