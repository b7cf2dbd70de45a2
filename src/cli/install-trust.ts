/**
 * The one try to have this machine trust the local CA's root that is made unasked (acme §12.6).
 * @module
 */
import process from "node:process";

import { type Machine, thisMachine } from "../trust/machine.ts";
import type { StepResult } from "../trust/step.ts";
import { trustOnce } from "../trust/trust.ts";
import type { CommonArguments } from "./arguments.ts";
import { storedRoots } from "./local-roots.ts";

/**
 * Says what came of it, or nothing where it was tried before. Never rejects: serving does not depend on it.
 *
 * @param command what a person can run instead
 */
export async function installTrust(
  args: Pick<CommonArguments, "data">,
  command: string,
  write: (text: string) => void,
  machine: Machine = thisMachine(process.stdin.isTTY),
): Promise<void> {
  try {
    const { storage, current } = await storedRoots(args);
    const results = await trustOnce(storage, machine, current, Date.now());
    if (results !== undefined) write(describeTry(results, command));
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    write(`The local CA's root was not made trusted: ${why}. Try: ${command}\n`);
  }
}

function describeTry(results: readonly StepResult[], command: string): string {
  const of = (...outcomes: StepResult["outcome"][]) =>
    results.filter(({ outcome }) => outcomes.includes(outcome));
  const lines = of("trusted", "already").map(({ store, place }) =>
    `This machine trusts the local CA's root now: ${store} ${place}. Undo it with: ${
      command.replace(" trust ", " untrust ")
    }\n`
  );
  const failed = of("failed", "skipped");
  for (const { store, place, detail = "it failed" } of failed) {
    lines.push(`The local CA's root is not trusted by ${store} ${place}: ${detail}\n`);
  }
  if (failed.length > 0) lines.push(`Try: ${command}\n`);
  return lines.join("");
}
