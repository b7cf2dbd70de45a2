/**
 * Builds the Go client once for all tests of a run.
 * @module
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { must } from "./run.ts";

let folder: string | undefined;

export async function setup(): Promise<void> {
  folder = mkdtempSync(join(tmpdir(), "sotto-go-"));
  const path = join(folder, "client");
  await must("go", ["build", "-o", path, "."], {
    cwd: join(import.meta.dirname, "../go"),
    timeoutMs: 300_000,
  });
  process.env["SOTTO_GO_CLIENT"] = path;
}

export function teardown(): void {
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
}
