/**
 * What the sites of the interop tests are called.
 * @module
 */
import type { KeyKind } from "./certificates.ts";

export const AUTH_MODES = ["request", "require", "verify_if_given", "require_and_verify"] as const;

/** The site's name for a kind of key. */
export const nameFor = (kind: KeyKind): string => `${kind}.test`;
/** … for a mode of client authentication. */
export const authName = (mode: typeof AUTH_MODES[number]): string =>
  `${mode.replaceAll("_", "-")}.test`;

/** What `respond` says on the site of that name. */
export const greeting = (name: string): string => `hello from ${name}!`;
