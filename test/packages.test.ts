import { readFileSync } from "node:fs";
import { join } from "node:path";

import { expect, test } from "vitest";

const read = (file: string) =>
  JSON.parse(readFileSync(join(import.meta.dirname, "..", file), "utf8")) as Record<
    string,
    Record<string, string>
  >;

test("deno.json imports the packages of package.json, in their versions", () => {
  const { dependencies } = read("package.json");
  const imports = Object.entries(dependencies!).map(([name, version]) => [
    name,
    `npm:${name}@${version}`,
  ]);
  expect(read("deno.json").imports).toEqual(Object.fromEntries(imports));
});

test("Versions are exact: Bun's auto-install would follow a range", () => {
  const { dependencies, devDependencies } = read("package.json");
  for (const [name, version] of Object.entries({ ...dependencies, ...devDependencies })) {
    expect(version, name).toMatch(/^\d+\.\d+\.\d+$/);
  }
});

test.each(["package-lock.json", "bun.lock", "deno.lock"])("%s carries no addresses", (file) => {
  const text = readFileSync(join(import.meta.dirname, "..", file), "utf8");
  expect(text).not.toMatch(/"resolved"|"tarball"|\.tgz/);
});
