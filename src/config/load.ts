/**
 * Reads sotto.toml. Either the whole file is good, or none of it is used.
 * @module
 */
import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";

import { parse, TomlError } from "smol-toml";

import { check } from "./check.ts";
import { checkRest } from "./check-rest.ts";
import type { Config } from "./config.ts";
import { ConfigError, type ConfigPath, type Problem } from "./error.ts";
import { didYouMean } from "./nearest.ts";
import { notYet } from "./not-yet.ts";
import { KEYS, schema } from "./schema.ts";
import { textOf } from "./text.ts";

/**
 * Loads a configuration file. Relative paths in it are relative to its folder.
 *
 * @throws {ConfigError} it cannot be read, is neither UTF-8 nor TOML, or says something that sotto does not accept
 */
export async function loadConfig(file: string): Promise<Config> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(file);
  } catch (cause) {
    const { code = "", message } = cause as NodeJS.ErrnoException;
    const why = UNREADABLE[code] ?? `cannot be read: ${message}`;
    throw new ConfigError(file, [{ path: [], message: why }], { cause });
  }
  return await parseConfig(textOf(bytes, file), resolve(file));
}

const UNREADABLE: Record<string, string> = {
  ENOENT: "there is no such file",
  ENOTDIR: "there is no such file: what should be its folder is a file",
  EACCES: "cannot be read: permission denied for the user that sotto runs as",
  EISDIR: "cannot be read: it is a folder",
};

/**
 * The same for a text that is already there.
 *
 * @param file for messages, and whose folder relative paths are relative to
 * @throws {ConfigError}
 */
export async function parseConfig(text: string, file: string): Promise<Config> {
  const document = parseToml(text, file);
  const shape = schema.safeParse(document);
  if (!shape.success) {
    const { issues } = shape.error;
    const found = issues.slice(0, MAX_PROBLEMS).flatMap((issue) => problems(issue, document));
    const misshapen = issues.map((issue) => ({
      path: pathOf(issue),
      keys: issue.code === "unrecognized_keys" ? issue.keys : undefined,
    }));
    const rest = checkRest(document, misshapen, file, dirname(file));
    const left = Math.max(MAX_PROBLEMS - issues.length, 0);
    found.push(...rest.slice(0, left).map((problem) => ({ problem })));
    throw await located(text, file, found, issues.length + rest.length - MAX_PROBLEMS);
  }
  const { config, problems: all } = check(shape.data, file, dirname(file));
  if (all.length > 0) {
    const found = all.slice(0, MAX_PROBLEMS).map((problem) => ({ problem }));
    throw await located(text, file, found, all.length - MAX_PROBLEMS);
  }
  return config;
}

function parseToml(text: string, file: string): unknown {
  try {
    return parse(text);
  } catch (cause) {
    if (!(cause instanceof TomlError)) throw cause;
    const message = cause.message.split("\n")[0]!.replace(/^Invalid TOML document: /, "");
    const { line, column } = cause;
    const rest = (text.split("\n")[line - 1] ?? "").slice(column - 1).trimEnd();
    const help = acceptedThere(message, rest);
    throw new ConfigError(file, [{ path: [], message: `not TOML: ${help}`, line, column }], {
      cause,
    });
  }
}

/** What the parser says of mistakes that people make often, in their words. @param rest of the line, from its place on */
function acceptedThere(message: string, rest: string): string {
  if (message.startsWith("control characters") && rest === "") {
    return "a string that is not closed, accepted: a quote at its end, in the same line";
  }
  if (message.startsWith("illegal character in key") && rest.startsWith(":")) {
    return 'found ":" after a key, accepted: "="';
  }
  if (message === "invalid value") {
    return `${message}, accepted: a text in quotes, a number, true, false, a list or a table`;
  }
  return message;
}

/** A problem, and the key of the table at its path that it is about, where it is not the path's own value. */
interface Found {
  readonly problem: Problem;
  readonly key?: string;
}

/** @param more so many are left out */
async function located(
  text: string,
  file: string,
  found: readonly Found[],
  more: number,
): Promise<ConfigError> {
  const { locator } = await import("./position.ts");
  const locate = await locator(text);
  const problems = found.map(({ problem, key }): Problem => ({
    ...problem,
    ...locate?.(problem.path, key),
  }));
  problems.sort((a, b) => (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0));
  if (more > 0) problems.push({ path: [], message: `${more} more of this kind` });
  return new ConfigError(file, problems);
}

/** As many as somebody may read. A reload says them from the thread that serves, and to the log. */
const MAX_PROBLEMS = 100;

type Issue = NonNullable<ReturnType<typeof schema.safeParse>["error"]>["issues"][number];

function pathOf({ path }: Issue): ConfigPath {
  return path.map((step) => (typeof step === "symbol" ? String(step) : step));
}

function problems(issue: Issue, document: unknown): Found[] {
  const path = pathOf(issue);
  if (issue.code === "unrecognized_keys") {
    const table = path.filter((step) => typeof step === "string").join(".");
    const accepted = KEYS[table] ?? [];
    return issue.keys.map((key) => ({
      problem: {
        path,
        message: notYet(table, key) ?? misplaced(path, key, document) ??
          `unknown key ${JSON.stringify(key)}, accepted: ${accepted.join(", ")}` +
            didYouMean(key, accepted),
      },
      key,
    }));
  }
  if (issue.code === "invalid_union") {
    // A table that is no other alternative: what is wrong is in it.
    const inner = issue.errors.find((errors) => errors.some((one) => one.path.length > 0));
    const isTable = typeof valueAt(document, path) === "object" &&
      !Array.isArray(valueAt(document, path));
    if (inner !== undefined && isTable) {
      return inner.flatMap((one) =>
        problems({ ...one, path: [...issue.path, ...one.path] } as Issue, document)
      );
    }
  }
  const found = valueAt(document, path);
  const message = found === undefined
    ? `is missing, accepted: ${issue.message}`
    : `found ${show(found)}, accepted: ${issue.message}`;
  return [{ problem: { path, message } }];
}

/** Why a key of the top is refused in another table; undefined: it is none. */
function misplaced(path: ConfigPath, key: string, document: unknown): string | undefined {
  if (path.length === 0 || !KEYS[""]!.includes(key)) return undefined;
  const isTable = show(valueAt(document, [...path, key])) === "a table";
  const place = isTable ? `as [${key}]` : "above the first [table] or [[table]]";
  return `${JSON.stringify(key)} belongs at the top of the file, ${place}`;
}

function valueAt(document: unknown, path: ConfigPath): unknown {
  let value = document;
  for (const step of path) value = (value as Record<string | number, unknown> | undefined)?.[step];
  return value;
}

/** The value as it might stand in the file, short. */
function show(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? "an empty list" : "a list";
  if (value instanceof Date) return "a date";
  if (typeof value === "object" && value !== null) return "a table";
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 59)}…` : text;
}
