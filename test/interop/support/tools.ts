/**
 * The clients beside OpenSSL and curl: built and installed outside of the work tree.
 *
 * A tool that is missing is a failure, not a skip: `.ci/run` installs what it needs.
 *
 * @module
 */
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { jsonLines } from "./server.ts";
import { must, type RunOptions } from "./run.ts";

/** Holds what is installed for the tests, and stays. */
const CACHE = process.env["SOTTO_INTEROP_CACHE"] ?? join(tmpdir(), "sotto-interop-cache");

const CURL_CFFI = "curl-cffi==0.17.0";

/** The path of the Go client, which `setup.ts` built. */
export function goClient(): string {
  const path = process.env["SOTTO_GO_CLIENT"];
  if (path === undefined) throw new Error("run the tests with their own vitest.config.ts");
  return path;
}

/** Runs it and returns the JSON values that it prints. */
export async function go<T>(args: readonly string[], options: RunOptions = {}): Promise<T[]> {
  const finished = await must(goClient(), args, { timeoutMs: 60_000, ...options });
  return jsonLines(finished.stdout) as T[];
}

let installedPython: Promise<string> | undefined;

/** The path of a Python that has curl-cffi. */
export function pythonWithCurlCffi(): Promise<string> {
  return installedPython ??= (async () => {
    const folder = join(CACHE, "python");
    const python = join(folder, "bin/python3");
    if (!existsSync(python)) await must("python3", ["-m", "venv", folder], { timeoutMs: 120_000 });
    const [name, version] = CURL_CFFI.split("==");
    const isThere = [
      "-c",
      `import importlib.metadata as m; assert m.version("${name}") == "${version}"`,
    ];
    try {
      await must(python, isThere);
    } catch {
      await must(python, ["-m", "pip", "install", "--quiet", CURL_CFFI], { timeoutMs: 300_000 });
    }
    return python;
  })();
}
