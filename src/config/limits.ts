/**
 * Every limit that a peer can run into, by name, with its default: what `[limits]` takes and `validate --limits` prints.
 * @module
 */
import { DEFAULT_LIMITS } from "../tls/limits.ts";

export const LIMITS: Readonly<Record<string, number>> = { ...DEFAULT_LIMITS };
