import { setTimeout as delay } from "node:timers/promises";

import { afterAll, beforeAll, expect, test } from "vitest";

import { must } from "./support/run.ts";
import { SERVER } from "./support/server.ts";
import { exitCode, openSuccession, PORT, type Succession } from "./support/under-load.ts";

const TOML = `
[[site]]
names = ["localhost"]
respond = "served"
`;
const HANDOVERS = 3;

let succession: Succession;
beforeAll(async () => {
  succession = await openSuccession(TOML);
});
afterAll(async () => {
  await succession?.close();
});

test(`design 12: ${HANDOVERS} handovers of ${SERVER} by --takeover under load lose no connection`, async () => {
  const { start, load } = succession;
  let serving = await start();
  const loaded = load(serving.ready.root, 3 + HANDOVERS * 3);
  for (let i = 0; i < HANDOVERS; i++) {
    await delay(1_500);
    const next = await start("--takeover");
    expect(next.ready.pid).not.toBe(serving.ready.pid);
    // It was told to end, and does so in order.
    expect(await exitCode(serving), serving.output()).toBe(0);
    serving = next;
  }
  const result = await loaded;
  expect(succession.lost(result)).toEqual([]);
  expect(result.ok).toBeGreaterThan(500);
  // The last one is whole: its ready file is its own, its socket answers.
  const { health } = serving.ready;
  const curl = (path: string) =>
    must("curl", ["-sS", "--unix-socket", health!, `http://localhost${path}`]);
  expect((await curl("/readyz")).stdout).toBe("ready\n");
});

test("design 12: without --takeover a second process is refused, and told of it", async () => {
  const { servers, start, load } = succession;
  const [serving] = servers.slice(-1);
  await expect(start()).rejects.toThrow(
    `Cannot serve on 127.0.0.1:${PORT}: sotto with process id ${serving!.ready.pid} serves there ` +
      "from the same data folder. Add --takeover",
  );
  expect((await load(serving!.ready.root, 1)).failed).toBe(0);
});
