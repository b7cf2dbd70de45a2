/**
 * Names and what finds them, by the rules as they are written down and with no thought for speed.
 * @module
 */
import fc from "fast-check";

export type Entry = readonly [name: string, index: number | undefined];

/** Policy §6.1 over entries of which the last of a name counts; undefined: removed. */
export function findNaively(entries: readonly Entry[], sni: string): number | undefined {
  const asked = sni.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
  const exact = entries.findLast(([name]) => name === asked)?.[1];
  if (exact !== undefined) return exact;
  const [first, ...rest] = asked.split(".");
  if (first === "" || rest.length === 0) return undefined;
  return entries.findLast(([name]) => name === ["*", ...rest].join("."))?.[1];
}

export const bytesOf = (text: string): Uint8Array =>
  Uint8Array.from(text, (character) => character.charCodeAt(0));

/** So few labels that names collide, are each other's parents, and differ in little. */
const label = fc.constantFrom("a", "b", "aa", "com", "example", "xn--bcher-kva", "a".repeat(63));
const host = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join("."))
  .filter((name) => name.length < 250);

export const anyName = fc.oneof(host, host.map((name) => `*.${name}`));
export const anyIndex = fc.oneof(fc.nat(9), fc.constantFrom(0x7fff_ffff, 0x8000_0000, 0xffff_fffe));

/** As a client may send it: a name of ours or nearly so, in any case; or anything at all. */
export const anySni = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(anyName, fc.infiniteStream(fc.boolean())).map(inMixedCase) },
  {
    weight: 2,
    arbitrary: fc.array(fc.constantFrom("", "a", "*", "com", "A")).map((l) => l.join(".")),
  },
  {
    weight: 2,
    arbitrary: fc.uint8Array({ maxLength: 255 }).map((bytes) => String.fromCharCode(...bytes)),
  },
);

function inMixedCase([name, upper]: [string, Iterator<boolean>]): string {
  return Array.from(name, (c) => upper.next().value === true ? c.toUpperCase() : c).join("");
}
