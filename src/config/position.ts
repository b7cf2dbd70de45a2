/**
 * Where in a TOML document a key stands. Its parser is big: it is loaded only when there is an error to point at.
 * @module
 */
import type { AST } from "toml-eslint-parser";

import type { ConfigPath } from "./error.ts";

export interface Position {
  /** From 1. */
  readonly line: number;
  readonly column: number;
}

/**
 * The position of the value at `path`, or of the nearest thing around it that is written out.
 *
 * With `key`, of a key of the table at `path`.
 */
export type Locate = (path: ConfigPath, key?: string) => Position;

/** Undefined: the text is too long for it. @param text a document that parses */
export async function locator(text: string): Promise<Locate | undefined> {
  if (text.length > MAX_LOCATED) return undefined;
  const { parseTOML } = await import("toml-eslint-parser");
  const places: Places = new Map();
  for (const node of parseTOML(text).body[0].body) {
    if (node.type === "TOMLTable") {
      addPlace(places, node.resolvedKey, node.loc.start, node.loc.start);
      for (const pair of node.body) addPair(places, node.resolvedKey, pair);
    } else {
      addPair(places, [], node);
    }
  }
  return (path, key) => {
    const wanted = key === undefined ? path : [...path, key];
    for (let length = wanted.length; length > 0; length--) {
      const place = places.get(placeKey(wanted.slice(0, length)));
      if (place === undefined) continue;
      const at = key !== undefined || length < wanted.length ? place.key : place.value;
      return { line: at.line, column: at.column + 1 };
    }
    return { line: 1, column: 1 };
  };
}

/** In a longer text, some 30,000 sites, lines are not looked for: that takes seconds. */
const MAX_LOCATED = 1 << 21;

/** By `placeKey`: problems may be as many as places. */
type Places = Map<string, Place>;

interface Place {
  /** Columns from 0, as the parser counts. */
  readonly key: Position;
  readonly value: Position;
}

/** The first of several counts. */
function addPlace(places: Places, path: ConfigPath, key: Position, value: Position): void {
  const name = placeKey(path);
  if (!places.has(name)) places.set(name, { key, value });
}

function placeKey(path: ConfigPath): string {
  return JSON.stringify(path);
}

function addPair(places: Places, above: ConfigPath, pair: AST.TOMLKeyValue): void {
  const path = [...above];
  for (const part of pair.key.keys) {
    path.push(part.type === "TOMLBare" ? part.name : part.value);
    addPlace(places, path, part.loc.start, pair.value.loc.start);
  }
  addContent(places, path, pair.value);
}

function addContent(places: Places, path: ConfigPath, node: AST.TOMLContentNode): void {
  if (node.type === "TOMLInlineTable") {
    for (const pair of node.body) addPair(places, path, pair);
  } else if (node.type === "TOMLArray") {
    for (const [i, element] of node.elements.entries()) {
      const at = element.loc.start;
      addPlace(places, [...path, i], at, at);
      addContent(places, [...path, i], element);
    }
  }
}
