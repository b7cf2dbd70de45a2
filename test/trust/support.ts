/**
 * A machine of one's own for the trust tests, and what they need of the real one.
 * @module
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { onTestFinished } from "vitest";

import { openLocalCa } from "../../src/control/certificates/local-ca.ts";
import { openFileStorage } from "../../src/control/storage/files.ts";
import type { Storage } from "../../src/control/storage/storage.ts";
import { findProgram, type Machine, runProgram } from "../../src/trust/machine.ts";
import { type TrustRoot, trustRoot } from "../../src/trust/root.ts";
import skips from "./skips.json" with { type: "json" };

export interface TestMachine extends Machine {
  readonly folder: string;
  readonly home: string;
  /** What was run, programs without their folders. */
  readonly ran: string[][];
}

/** Its home, its anchors and its programs lie in a temporary folder; of the real one it has what `programs` names. */
export function testMachine(
  parts: Partial<Machine> & { readonly programs?: Readonly<Record<string, string>> } = {},
): TestMachine {
  const folder = mkdtempSync(join(tmpdir(), "sotto-trust-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const home = join(folder, "home");
  mkdirSync(home);
  const ran: string[][] = [];
  const { programs = {}, ...rest } = parts;
  return {
    platform: "linux",
    isRoot: true,
    mayAsk: false,
    javaHome: undefined,
    anchorFolders: [],
    find: (program) => Promise.resolve(programs[program]),
    run(command, input) {
      const [program, ...args] = command;
      ran.push([program!.replace(/^.*\//, ""), ...args]);
      return runProgram(command, input);
    },
    ...rest,
    folder,
    home,
    ran,
  };
}

/** A CA with a root in a storage below the machine's folder, and a chain that it issued. */
export async function rootOn(
  machine: TestMachine,
  name = "data",
): Promise<{ root: TrustRoot; storage: Storage; data: string; chain: string }> {
  const data = join(machine.folder, name);
  const storage = await openFileStorage(data);
  const ca = await openLocalCa({ storage, now: Date.now });
  const chain = join(machine.folder, `${name}.chain`);
  writeFileSync(chain, (await ca.issue(["localhost"])).certificatePem);
  return { root: trustRoot(ca.rootPem, join(data, ca.root.storageKey)), storage, data, chain };
}

/** A program that does as its few lines of shell say. */
export function script(machine: TestMachine, name: string, lines: string): string {
  const path = join(machine.folder, name);
  writeFileSync(path, `#!/bin/sh\n${lines}\n`, { mode: 0o755 });
  return path;
}

/** Programs of the real machine that tests need, by name. Those that CI must have are missed there loudly. */
export const PROGRAMS = new Map<string, string>();
for (const program of Object.keys(skips)) {
  const path = await findProgram(program, process.env.PATH ?? "");
  if (path !== undefined) PROGRAMS.set(program, path);
  else if (process.env.CI) {
    throw new Error(`${program} is missing, and CI must have it: ${reasonFor(program)}`);
  }
}

/** Is the program there? Where not, `skips.json` says why the test is left out. */
export function has(program: keyof typeof skips): boolean {
  return PROGRAMS.has(program);
}

function reasonFor(program: string): string {
  return (skips as Record<string, string>)[program] ?? "";
}
