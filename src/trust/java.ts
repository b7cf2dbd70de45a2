/**
 * Java's keystore, of the Java that JAVA_HOME names (acme §12.6).
 * @module
 */
import { existsSync } from "node:fs";
import { access, constants } from "node:fs/promises";
import { join } from "node:path";

import type { Machine } from "./machine.ts";
import type { TrustRoot } from "./root.ts";
import type { Step } from "./step.ts";
import { asRoot } from "./sudo.ts";

export async function planJava(
  machine: Machine,
  root: TrustRoot,
  goal: Step["goal"],
): Promise<Step[]> {
  const { javaHome } = machine;
  if (!javaHome) return [];
  const keystore = ["lib/security/cacerts", "jre/lib/security/cacerts"]
    .map((path) => join(javaHome, path)).find((path) => existsSync(path));
  if (keystore === undefined) return [];
  const common = { store: "java", goal, place: keystore } as const;
  const own = join(javaHome, "bin/keytool");
  const keytool = existsSync(own) ? own : await machine.find("keytool");
  if (keytool === undefined) {
    return [{
      ...common,
      actions: [],
      missing: `keytool is neither in ${javaHome}/bin nor in PATH`,
    }];
  }
  const store = ["-keystore", keystore, "-storepass", PASSWORD, "-alias", root.label];
  const command = goal === "trusted"
    ? [keytool, "-importcert", "-noprompt", ...store, "-file", root.file]
    : [keytool, "-delete", ...store];
  const check = [keytool, "-list", ...store];
  const step: Step = { ...common, check, actions: [{ do: "run", command }] };
  return [await isWritable(keystore) ? step : await asRoot(machine, step)];
}

/** What every Java comes with. */
const PASSWORD = "changeit";

async function isWritable(path: string): Promise<boolean> {
  return await access(path, constants.W_OK).then(() => true, () => false);
}
