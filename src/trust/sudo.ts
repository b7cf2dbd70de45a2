/**
 * Steps that only root may take.
 * @module
 */
import type { Machine } from "./machine.ts";
import type { Action, Step } from "./step.ts";

/** The step as it is for root, through sudo for others. */
export async function asRoot(machine: Machine, step: Step): Promise<Step> {
  if (machine.isRoot) return step;
  const sudo = await machine.find("sudo");
  if (sudo === undefined) {
    return { ...step, actions: [], missing: "only root may do it, and there is no sudo" };
  }
  const prefix = machine.mayAsk ? [sudo] : [sudo, "-n"];
  return { ...step, actions: step.actions.flatMap((action) => throughSudo(action, prefix)) };
}

function throughSudo(action: Action, sudo: readonly string[]): Action[] {
  switch (action.do) {
    case "write":
      return [
        { do: "run", command: [...sudo, "tee", "--", action.path], input: action.content },
        // sudo keeps the caller's umask where it is the stricter one.
        { do: "run", command: [...sudo, "chmod", "644", "--", action.path] },
      ];
    case "remove":
      return [{ do: "run", command: [...sudo, "rm", "-f", "--", action.path] }];
    case "run":
      return [{ ...action, command: [...sudo, ...action.command] }];
  }
}
