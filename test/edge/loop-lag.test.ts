import { afterEach, expect, test, vi } from "vitest";

import { LoopLag } from "../../src/edge/loop-lag.ts";

afterEach(() => void vi.useRealTimers());

test("What comes late is counted by how late it was", () => {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
  const tally: Record<string, number> = {};
  let nowMs = 0;
  const lag = new LoopLag({ tally, everyMs: 20, now: () => nowMs });
  lag.start();
  for (const lateMs of [0, 0.9, 1.1, 5, 6.5, 70, 2000, -3]) {
    nowMs += 20 + lateMs;
    vi.advanceTimersByTime(20);
  }
  expect(tally).toEqual({ "1": 3, "2": 1, "5": 1, "7": 1, "100": 1, more: 1 });
  lag.stop();
  vi.advanceTimersByTime(200);
  expect(Object.values(tally).reduce((sum, count) => sum + count)).toBe(8);
});

test("A thread that is held up shows", async () => {
  const tally: Record<string, number> = {};
  const lag = new LoopLag({ tally, everyMs: 1 });
  lag.start();
  await new Promise((resolve) => setTimeout(resolve, 5));
  const untilMs = performance.now() + 30;
  while (performance.now() < untilMs) { /* at work */ }
  await vi.waitFor(() => {
    const late = Object.entries(tally).filter(([bound]) => bound === "more" || Number(bound) >= 20);
    expect(late).not.toEqual([]);
  });
  lag.stop();
});
