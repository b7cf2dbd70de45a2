/**
 * The results that are kept in baselines/.
 * @module
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";

import { readReport, type Report } from "./report.ts";

/** Oldest first: of a figure that several have, the last is to be believed. */
export function readBaselines(folder = join(import.meta.dirname, "baselines")): Report[] {
  const files = readdirSync(folder).filter((name) => name.endsWith(".json"));
  const reports = files.map((name) => readReport(join(folder, name)));
  const date = ({ environment }: Report): string => environment.date;
  return reports.sort((a, b) => date(a) < date(b) ? -1 : date(a) > date(b) ? 1 : 0);
}
