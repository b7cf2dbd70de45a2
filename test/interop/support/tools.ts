/**
 * The clients that are not of the project: found, or built once, outside of the work tree.
 *
 * A tool that is missing is a failure, not a skip: `.ci/run` installs what it needs.
 *
 * @module
 */
import { existsSync, mkdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { jsonLines, PROJECT } from "./server.ts";
import { must, type RunOptions } from "./run.ts";

/** Holds what is built and installed for the tests. */
const CACHE = process.env["SOTTO_INTEROP_CACHE"] ?? join(tmpdir(), "sotto-interop-cache");

const CURL_CFFI = "curl-cffi==0.17.0";

let builtGo: Promise<string> | undefined;

/** The path of the Go client. */
export function goClient(): Promise<string> {
  return builtGo ??= (async () => {
    mkdirSync(CACHE, { recursive: true });
    const path = join(CACHE, `go-client-${process.pid}`);
    await must("go", ["build", "-o", path, "."], {
      cwd: join(PROJECT, "test/interop/go"),
      timeoutMs: 300_000,
    });
    return path;
  })();
}

/** Runs it and returns the JSON values that it prints. */
export async function go<T>(args: readonly string[], options: RunOptions = {}): Promise<T[]> {
  const finished = await must(await goClient(), args, { timeoutMs: 60_000, ...options });
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
