/**
 * A configuration that is refused: every problem at once, each with its place.
 * @module
 */
import { relative } from "node:path";

/** A place in the document: keys and indices from the top, as in `["site", 0, "names", 1]`. */
export type ConfigPath = readonly (string | number)[];

export interface Problem {
  readonly path: ConfigPath;
  /** What is wrong, in one sentence without period: what was found, what is accepted. */
  readonly message: string;
  /** Where the key stands; both from 1. Undefined: the file itself is the trouble. */
  readonly line?: number;
  readonly column?: number;
}

/** Takes down a problem. */
export type Report = (path: ConfigPath, message: string) => void;

/** Nothing of a configuration with a problem is used. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly file: string;
  readonly problems: readonly Problem[];

  constructor(file: string, problems: readonly Problem[], options?: ErrorOptions) {
    super(problems.map((problem) => describe(file, problem)).join("\n"), options);
    this.file = file;
    this.problems = problems;
  }
}

function describe(file: string, { path, message: whole, line, column }: Problem): string {
  const message = whole.replaceAll(PRIVATE_KEY, "$1…");
  const near = relative("", file);
  const shown = near.startsWith("..") ? file : near;
  const place = line === undefined ? shown : `${shown}:${line}:${column}`;
  const key = pathText(path);
  return key === "" ? `${place}: ${message}` : `${place}: ${key}: ${message}`;
}

/** Somebody has put a key where it does not belong: what was found goes into logs, and the key must not. */
const PRIVATE_KEY =
  /(-----BEGIN [A-Z ]*PRIVATE KEY-----)[^]*?(?:-----END [A-Z ]+-----(?:\\[rn])*|…|$)/g;

/** `site[0].names[1]` */
export function pathText(path: ConfigPath): string {
  let text = "";
  for (const step of path) {
    if (typeof step === "number") text += `[${step}]`;
    else text += text === "" ? step : `.${step}`;
  }
  return text;
}
