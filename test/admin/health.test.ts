import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, expect, test } from "vitest";

import { type Health, healthApp } from "../../src/admin/health.ts";
import { RELOAD_ANSWER, type ReloadOutcome } from "../../src/control/reload-answer.ts";
import { serveUnix } from "../../src/runtime/unix-http.ts";

const READY: Health = { isListening: true, hasSnapshot: true, hasPublicNameCertificate: true };

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "sotto-health-"));
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

function app(health: Partial<Health> = {}) {
  return healthApp({ pid: 7, health: () => ({ ...READY, ...health }), stop() {} });
}

test("design 12: it is ready when it listens, has a snapshot and the public name's certificate", async () => {
  const ask = async (health: Partial<Health>) => {
    const response = await app(health).request("/readyz");
    return [response.status, await response.text()];
  };
  expect(await ask({})).toEqual([200, "ready\n"]);
  expect(await ask({ isListening: false })).toEqual([503, "listening\n"]);
  expect(await ask({ hasSnapshot: false, hasPublicNameCertificate: false })).toEqual([
    503,
    "snapshot\npublic-name-certificate\n",
  ]);
});

test("design 2: what happened so far is told in numbers, the lag of the loop among it", async () => {
  const counters = () => ({ accepted: 7, loopLag: { "1": 50, more: 1 } });
  const response = await healthApp({ pid: 7, health: () => READY, stop() {}, counters })
    .request("/counters");
  expect(await response.json()).toEqual(counters());
});

test("design 12: it is healthy as long as it answers, ready or not", async () => {
  const response = await app({ isListening: false }).request("/healthz");
  expect([response.status, await response.text()]).toEqual([200, "ok\n"]);
  expect(response.headers.get("cache-control")).toBe("no-store");
});

test("Only a POST stops it", async () => {
  let stops = 0;
  const app = healthApp({ pid: 7, health: () => READY, stop: () => void stops++ });
  expect((await app.request("/stop")).status).toBe(404);
  expect(stops).toBe(0);
  expect((await app.request("/stop", { method: "POST" })).status).toBe(202);
  expect(stops).toBe(1);
});

test("A POST has it reload, and is answered with what came of that", async () => {
  const outcomes: ReloadOutcome[] = [
    { config: "/etc/sotto.toml", sites: 3, warnings: ["a warning"] },
    { err: "sotto.toml:1:1: wrong" },
    { err: "it is about to end", isUnread: true },
  ];
  const reload = () => Promise.resolve(outcomes.shift()!);
  const app = healthApp({ pid: 7, health: () => READY, stop() {}, reload });
  const ask = async () => {
    const response = await app.request("/reload", { method: "POST" });
    return [response.status, await response.json()] as const;
  };
  expect((await app.request("/reload")).status).toBe(404);
  expect(outcomes).toHaveLength(3);
  const [ok, good] = await ask();
  expect(ok).toBe(200);
  expect(RELOAD_ANSWER.parse(good)).toEqual({
    pid: 7,
    config: "/etc/sotto.toml",
    sites: 3,
    warnings: ["a warning"],
  });
  const [refused, bad] = await ask();
  expect(refused).toBe(422);
  expect(RELOAD_ANSWER.parse(bad)).toEqual({ pid: 7, err: "sotto.toml:1:1: wrong" });
  const [unread, late] = await ask();
  expect(unread).toBe(503);
  expect(RELOAD_ANSWER.parse(late)).toEqual({ pid: 7, err: "it is about to end", isUnread: true });
});

test("Only so many wait for a reload at once; whoever comes beyond is told at once", async () => {
  const over = Promise.withResolvers<ReloadOutcome>();
  const app = healthApp({ pid: 7, health: () => READY, stop() {}, reload: () => over.promise });
  const ask = async () => await app.request("/reload", { method: "POST" });
  const waiting = Array.from({ length: 32 }, ask);
  const response = await ask();
  expect(response.status).toBe(503);
  expect(RELOAD_ANSWER.parse(await response.json())).toEqual({
    pid: 7,
    err: "32 others wait for a reload already. Try again in a moment",
    isUnread: true,
  });
  over.resolve({ config: null, sites: 1, warnings: [] });
  for (const { status } of await Promise.all(waiting)) expect(status).toBe(200);
  expect((await ask()).status).toBe(200);
});

test("Where nothing can be reloaded there is nothing to ask for it", async () => {
  expect((await app().request("/reload", { method: "POST" })).status).toBe(404);
});

test("design 12: its socket is for its owner alone", async () => {
  const path = join(folder, "deep/er/health.sock");
  const server = await serveUnix(path, app().fetch);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect((await stat(join(folder, "deep/er"))).mode & 0o777).toBe(0o700);
  expect(await get(path, "/healthz")).toEqual([200, "ok\n"]);
  expect(await get(path, "/other")).toEqual([404, "404 Not Found"]);
  await server.stop();
  await expect(get(path, "/healthz")).rejects.toThrow();
});

test("A second one follows the first in its place, which the first then leaves alone", async () => {
  const path = join(folder, "health.sock");
  const first = await serveUnix(path, app({ isListening: false }).fetch);
  expect(await get(path, "/readyz")).toEqual([503, "listening\n"]);
  const second = await serveUnix(path, app().fetch);
  await first.stop();
  expect(await get(path, "/readyz")).toEqual([200, "ready\n"]);
  expect(await readdir(folder)).toEqual(["health.sock"]);
  await second.stop();
});

test("A path that is too long for a socket is told of", async () => {
  const path = join(folder, "x".repeat(100), "health.sock");
  await expect(serveUnix(path, app().fetch)).rejects.toThrow(/at most 103 bytes/);
});

function get(socketPath: string, path: string): Promise<[number | undefined, string]> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, path, agent: false }, (response) => {
      let text = "";
      response.on("data", (chunk: Buffer) => void (text += chunk.toString()));
      response.on("end", () => resolve([response.statusCode, text]));
    });
    asked.on("error", reject);
    asked.end();
  });
}
