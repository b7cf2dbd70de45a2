import { expect, test } from "vitest";

import { limitEvents } from "../../src/edge/limited-log.ts";

test("Of each event 20 a second go on, and how many did not is said", () => {
  let nowMs = 0;
  const heard: string[] = [];
  const log = limitEvents({
    event: (_level, event, fields) => void heard.push(`${event} ${fields.suppressed ?? ""}`),
  }, () => nowMs);
  for (let i = 0; i < 30; i++) log.event("warn", "one", {});
  log.event("warn", "other", {});
  expect(heard).toEqual([...Array<string>(20).fill("one "), "other "]);
  nowMs = 1_000;
  log.event("warn", "one", {});
  expect(heard.slice(21)).toEqual(["log_suppressed 10", "one "]);
});

test("Made-up events share what is left, and those that were there first keep their own", () => {
  let count = 0;
  const log = limitEvents({ event: () => void count++ }, () => 0);
  log.event("warn", "ours", {});
  for (let i = 0; i < 10_000; i++) log.event("warn", `made up ${i}`, {});
  expect(count).toBe(256 + 20);
  log.event("warn", "ours", {});
  expect(count).toBe(256 + 21);
});
