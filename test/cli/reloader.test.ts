import { expect, test } from "vitest";

import { Reloader } from "../../src/cli/reloader.ts";
import { type Config, DEFAULT_CONFIG } from "../../src/config/config.ts";
import { SILENT } from "../../src/edge/log.ts";

/** One whose reloads take until they are told to end. */
function prepare(reload?: () => Promise<readonly string[]>) {
  let loads = 0;
  const ends: (() => void)[] = [];
  const reloader = new Reloader({
    config: DEFAULT_CONFIG,
    load: () => Promise.resolve(configOf(++loads)),
    reload: reload ?? (() => new Promise((resolve) => ends.push(() => resolve([])))),
    needsRestart: () => false,
    hasWorkers: false,
    log: SILENT,
  });
  const nextEnd = async () => {
    while (ends.length === 0) await new Promise(setImmediate);
    ends.shift()!();
  };
  return { reloader, nextEnd, loads: () => loads };
}

/** The how manieth that was read is its name. */
function configOf(number: number): Config {
  return { ...DEFAULT_CONFIG, file: `/${number}.toml` };
}

test("Reloads come one after the other, and all who ask during one share the next", async () => {
  const { reloader, nextEnd, loads } = prepare();
  const first = reloader.reload();
  while (loads() === 0) await new Promise(setImmediate);
  const others = Array.from({ length: 1000 }, () => reloader.reload());
  await new Promise(setImmediate);
  expect(loads()).toBe(1);
  await nextEnd();
  expect(await first).toEqual({ config: "/1.toml", sites: 1, warnings: [] });
  await nextEnd();
  for (const outcome of await Promise.all(others)) {
    expect(outcome).toMatchObject({ config: "/2.toml" });
  }
  expect(loads()).toBe(2);
});

test("Those who ask before one has begun are answered for that one", async () => {
  const { reloader, nextEnd, loads } = prepare();
  const both = [reloader.reload(), reloader.reload()];
  await nextEnd();
  expect(await Promise.all(both)).toEqual([
    { config: "/1.toml", sites: 1, warnings: [] },
    { config: "/1.toml", sites: 1, warnings: [] },
  ]);
  expect(loads()).toBe(1);
});

test("One that fails says why to whoever asked for it, and the next one is made all the same", async () => {
  let isGood = false;
  const { reloader } = prepare(() =>
    isGood ? Promise.resolve(["a warning"]) : Promise.reject(new RangeError("no such app"))
  );
  expect(await reloader.reload()).toEqual({ err: "no such app" });
  isGood = true;
  expect(await reloader.reload()).toEqual({
    config: "/2.toml",
    sites: 1,
    warnings: ["a warning"],
  });
});

test("Nothing is taken any more by one that is about to end", async () => {
  const { reloader, loads } = prepare();
  reloader.stop();
  expect(await reloader.reload()).toEqual({ err: "it is about to end", isUnread: true });
  expect(loads()).toBe(0);
});

test("Of very many warnings the answer has the first hundred, and how many more there are", async () => {
  const all = Array.from({ length: 10_000 }, (_, i) => `warning ${i}`);
  const { reloader } = prepare(() => Promise.resolve(all));
  expect(await reloader.reload()).toMatchObject({
    warnings: [...all.slice(0, 100), "and 9900 more, which its log has"],
  });
});
