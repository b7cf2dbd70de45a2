/**
 * Reads Wycheproof's vectors in place: they are not part of the project.
 *
 * They are looked for beside the checkout, or in the folder that SOTTO_WYCHEPROOF names. Without them the tests are
 * skipped and say so; where CI is set, their absence is a failure.
 *
 * @module
 */
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

export interface TestGroup<T> {
  readonly tests: readonly (T & TestCase)[];
}

export interface TestCase {
  readonly tcId: number;
  readonly comment?: string;
  readonly flags?: readonly string[];
  readonly result: "valid" | "acceptable" | "invalid";
}

const FOLDER = process.env["SOTTO_WYCHEPROOF"] ??
  fileURLToPath(new URL("../../../shared/vectors/wycheproof", import.meta.url));
const IS_THERE = existsSync(FOLDER);

if (process.env["CI"] !== undefined) {
  test("CI has Wycheproof's vectors", () => expect(IS_THERE, FOLDER).toBe(true));
}

/** `body` defines the tests over the file's groups; it is not called where the file is not there. */
export function describeWycheproof<Group extends TestGroup<object>>(
  file: string,
  body: (groups: readonly Group[]) => void,
): void {
  describe(`Wycheproof ${file}`, () => {
    if (!IS_THERE) {
      test("has vectors", ({ skip }) => skip(`there is no folder ${FOLDER}`));
      return;
    }
    const { testGroups } = JSON.parse(readFileSync(`${FOLDER}/${file}`, "utf8")) as {
      testGroups: readonly Group[];
    };
    body(testGroups);
  });
}

/**
 * Compares a verdict over many cases at once; what differs is listed with its comment, rather than the first alone.
 * `verdict` answers "valid" or "invalid", or "wrong …" where a result is not the vector's.
 */
export function expectVerdicts<T>(
  cases: readonly (T & TestCase)[],
  verdict: (testCase: T & TestCase) => string,
  expected: (testCase: T & TestCase) => string = ({ result }) => result,
): void {
  expect(cases.length).toBeGreaterThan(0);
  const differing = cases.flatMap((testCase) => {
    const [got, wanted] = [verdict(testCase), expected(testCase)];
    if (got === wanted) return [];
    const { tcId, comment = "", flags = [] } = testCase;
    return [`${tcId} ${comment} [${flags.join()}]: ${got}, not ${wanted}`];
  });
  expect(differing).toEqual([]);
}
