import { Buffer } from "node:buffer";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import fc from "fast-check";
import { afterEach, beforeEach, expect, test } from "vitest";

import { loadAccepted } from "../../src/config/accepted.ts";
import { ConfigError } from "../../src/config/error.ts";
import { loadConfig } from "../../src/config/load.ts";
import { errorAt } from "../../src/config/place.ts";
import { textOf } from "../../src/config/text.ts";

let folder: string;
let file: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "sotto-text-"));
  file = join(folder, "sotto.toml");
});
afterEach(() => rm(folder, { recursive: true }));

const utf8 = (text: string) => Buffer.from(text, "utf8");
const latin1 = (text: string) => Buffer.from(text, "latin1");
const SITE = `[[site]]\nnames = ["localhost"]\n`;

/** Bytes, and where and what the first wrong one is. */
test.each<[string, Uint8Array, string]>([
  ["a letter in ISO 8859-1", latin1(`${SITE}respond = "Grüße"\n`), "3:14: found the byte 0xfc"],
  [
    "after characters that are more bytes, and more units, than one",
    Buffer.concat([utf8(`# ü\nrespond = "ü€😀`), latin1('ß"')]),
    "2:16: found the byte 0xdf",
  ],
  [
    "a character that breaks off",
    Buffer.from([0x61, 0xe2, 0x82, 0x0a]),
    "1:2: found the byte 0xe2",
  ],
  ["one at the end", Buffer.from([0x0a, 0x61, 0xc3]), "2:2: found the byte 0xc3"],
  ["one that is longer than need be", Buffer.from([0xc0, 0x80]), "1:1: found the byte 0xc0"],
  [
    "one behind a byte order mark",
    Buffer.from([0xef, 0xbb, 0xbf, 0xff]),
    "1:1: found the byte 0xff",
  ],
  ["half of a surrogate pair", Buffer.from([0x61, 0xed, 0xa0, 0x80]), "1:2: found the byte 0xed"],
])("sotto.toml that is no UTF-8 is refused with the place: %s", async (_what, bytes, place) => {
  await writeFile(file, bytes);
  await expect(loadConfig(file)).rejects.toThrow(
    new ConfigError(file, [{ path: [], message: "" }]).message.replace(/: $/, "") +
      `:${place}, accepted: text in UTF-8`,
  );
});

test("A large one is refused the same way, and not taken as it was accepted before", async () => {
  const large = `# ${"x".repeat(1 << 18)}\n`;
  await writeFile(file, `${SITE}${large}`);
  await loadAccepted(file, folder, "1");
  await writeFile(file, latin1(`${SITE}${large}# ü`));
  await expect(loadAccepted(file, folder, "1")).rejects.toThrow(
    ":4:3: found the byte 0xfc, accepted: text in UTF-8",
  );
});

test("UTF-16 is called by its name", async () => {
  for (const bytes of [Buffer.from(`\ufeff${SITE}`, "utf16le")]) {
    for (const order of [bytes, Buffer.from(bytes).swap16()]) {
      await writeFile(file, order);
      await expect(loadConfig(file)).rejects.toThrow(
        ": is text in UTF-16, accepted: UTF-8. Convert it with: " +
          "iconv -f UTF-16 -t UTF-8 FILE > NEW",
      );
    }
  }
});

test("A byte order mark of UTF-8 is passed over, and places are as without it", async () => {
  await writeFile(file, `\ufeff${SITE}`);
  expect((await loadConfig(file)).sites[0]?.names).toEqual(["localhost"]);
  await writeFile(file, "\ufeffworkers = true");
  await expect(loadConfig(file)).rejects.toThrow(":1:11: workers: found true");
  const error = await errorAt(file, ["workers"], new Error("wrong"));
  expect(error.problems).toMatchObject([{ line: 1, column: 11 }]);
});

test("Whatever the bytes are, they are text, or the place is right", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      let error: unknown;
      try {
        expect(textOf(bytes, "a")).toBe(Buffer.from(bytes).toString("utf8").replace(/^\ufeff/, ""));
      } catch (caught) {
        error = caught;
      }
      if (error === undefined) return;
      expect(error).toBeInstanceOf(ConfigError);
      const { line, column } = (error as ConfigError).problems[0]!;
      if (line === undefined) return;
      const lines = Buffer.from(bytes).toString("utf8").replace(/^\ufeff/, "").split("\n");
      expect(lines[line - 1]![column! - 1]).toBe("\ufffd");
      expect(lines.slice(0, line - 1).join()).not.toContain("\ufffd");
    }),
    { numRuns: 2000 },
  );
});
