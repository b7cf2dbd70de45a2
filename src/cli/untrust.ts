/** `edge.ts untrust` @module */
import { resolve } from "node:path";
import process from "node:process";

import { readText } from "../control/certificates/files.ts";
import { type Machine, thisMachine } from "../trust/machine.ts";
import { type TrustRoot, trustRoot } from "../trust/root.ts";
import { describePlan, perform, type StepResult } from "../trust/step.ts";
import { planTrust, rememberTry } from "../trust/trust.ts";
import type { UntrustArguments } from "./arguments.ts";
import { CommandError } from "./explain.ts";
import { storedRoots } from "./local-roots.ts";
import { headline, reportResults } from "./trust.ts";

/** Has this machine's stores forget the local CA's roots. @throws {CommandError} a store would not do it */
export async function untrust(
  args: UntrustArguments,
  machine: Machine = thisMachine(true),
): Promise<void> {
  const stored = args.certificate === undefined ? await storedRoots(args) : undefined;
  const roots = stored?.all ?? [await rootFromFile(args.certificate!)];
  const results: StepResult[] = [];
  for (const root of roots) {
    process.stdout.write(headline(root));
    const steps = await planTrust(machine, root, "untrusted");
    const lines = steps.length > 0 ? describePlan(steps) : ["nothing to do: no store has it"];
    process.stdout.write(lines.map((line) => `  ${line}\n`).join(""));
    if (args.dryRun) continue;
    const ofRoot = await perform(steps, machine);
    // It is not to be installed again at the next start.
    if (stored !== undefined) await rememberTry(stored.storage, root, ofRoot, Date.now());
    results.push(...ofRoot);
  }
  reportResults(results);
}

async function rootFromFile(path: string): Promise<TrustRoot> {
  const { text } = await readText(path, "root certificate");
  try {
    return trustRoot(text, resolve(path));
  } catch (cause) {
    throw new CommandError(
      `Cannot use the root certificate file ${path}: ${(cause as Error).message}`,
      {
        cause,
      },
    );
  }
}
