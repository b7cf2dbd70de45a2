/**
 * A vitest reporter that leaves one run's outcome as a file for `.ci/run` to add up: counts, and in words whatever kept
 * the run from passing. Vitest's own JSON knows nothing of errors outside tests, nor of processes that ended under one.
 */
import { writeFileSync } from "node:fs";
import process from "node:process";

import type { Reporter, TestModule } from "vitest/node";

/** What vitest hands out of an error: any of it may be missing where something else was thrown. */
type Failure = { readonly message?: string; readonly stack?: string; readonly cause?: unknown };

export type RunReport = {
  passed: number;
  failed: number;
  skipped: number;
  /** A line or more for each failed test, each that never ended, and each error outside tests. */
  reasons: string[];
};

export class RunReporter implements Reporter {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly Failure[]): void {
    const report: RunReport = { passed: 0, failed: 0, skipped: 0, reasons: [] };
    const fail = (what: string, errors: readonly Failure[]) => {
      report.failed++;
      report.reasons.push([what, ...errors.map(inWords)].join("\n"));
    };
    for (const one of modules) {
      const place = one.relativeModuleId;
      for (const suite of [one, ...one.children.allSuites()]) {
        if (suite.errors().length > 0) fail(`${place}: outside its tests`, suite.errors());
      }
      for (const test of one.children.allTests()) {
        const result = test.result();
        if (result.state === "failed") fail(`${place} > ${test.fullName}`, result.errors);
        else if (result.state === "pending") {
          fail(`${place} > ${test.fullName}: it never ended`, []);
        } else report[result.state]++;
      }
    }
    for (const error of unhandled) fail("Outside any test:", [error]);
    writeFileSync(this.#path, JSON.stringify(report));
  }
}

/** The message and the frames of our own code. */
function inWords(error: Failure): string {
  const lines = (error.stack ?? error.message ?? "").split("\n").filter((line) =>
    !/^\s+at .*(?:node_modules|\bnode:|native)/.test(line)
  );
  const { cause } = error;
  const behind = cause instanceof Object && "message" in cause
    ? [`  because: ${String(cause.message)}`]
    : [];
  return [...lines, ...behind].join("\n");
}

/** Reporters for a vitest configuration: where `.ci/run` names a folder, the run called `name` leaves its report there. */
export function reportersOf(name: string): ("default" | Reporter)[] {
  const folder = process.env["SOTTO_REPORTS"];
  return folder === undefined
    ? ["default"]
    : ["default", new RunReporter(`${folder}/${name}.json`)];
}
