import { resolve } from "node:path";

import { expect, test } from "vitest";

import { programName } from "../../src/cli/report.ts";

test.each(
  [
    ["bun", "edge.ts", "bun run edge.ts"],
    ["bun", "my sites/edge.ts", "bun run 'my sites/edge.ts'"],
    ["deno", "my sites/edge.ts", "deno run -A 'my sites/edge.ts'"],
    ["node", "it's/edge.ts", "node 'it'\\''s/edge.ts'"],
    ["node", "my bin/sotto", "sotto"],
  ] as const,
)("With %s, %s is called again by what a shell takes for it", (runtime, script, command) => {
  expect(programName(runtime, resolve(script))).toBe(command);
});
