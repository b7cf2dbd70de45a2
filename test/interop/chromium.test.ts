/**
 * What a person sees: the page in Chromium, with and without `sotto trust`.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";

import { must, run, words } from "./support/run.ts";
import { PROJECT, type RunningServer, SERVER, startServer } from "./support/server.ts";

const WELCOME = "<h1>It serves.</h1>";
/** Chromium's ERR_CERT_AUTHORITY_INVALID. */
const UNKNOWN_AUTHORITY = /net_error -202\b/;

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

    const before = await show(home, `https://localhost:${server.port}/`);
    expect(before.said).toMatch(UNKNOWN_AUTHORITY);
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
    const after = await show(home, `https://localhost:${server.port}/`);
    expect(after.page).toContain(WELCOME);
    expect(after.said).not.toContain("net_error");
  },
  120_000,
);

/** The page as it stands once it has loaded, and what the browser said of it. */
async function show(home: string, url: string): Promise<{ page: string; said: string }> {
  const profile = mkdtempSync(join(folder, "profile-"));
  const { stdout, stderr, code } = await run(
    "chromium",
    [
      ...words`--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run`,
      ...words`--disable-background-networking --disable-component-update --disable-sync`,
      "--enable-logging=stderr",
      `--user-data-dir=${profile}`,
      "--dump-dom",
      url,
    ],
    { env: { HOME: home }, timeoutMs: 40_000 },
  );
  expect(code, stderr).toBe(0);
  return { page: stdout, said: stderr };
}
