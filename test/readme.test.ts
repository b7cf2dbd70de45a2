import { readFileSync } from "node:fs";
import { join } from "node:path";

import { expect, test } from "vitest";

import { USAGE } from "../src/cli/arguments.ts";
import { parseConfig } from "../src/config/load.ts";
import { KEYS } from "../src/config/schema.ts";

const readme = readFileSync(join(import.meta.dirname, "../README.md"), "utf8");

test("The configuration that README.md begins with is ten lines and accepted", async () => {
  const toml = /```toml\n([^]*?)```/.exec(readme)![1]!;
  expect(toml.trim().split("\n").filter((line) => line !== "").length).toBeLessThanOrEqual(10);
  const config = await parseConfig(toml, "sotto.toml");
  expect(config.warnings).toEqual([]);
  expect(config.sites.map((site) => site.handler.kind)).toEqual(["respond", "app"]);
});

test("README.md names every option and every key", () => {
  for (const [option] of USAGE.matchAll(/--[a-z-]+/g)) expect(readme).toContain(option);
  for (const keys of Object.values(KEYS)) for (const key of keys) expect(readme).toContain(key);
});
