/** What deploy/Dockerfile says that can be tried without building it. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import process from "node:process";

import { describe, expect, test } from "vitest";

import { CliKit } from "./cli-kit.ts";

const cli = new CliKit("image");
const PROJECT = join(import.meta.dirname, "../..");
const dockerfile = readFileSync(join(PROJECT, "deploy/Dockerfile"), "utf8").replaceAll("\\\n", "");

describe("The health check", () => {
  const [, text] = /^HEALTHCHECK .*CMD (\[.*\])$/m.exec(dockerfile)!;
  const [program, ...args] = JSON.parse(text!) as string[];
  const check = async (): Promise<unknown> => {
    expect(program).toBe("bun");
    const SOTTO_DATA = join(cli.folder, "data");
    const path = `${join(PROJECT, "node_modules/.bin")}:${process.env["PATH"]}`;
    const env = { ...process.env, SOTTO_DATA, PATH: path };
    const [code] = await once(spawn("bun", args, { env, stdio: "ignore" }), "exit");
    return code;
  };

  test("is passed by a sotto that is ready, and not before or after", async () => {
    expect(await check()).toBe(1);
    await mkdir(join(cli.folder, "data/instances", hostname()), { recursive: true, mode: 0o700 });
    expect(await check()).toBe(1);
    const { ready, stop } = await cli.serve();
    expect(ready.health).toBeDefined();
    expect(await check()).toBe(0);
    expect(await stop()).toBe(0);
    expect(await check()).toBe(1);
  });
});
