/**
 * What the sotto that serves says to whoever had it reload (`POST /reload`), in JSON.
 * @module
 */
import * as z from "zod/mini";

/** It serves by the new configuration. */
const RELOADED = z.object({
  /** Absolute; null: there is no file. */
  config: z.nullable(z.string()),
  sites: z.int(),
  /** As the log has them, each a sentence. */
  warnings: z.readonly(z.array(z.string())),
});

/** It serves as before. */
const REFUSED = z.object({
  /** Why, as the log has it. */
  err: z.string(),
  /** It has not even read the configuration. */
  isUnread: z.optional(z.literal(true)),
});

/** `pid` is whose answer it is: a socket in the data folder goes from one process to its successor. */
export const RELOAD_ANSWER = z.intersection(
  z.object({ pid: z.int() }),
  z.union([RELOADED, REFUSED]),
);

export type ReloadOutcome =
  | Readonly<z.infer<typeof RELOADED>>
  | Readonly<z.infer<typeof REFUSED>>;

export type ReloadAnswer = { readonly pid: number } & ReloadOutcome;
