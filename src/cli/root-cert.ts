/** `edge.ts root-cert` @module */
import process from "node:process";

import { readableFingerprint } from "../trust/root.ts";
import type { CommonArguments } from "./arguments.ts";
import { storedRoots } from "./local-roots.ts";

/** Prints the local CA's root to standard output, PEM, and to standard error where it lies and its fingerprint. */
export async function rootCert(args: Pick<CommonArguments, "data">): Promise<void> {
  const { current } = await storedRoots(args);
  process.stderr.write(`${current.file}\nSHA-256 ${readableFingerprint(current)}\n`);
  process.stdout.write(current.pem);
}
