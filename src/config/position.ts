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

/** @param text a document that parses */
export async function locator(text: string): Promise<Locate> {
  const { parseTOML } = await import("toml-eslint-parser");
  const places: Place[] = [];
  for (const node of parseTOML(text).body[0].body) {
    if (node.type === "TOMLTable") {
      places.push({ path: node.resolvedKey, key: node.loc.start, value: node.loc.start });
      for (const pair of node.body) addPair(places, node.resolvedKey, pair);
    } else {
      addPair(places, [], node);
    }
  }
  return (path, key) => {
    const wanted = key === undefined ? path : [...path, key];
    let best: Place | undefined;
    for (const place of places) {
      const isNearer = best === undefined || place.path.length > best.path.length;
      if (isNearer && place.path.every((step, i) => step === wanted[i])) best = place;
    }
    if (best === undefined) return { line: 1, column: 1 };
    const at = key !== undefined || best.path.length < wanted.length ? best.key : best.value;
    return { line: at.line, column: at.column + 1 };
  };
}

interface Place {
  readonly path: ConfigPath;
  /** Columns from 0, as the parser counts. */
  readonly key: Position;
  readonly value: Position;
}

function addPair(places: Place[], above: ConfigPath, pair: AST.TOMLKeyValue): void {
  const path = [...above];
  for (const part of pair.key.keys) {
    path.push(part.type === "TOMLBare" ? part.name : part.value);
    places.push({ path: [...path], key: part.loc.start, value: pair.value.loc.start });
  }
  addContent(places, path, pair.value);
}

function addContent(places: Place[], path: ConfigPath, node: AST.TOMLContentNode): void {
  if (node.type === "TOMLInlineTable") {
    for (const pair of node.body) addPair(places, path, pair);
  } else if (node.type === "TOMLArray") {
    for (const [i, element] of node.elements.entries()) {
      const at = element.loc.start;
      places.push({ path: [...path, i], key: at, value: at });
      addContent(places, [...path, i], element);
    }
  }
}
