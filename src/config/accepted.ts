/**
 * Large configurations that were accepted before: the same text need not be checked again. 100,000 sites take a second to
 * check and leave 300 MB of garbage behind; read back they take a twentieth of that.
 *
 *     SHA-256 of version, path and text; SHA-256 of what follows (32 bytes each)
 *     JSON: the configuration without its sites; what sites have in common; of each site its names and a number of those
 *
 * @module
 */
import { createHash } from "node:crypto";
import { open, rename, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import process from "node:process";

import type { Config, SiteOptions } from "./config.ts";
import { textOf } from "./text.ts";

/**
 * `loadConfig` of a file, whose result lies in `folder` from then on, if it is worth it.
 *
 * @param version of the program: another one may accept something else
 * @throws {ConfigError} as `loadConfig`
 */
export async function loadAccepted(
  file: string,
  folder: string,
  version: string,
): Promise<Config> {
  const path = resolve(file);
  const text = await readLarge(path);
  if (text === undefined) return await (await import("./load.ts")).loadConfig(file);
  const hash = createHash("sha256").update(`${FORMAT}\n${version}\n${path}\n`).update(text)
    .digest();
  const kept = join(folder, "config.bin");
  const known = await readKept(kept, hash);
  if (known !== undefined) return known;
  const { parseConfig } = await import("./load.ts");
  const config = {
    ...await parseConfig(textOf(text, path), path),
    textHash: hash.toString("hex"),
  };
  await writeKept(kept, hash, config);
  return config;
}

/** Undefined: it is small, or cannot be read, which `loadConfig` explains. */
async function readLarge(path: string): Promise<Buffer | undefined> {
  try {
    const file = await open(path, "r");
    try {
      return (await file.stat()).size < WORTH_IT ? undefined : await file.readFile();
    } finally {
      await file.close();
    }
  } catch {
    return undefined;
  }
}

type Rest = Omit<SiteOptions, "names">;
type Kept = readonly [
  head: Omit<Config, "sites">,
  rests: readonly Rest[],
  sites: readonly (readonly [rest: number, ...names: string[]])[],
];

/** Whatever is wrong with the file: then the configuration is checked again. */
async function readKept(path: string, hash: Buffer): Promise<Config | undefined> {
  try {
    const file = await open(path, "r");
    try {
      const { mode, uid } = await file.stat();
      // Root must not serve by what somebody else has put in its folder.
      if ((mode & 0o077) !== 0 || uid !== process.geteuid?.()) return undefined;
      const bytes = await file.readFile();
      if (!bytes.subarray(0, 32).equals(hash)) return undefined;
      const content = bytes.subarray(64);
      if (!sha256(content).equals(bytes.subarray(32, 64))) return undefined;
      return unfold(JSON.parse(content.toString("utf8")) as Kept);
    } finally {
      await file.close();
    }
  } catch {
    return undefined;
  }
}

/** Where it cannot be written the next start takes longer: no more. */
async function writeKept(path: string, hash: Buffer, config: Config): Promise<void> {
  const temporary = `${path}~`;
  try {
    await rm(temporary, { force: true });
    const file = await open(temporary, "wx", 0o600);
    try {
      const content = Buffer.from(JSON.stringify(fold(config)));
      await file.writeFile(Buffer.concat([hash, sha256(content), content]));
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch {
    await rm(temporary, { force: true }).catch(() => {});
  }
}

function fold({ sites, ...head }: Config): Kept {
  const rests: Rest[] = [];
  const numbers = new Map<string, number>();
  return [
    head,
    rests,
    sites.map(({ names, ...rest }) => {
      const text = JSON.stringify(rest);
      let number = numbers.get(text);
      if (number === undefined) numbers.set(text, number = rests.push(rest) - 1);
      return [number, ...names];
    }),
  ];
}

/** What JSON leaves out, undefined, is what is missing. */
function unfold([head, rests, sites]: Kept): Config {
  return {
    ...head,
    sites: sites.map(([rest, ...names]) => ({ names, ...rests[rest]! })),
  };
}

function sha256(bytes: Uint8Array): Buffer {
  return createHash("sha256").update(bytes).digest();
}

const WORTH_IT = 1 << 18;
const FORMAT = "sotto-config-1";
