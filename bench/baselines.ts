/**
 * The results that are kept in baselines/.
 * @module
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";

import type { BenchName, RuntimeName } from "./options.ts";
import { readReport, type Report } from "./report.ts";

const FOLDER = join(import.meta.dirname, "baselines");

/** @param of figures of one bench on one runtime; of these counts of certificates alone, in a file of their own */
export function baselineFile(
  { runtime, bench, counts = [] }: {
    readonly runtime: RuntimeName;
    readonly bench: BenchName;
    readonly counts?: readonly number[] | undefined;
  },
  { versions }: Pick<Report["environment"], "versions">,
): string {
  const name = [bench, ...counts].join("-");
  return join(FOLDER, `${runtime}-${versions[runtime]}.${name}.json`);
}

/** Oldest first: of a figure that several have, the last is to be believed. */
export function readBaselines(folder = FOLDER): Report[] {
  const files = readdirSync(folder).filter((name) => name.endsWith(".json"));
  const reports = files.map((name) => readReport(join(folder, name)));
  const date = ({ environment }: Report): string => environment.date;
  return reports.sort((a, b) => date(a) < date(b) ? -1 : date(a) > date(b) ? 1 : 0);
}
