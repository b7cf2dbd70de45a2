/**
 * Has the stores of this machine trust the local CA's root, or forget it (acme §12.6).
 *
 * Nothing here is ever fatal: what cannot be done comes back as a result with a hint.
 *
 * @module
 */
import type { Storage } from "../control/storage/storage.ts";
import { planJava } from "./java.ts";
import type { Machine } from "./machine.ts";
import { planNss } from "./nss.ts";
import type { TrustRoot } from "./root.ts";
import { perform, type Step, type StepResult } from "./step.ts";
import { planSystem } from "./system.ts";

/** What would be run for each store there is. Stores are looked for, nothing is changed. */
export async function planTrust(
  machine: Machine,
  root: TrustRoot,
  goal: Step["goal"] = "trusted",
): Promise<Step[]> {
  return [
    ...await planSystem(machine, root, goal),
    ...await planNss(machine, root, goal),
    ...await planJava(machine, root, goal),
  ];
}

/**
 * The try that is made by itself, once for each root: on a terminal, unless the configuration says no. Both are the
 * caller's to look at. Undefined: it was tried before, or `sotto trust` or `untrust` was run.
 *
 * @throws {StorageError} the try cannot be remembered, so it is not made
 */
export async function trustOnce(
  storage: Pick<Storage, "get" | "put">,
  machine: Machine,
  root: TrustRoot,
  nowMs: number,
): Promise<readonly StepResult[] | undefined> {
  const tried = await readTries(storage);
  if (root.fingerprint in tried) return undefined;
  // Before it is made: a try that hangs is not made again at the next start.
  await rememberTry(storage, root, [], nowMs);
  const results = await perform(await planTrust(machine, root), machine);
  await rememberTry(storage, root, results, nowMs);
  return results;
}

/** @throws {StorageError} */
export async function rememberTry(
  storage: Pick<Storage, "get" | "put">,
  root: TrustRoot,
  results: readonly StepResult[],
  nowMs: number,
): Promise<void> {
  const tried = await readTries(storage);
  tried[root.fingerprint] = { at: new Date(nowMs).toISOString(), results };
  const text = JSON.stringify({ tried }, undefined, 2) + "\n";
  await storage.put(TRIES, new TextEncoder().encode(text));
}

/** By fingerprint. What cannot be read is as if it were not there. */
async function readTries(storage: Pick<Storage, "get">): Promise<Record<string, unknown>> {
  const bytes = await storage.get(TRIES);
  if (bytes === undefined) return {};
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
    const tried = typeof value === "object" && value !== null && "tried" in value
      ? value.tried
      : undefined;
    return typeof tried === "object" && tried !== null ? { ...tried } : {};
  } catch {
    return {};
  }
}

const TRIES = "pki/authorities/local/trust.json";
