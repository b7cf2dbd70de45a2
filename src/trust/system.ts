/**
 * The system's store: a folder of roots on Linux, the system keychain on macOS (acme §12.6).
 * @module
 */
import { existsSync } from "node:fs";

import type { AnchorFolder, Machine } from "./machine.ts";
import type { TrustRoot } from "./root.ts";
import type { Action, Step } from "./step.ts";
import { asRoot } from "./sudo.ts";

export async function planSystem(
  machine: Machine,
  root: TrustRoot,
  goal: Step["goal"],
): Promise<Step[]> {
  if (machine.platform === "darwin") return [await planKeychain(machine, root, goal)];
  if (machine.platform !== "linux") {
    const missing = `not known how on ${machine.platform}: import ${root.file} by hand`;
    return [{ store: "system", goal, place: machine.platform, actions: [], missing }];
  }
  return goal === "trusted"
    ? [await planAnchor(machine, root)]
    : await planAnchorRemoval(machine, root);
}

async function planAnchor(machine: Machine, root: TrustRoot): Promise<Step> {
  for (const anchors of machine.anchorFolders) {
    if (!existsSync(anchors.folder)) continue;
    const update = await updateCommand(machine, anchors);
    if (update === undefined) continue;
    const actions: Action[] = [
      { do: "write", path: pathIn(anchors, root), content: root.pem },
      { do: "run", command: update },
    ];
    return asRoot(machine, { store: "system", goal: "trusted", place: anchors.folder, actions });
  }
  const looked = machine.anchorFolders.map(({ folder }) => folder).join(", ");
  return {
    store: "system",
    goal: "trusted",
    place: "none",
    actions: [],
    missing: `no folder for roots with its update program, looked for ${looked}; ` +
      "often the package ca-certificates is missing",
  };
}

/** Wherever it lies: another program may have become the first one since. */
async function planAnchorRemoval(machine: Machine, root: TrustRoot): Promise<Step[]> {
  const steps: Step[] = [];
  for (const anchors of machine.anchorFolders) {
    const path = pathIn(anchors, root);
    if (!existsSync(path)) continue;
    const update = await updateCommand(machine, anchors);
    const actions: Action[] = [{ do: "remove", path }];
    if (update !== undefined) actions.push({ do: "run", command: update });
    const place = anchors.folder;
    steps.push(await asRoot(machine, { store: "system", goal: "untrusted", place, actions }));
  }
  return steps;
}

function pathIn({ folder, extension }: AnchorFolder, { label }: TrustRoot): string {
  return `${folder}/${label}.${extension}`;
}

async function updateCommand(
  machine: Machine,
  { update: [program, ...args] }: AnchorFolder,
): Promise<string[] | undefined> {
  const found = await machine.find(program!);
  return found === undefined ? undefined : [found, ...args];
}

/** For TLS servers alone. Not tried yet on a Mac. */
async function planKeychain(
  machine: Machine,
  root: TrustRoot,
  goal: Step["goal"],
): Promise<Step> {
  const security = await machine.find("security") ?? "security";
  const policies = ["-r", "trustRoot", "-p", "ssl", "-p", "basic"];
  const command = goal === "trusted"
    ? [security, "add-trusted-cert", "-d", ...policies, "-k", KEYCHAIN, root.file]
    : [security, "remove-trusted-cert", "-d", root.file];
  return asRoot(machine, {
    store: "macos",
    goal,
    place: KEYCHAIN,
    actions: [{ do: "run", command }],
  });
}

const KEYCHAIN = "/Library/Keychains/System.keychain";
