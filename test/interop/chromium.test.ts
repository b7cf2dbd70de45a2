/**
 * What a person sees: the page in Chromium, with and without `sotto trust`. The pictures stay, to be looked at.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";

import { look } from "./support/chromium.ts";
import { decodePng, type Picture } from "./support/png.ts";
import { must, words } from "./support/run.ts";
import { PROJECT, type RunningServer, SERVER, startServer } from "./support/server.ts";

/** Where pictures go. */
const PICTURES = process.env["SOTTO_PICTURES"] ?? join(tmpdir(), "sotto-pictures");
const [WIDTH, HEIGHT] = [900, 1000];

const WELCOME = "<h1>It serves.</h1>";
/** Of the mark on the page beside what it says of ECH, which Chromium does not know of by a name like this. */
const MARK = 0xb5852b;

let folder: string;
let server: RunningServer;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "sotto-chromium-"));
  server = await startServer({ toml: "" }); // the welcome page for localhost
});
afterAll(async () => {
  await server?.stop();
  rmSync(folder, { recursive: true, force: true });
});

test(
  `acme 12.6: Chromium refuses ${SERVER} without trust, and shows the page after it`,
  async () => {
    const home = join(folder, "home");
    const store = join(home, ".pki/nssdb"); // where the browser looks, and where trust has to find it
    mkdirSync(store, { recursive: true });
    await must("certutil", words`-d sql:${store} -N --empty-password`);

    const before = await show(home, "before");
    expect(before.trouble).toBe("net::ERR_CERT_AUTHORITY_INVALID");
    expect(before.security).toBe("insecure-broken");
    expect(before.page).not.toContain(WELCOME);

    const sotto = async (command: "trust" | "untrust") => {
      const { stdout } = await must(
        join(PROJECT, "node_modules/.bin/bun"),
        words`run ${join(PROJECT, "edge.ts")} ${command} --data ${join(server.folder, "data")}`,
        { env: { HOME: home } },
      );
      expect(stdout).toContain(`${command}ed: nss ${home}`);
    };
    // The system's store takes the root too, where the tests run as root: it goes again whatever happens.
    onTestFinished(() => sotto("untrust"));
    await sotto("trust");
    const after = await show(home, "after");
    expect(after.trouble).toBeUndefined();
    expect(after.security).toBe("secure");
    expect(after.page).toContain(WELCOME);

    // Letters have soft edges: their shades are there where they were drawn, and not on a blank page.
    for (const { picture } of [before, after]) {
      expect(picture).toMatchObject({ width: WIDTH });
      expect(coloursOf(picture).size).toBeGreaterThan(50);
    }
    expect(coloursOf(after.picture).has(MARK)).toBe(true);
    expect(coloursOf(before.picture).has(MARK)).toBe(false);
  },
  120_000,
);

/** @param name of the picture's file */
async function show(home: string, name: string) {
  const profile = mkdtempSync(join(folder, "profile-"));
  const url = `https://localhost:${server.port}/`;
  const { png, ...seen } = await look(url, { home, profile, width: WIDTH, height: HEIGHT });
  mkdirSync(PICTURES, { recursive: true });
  const file = join(PICTURES, `chromium-${SERVER}-${name}-trust.png`);
  writeFileSync(file, png);
  console.log(file);
  return { ...seen, picture: decodePng(png) };
}

function coloursOf({ pixels }: Picture): Set<number> {
  return new Set(pixels);
}
