import { expect, test } from "vitest";

import { parseCommandLine } from "../../src/cli/arguments.ts";
import { DEFAULT_CONFIG } from "../../src/config/config.ts";
import { parseConfig } from "../../src/config/load.ts";
import { serve, type ServeOptions } from "../../src/mod.ts";

test.for(
  [
    ["", 1],
    ["workers = 1", 1],
    ["workers = 256", 256],
    ['workers = "auto"', "auto"],
  ] as const,
)("%j means %j processes", async ([text, workers]) => {
  expect((await parseConfig(text, "/sotto.toml")).workers).toBe(workers);
  expect(DEFAULT_CONFIG.workers).toBe(1);
});

test.for([
  ["workers = 0", "found 0"],
  ["workers = 257", "found 257"],
  ["workers = 1.5", "found 1.5"],
  ['workers = "2"', 'found "2"'],
  ['workers = "all"', 'found "all"'],
  ["workers = true", "found true"],
])("%j is refused", async ([text, found]) => {
  await expect(parseConfig(text!, "/sotto.toml")).rejects.toThrow(
    `1:11: workers: ${found}, accepted: a number from 1 to 256 without quotes, or "auto"`,
  );
});

test("--workers takes the same", () => {
  expect(parseCommandLine([])).toMatchObject({ workers: undefined });
  expect(parseCommandLine(["--workers", "4"])).toMatchObject({ workers: 4 });
  expect(parseCommandLine(["--workers", "auto"])).toMatchObject({ workers: "auto" });
  for (const wrong of ["0", "257", "-1", "two", "", "1e2"]) {
    expect(() => parseCommandLine([`--workers=${wrong}`])).toThrow(
      `--workers ${JSON.stringify(wrong)} is no number of processes, accepted: 1 to 256, or auto`,
    );
  }
});

test("The library serves from one process, and says so to who wants more", async () => {
  const options = { fetch: () => new Response(""), workers: 2 } as ServeOptions;
  await expect(serve(options)).rejects.toThrow(
    new TypeError("Cannot serve an app from several processes: leave workers out"),
  );
});
