import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";

/** Which test stands for which of BoGo's, or why there is none. The list itself is BoringSSL's and is not here. */
interface Row {
  /** Names in the group; * is any text. */
  readonly name: string;
  /** How many of the list's tests it stands for. */
  readonly count: number;
  /** "file: part of a test's title", from this folder. */
  readonly tests?: readonly string[];
  readonly reason?: string;
}

const read = (file: string) => readFileSync(join(import.meta.dirname, file), "utf8");
const { groups } = JSON.parse(read("bogo-checklist.json")) as {
  groups: Readonly<Record<string, readonly Row[]>>;
};
const rows = Object.entries(groups).flatMap(([group, list]) =>
  list.map((row) => ({ ...row, group }))
);

describe("BoGo's server tests at TLS 1.3", () => {
  test("each has a test that stands for it or a reason, and all 902 do", () => {
    for (const row of rows) {
      expect([row.tests, row.reason].filter((said) => said !== undefined), row.name).toHaveLength(
        1,
      );
      expect(row.count).toBeGreaterThan(0);
    }
    expect(rows.reduce((sum, { count }) => sum + count, 0)).toBe(902);
  });

  test("every test that is named exists", () => {
    const sources = new Map<string, string>();
    for (const { group, name, tests = [] } of rows) {
      expect(tests.length === 0 && name === "").toBe(false);
      for (const said of tests) {
        const at = said.indexOf(": ");
        const file = said.slice(0, at);
        if (!sources.has(file)) sources.set(file, read(file));
        expect(sources.get(file)!.includes(said.slice(at + 2)), `${group} ${name}: ${said}`).toBe(
          true,
        );
      }
    }
  });
});
