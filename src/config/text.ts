/**
 * From the bytes of sotto.toml to its text, which TOML wants in UTF-8.
 * @module
 */
import { ConfigError } from "./error.ts";
import type { Position } from "./position.ts";

/**
 * A byte order mark goes: Windows writes one, and TOML passes over it.
 *
 * @param file for messages
 * @throws {ConfigError} it is no UTF-8, with the place of the first byte that is none
 */
export function textOf(bytes: Uint8Array, file: string): string {
  const content = MARK.every((byte, i) => bytes[i] === byte) ? bytes.subarray(MARK.length) : bytes;
  try {
    return decoder().decode(content);
  } catch (cause) {
    if (isUtf16(bytes)) {
      const message = "is text in UTF-16, accepted: UTF-8. Convert it with: " +
        "iconv -f UTF-16 -t UTF-8 FILE > NEW";
      throw new ConfigError(file, [{ path: [], message }], { cause });
    }
    const { byte, ...position } = firstWrong(content);
    const message = `found the byte 0x${byte.toString(16)}, accepted: text in UTF-8`;
    throw new ConfigError(file, [{ path: [], message, ...position }], { cause });
  }
}

/** U+FEFF in UTF-8. */
const MARK = [0xef, 0xbb, 0xbf];

const decoder = () => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** With a byte order mark, which is no UTF-8 in either order. */
function isUtf16([first, second]: Uint8Array): boolean {
  return (first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff);
}

/** Where a character begins that is none. @param bytes that are no UTF-8 */
function firstWrong(bytes: Uint8Array): Position & { readonly byte: number } {
  let start = 0;
  for (let line = 1;; line++) {
    const newline = bytes.indexOf(NEWLINE, start);
    const end = newline === -1 ? bytes.length : newline + 1;
    const wrong = firstWrongIn(bytes.subarray(start, end));
    if (wrong !== undefined) return { line, ...wrong };
    if (newline === -1) return { line, column: 1, byte: 0 };
    start = end;
  }
}

const NEWLINE = 0x0a;

/** @param line with its end: no character goes on behind it. Undefined: it is good */
function firstWrongIn(line: Uint8Array): { column: number; byte: number } | undefined {
  try {
    decoder().decode(line);
    return undefined;
  } catch {
    // Some character of it is wrong.
  }
  const characters = decoder();
  let [column, begun] = [1, 0];
  for (let i = 0; i < line.length; i++) {
    try {
      const { length } = characters.decode(line.subarray(i, i + 1), { stream: true });
      if (length > 0) [column, begun] = [column + length, i + 1];
    } catch {
      break;
    }
  }
  return { column, byte: line[begun]! };
}
