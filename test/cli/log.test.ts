import { expect, test } from "vitest";

import { openLog } from "../../src/cli/log.ts";

function logged(form: "pretty" | "json") {
  const lines: string[] = [];
  const clock = { ms: Date.UTC(2030, 0, 2, 3, 4, 5, 678) };
  const log = openLog({ form, write: (text) => void lines.push(text), now: () => clock.ms });
  return { log, lines, clock };
}

test("JSON is one object a line, fields without value left out", () => {
  const { log, lines } = logged("json");
  log.event("warn", "handshake", { peer: "::1", alert: undefined, ms: 3 });
  expect(lines).toEqual([
    '{"ts":"2030-01-02T03:04:05.678Z","level":"warn","event":"handshake","peer":"::1","ms":3}\n',
  ]);
});

test("Pretty lines quote what would not read as one word, and pass no control character on", () => {
  const { log, lines } = logged("pretty");
  log.event("info", "handshake", { peer: "::1", err: "bad\n\x1b[31m thing\x7f", none: undefined });
  expect(lines).toEqual([
    '03:04:05.678 info  handshake peer=::1 err="bad\\n\\u001b[31m thing\\u007f"\n',
  ]);
});

test("An event too often in a second is counted, not written, and others still are", () => {
  const { log, lines, clock } = logged("json");
  for (let i = 0; i < 50; i++) log.event("info", "a", { i });
  log.event("info", "b", {});
  expect(lines).toHaveLength(21);
  clock.ms += 1000;
  log.event("info", "a", {});
  expect(JSON.parse(lines[21]!)).toMatchObject({
    event: "log_suppressed",
    of: "a",
    suppressed: 30,
  });
  expect(lines).toHaveLength(23);
});

test("Debug events, and hidden names, are left out unless the configuration asks for them", () => {
  const { log, lines } = logged("json");
  log.event("debug", "a", {});
  expect([log.debug, log.names]).toEqual([false, false]);
  log.adjust({ logLevel: "debug", logNames: true });
  log.event("debug", "b", {});
  expect([log.debug, log.names]).toEqual([true, true]);
  log.adjust({ logLevel: "error", logNames: false });
  log.event("warn", "c", {});
  log.event("error", "d", {});
  expect(lines.map((line) => (JSON.parse(line) as { event: string }).event)).toEqual(["b", "d"]);
});
