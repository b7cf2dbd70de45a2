/**
 * Makes once what all tests of a run share: the Go client and the certificates.
 * @module
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { makeInteropCertificates } from "./fixtures.ts";
import { must } from "./run.ts";

let folder: string | undefined;

export async function setup(): Promise<void> {
  folder = mkdtempSync(join(tmpdir(), "sotto-interop-"));
  const path = join(folder, "client");
  await must("go", ["build", "-o", path, "."], {
    cwd: join(import.meta.dirname, "../go"),
    timeoutMs: 300_000,
  });
  process.env["SOTTO_GO_CLIENT"] = path;
  await makeInteropCertificates(join(folder, "certificates"));
}

export function teardown(): void {
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
}
