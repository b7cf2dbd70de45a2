/**
 * What is to be done to have a root trusted, or not any more: planned first, so that it can be shown, then performed.
 * @module
 */
import { chmod, rm, writeFile } from "node:fs/promises";

import type { Machine } from "./machine.ts";

/** One trust store. */
export interface Step {
  readonly store: "system" | "nss" | "java" | "macos";
  readonly goal: "trusted" | "untrusted";
  /** Folder, database or keystore. */
  readonly place: string;
  /** It succeeds: the root is in the store, nothing needs to be done for "trusted"; it fails: nor for "untrusted". */
  readonly check?: readonly string[];
  readonly actions: readonly Action[];
  /** Why it cannot be done, and what would help; there are no actions then. */
  readonly missing?: string;
}

export type Action =
  | { readonly do: "write"; readonly path: string; readonly content: string }
  | { readonly do: "remove"; readonly path: string }
  | {
    readonly do: "run";
    /** The program and its arguments: no shell is involved. */
    readonly command: readonly string[];
    readonly input?: string;
  };

export interface StepResult {
  readonly store: Step["store"];
  readonly place: string;
  /** `skipped`: it cannot be done here. `already`: nothing was to be done. */
  readonly outcome: "trusted" | "untrusted" | "already" | "skipped" | "failed";
  /** For people: what went wrong, or what would help. */
  readonly detail?: string;
}

/** The plan as lines a person could type. */
export function describePlan(steps: readonly Step[]): string[] {
  return steps.flatMap(({ missing, store, place, actions }) =>
    missing === undefined
      ? actions.map((action) => describe(action))
      : [`# ${store} ${place}: ${missing}`]
  );
}

function describe(action: Action): string {
  switch (action.do) {
    case "write":
      return `write ${quoted(action.path)}`;
    case "remove":
      return `rm ${quoted(action.path)}`;
    case "run":
      return action.command.map(quoted).join(" ") +
        (action.input === undefined ? "" : " < certificate");
  }
}

/** As a shell takes it for one word. */
export function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** One store after the other. It never throws: what fails is a result, and the next store has its turn. */
export async function perform(steps: readonly Step[], machine: Machine): Promise<StepResult[]> {
  const results: StepResult[] = [];
  for (const step of steps) {
    const { store, place } = step;
    results.push({ store, place, ...await performOne(step, machine) });
  }
  return results;
}

async function performOne(
  step: Step,
  machine: Machine,
): Promise<Pick<StepResult, "outcome" | "detail">> {
  if (step.missing !== undefined) return { outcome: "skipped", detail: step.missing };
  try {
    if (step.check !== undefined) {
      const isThere = (await machine.run(step.check)).code === 0;
      if (isThere === (step.goal === "trusted")) return { outcome: "already" };
    }
    for (const action of step.actions) {
      const detail = await act(action, machine);
      if (detail !== undefined) return { outcome: "failed", detail };
    }
    return { outcome: step.goal };
  } catch (error) {
    return { outcome: "failed", detail: error instanceof Error ? error.message : String(error) };
  }
}

/** Undefined: it went well. */
async function act(action: Action, machine: Machine): Promise<string | undefined> {
  switch (action.do) {
    case "write":
      await rm(action.path, { force: true });
      await writeFile(action.path, action.content, { flag: "wx" }); // through nobody's link
      // A trust store is nobody's secret: readable by all, whatever the umask.
      await chmod(action.path, 0o644);
      return undefined;
    case "remove":
      await rm(action.path, { force: true });
      return undefined;
    case "run": {
      const { code, output } = await machine.run(action.command, action.input);
      if (code === 0) return undefined;
      const last = output.trim().split("\n").at(-1);
      return `${action.command[0]} ended with ${code}${last ? `: ${last}` : ""}`;
    }
  }
}
