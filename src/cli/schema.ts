/** `edge.ts schema` @module */
import process from "node:process";

import { LIMITS } from "../config/limits.ts";
import { schemaForEditors } from "../config/schema.ts";

/** Prints the JSON Schema of sotto.toml: an editor that knows it completes keys and marks mistakes. */
export function printSchema(): void {
  process.stdout.write(JSON.stringify(schemaForEditors(Object.keys(LIMITS)), undefined, 2) + "\n");
}
