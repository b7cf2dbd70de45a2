import { defineConfig } from "vitest/config";

/** Tests of time: nothing runs beside them. */
export default defineConfig({
  test: { include: ["test/alone/**/*.test.ts"], fileParallelism: false },
});
