import process from "node:process";

import { defineConfig } from "vitest/config";

const runtime = ["bun", "deno"].find((name) => process.versions[name] !== undefined) ?? "node";
/** The folder for a report of each runtime's run; CI adds them up. */
const reports = process.env["SOTTO_REPORTS"];

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    exclude: ["test/alone/**", "test/interop/**", "test/e2e/**"],
    testTimeout: 20_000,
    reporters: reports === undefined
      ? ["default"]
      : ["default", ["json", { outputFile: `${reports}/${runtime}.json` }]],
  },
});
