import { defineConfig } from "vitest/config";

import { reportersOf } from "../support/run-report.ts";

/** Tests of time: nothing runs beside them. */
export default defineConfig({
  test: {
    include: ["test/alone/**/*.test.ts"],
    fileParallelism: false,
    reporters: reportersOf("alone"),
  },
});
