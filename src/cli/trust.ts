/** `edge.ts trust` @module */
import process from "node:process";

import { type Machine, thisMachine } from "../trust/machine.ts";
import { readableFingerprint, type TrustRoot } from "../trust/root.ts";
import { describePlan, perform, type StepResult } from "../trust/step.ts";
import { planTrust, rememberTry } from "../trust/trust.ts";
import type { TrustArguments } from "./arguments.ts";
import { CommandError } from "./explain.ts";
import { storedRoots } from "./local-roots.ts";

/** Has this machine's stores trust the local CA's root. @throws {CommandError} a store would not take it */
export async function trust(
  args: TrustArguments,
  machine: Machine = thisMachine(true),
): Promise<void> {
  const { storage, current } = await storedRoots(args);
  process.stdout.write(headline(current));
  const steps = await planTrust(machine, current);
  process.stdout.write(describePlan(steps).map((line) => `  ${line}\n`).join(""));
  if (args.dryRun) return;
  const results = await perform(steps, machine);
  await rememberTry(storage, current, results, Date.now());
  reportResults(results);
}

export function headline(root: TrustRoot): string {
  return `${root.file}\n  SHA-256 ${readableFingerprint(root)}\n`;
}

/** @throws {CommandError} */
export function reportResults(results: readonly StepResult[]): void {
  for (const { store, place, outcome, detail } of results) {
    process.stdout.write(`${outcome}: ${store} ${place}${detail ? `: ${detail}` : ""}\n`);
  }
  const failed = results.filter(({ outcome }) => outcome === "failed");
  if (failed.length > 0) {
    throw new CommandError(`${failed.length} of ${results.length} stores would not do it`);
  }
}
