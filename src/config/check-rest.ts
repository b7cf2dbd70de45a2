/**
 * What else is wrong with a document whose shape is not right: whoever mends the one hears of the other as well.
 * @module
 */
import { check } from "./check.ts";
import type { ConfigPath, Problem } from "./error.ts";
import { schema } from "./schema.ts";

/** What has the wrong shape: the value at `path`, or some `keys` of the table there. */
export interface Misshapen {
  readonly path: ConfigPath;
  readonly keys?: readonly string[] | undefined;
}

/**
 * Checks what is left without the misshapen: every whole [[site]], since its keys depend on each other, and what stands at
 * the top. Nothing is told that may follow from what was left out.
 *
 * @param document as it was parsed
 */
export function checkRest(
  document: unknown,
  misshapen: readonly Misshapen[],
  file: string,
  folder: string,
): readonly Problem[] {
  const rest: Record<string, unknown> = { ...document as object };
  const sites = new Set<number>();
  for (const { path, keys } of misshapen) {
    const [first, second] = path;
    if (first === "site" && typeof second === "number") sites.add(second);
    else leaveOut(rest, path, keys);
  }
  if (sites.size > 0) {
    // The others keep their numbers.
    const tables = rest.site as readonly unknown[];
    rest.site = tables.map((table, i) =>
      sites.has(i) ? { names: [`${i}.misshapen.invalid`] } : table
    );
  }
  const shape = schema.safeParse(rest);
  if (!shape.success) return [];
  const isEverySiteThere = sites.size === 0 && "site" in rest === "site" in (document as object);
  return check(shape.data, file, folder).problems.filter(({ path: [first, second] }) =>
    first === "site"
      ? !sites.has(second as number)
      : isEverySiteThere || !ABOUT_SITES.has(first as string)
  );
}

/** Their values are names of sites. */
const ABOUT_SITES: ReadonlySet<string> = new Set(["auto_https", "default_sni", "fallback_sni"]);
/** Tables of keys that have nothing to do with each other. */
const LOOSE: ReadonlySet<string> = new Set(["ech", "crypto", "limits"]);

function leaveOut(
  rest: Record<string, unknown>,
  [first, second]: ConfigPath,
  keys: readonly string[] | undefined,
): void {
  if (first === undefined) {
    for (const key of keys ?? []) delete rest[key];
    return;
  }
  const names = second !== undefined ? [second] : keys;
  if (names === undefined || !LOOSE.has(String(first))) {
    delete rest[first];
    return;
  }
  const table: Record<string, unknown> = { ...rest[first] as object };
  for (const name of names) delete table[name];
  rest[first] = table;
}
