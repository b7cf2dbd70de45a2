import { expect, test } from "vitest";

import { sentNote, whatIsSent } from "../../bench/sent.ts";
import { ours, startServer } from "../../bench/servers.ts";
import { makeSetup, PAGE, removeSetup } from "../../bench/setup.ts";

test.runIf(process.platform === "linux")("What a server sends is counted", async () => {
  const runtime = "Bun" in globalThis ? "bun" : "Deno" in globalThis ? "deno" : "node";
  const setup = await makeSetup();
  const server = await startServer(ours(runtime, { program: undefined }), setup);
  try {
    const sent = await whatIsSent(server);
    expect(sent).toMatchObject({ tickets: 2, alpn: "http/1.1" });
    expect(sent.flight).toBeGreaterThan(1500); // padded
    expect(sent.answer).toBeGreaterThan(PAGE.length + 50);
    expect(sent.rest).toBeGreaterThan(sent.answer + 2 * 100);
  } finally {
    await server.stop();
    await removeSetup(setup);
  }
});

test("Who answers without ALPN is named", () => {
  const sent = { flight: 700, rest: 500, alpn: "http/1.1", tickets: 2, answer: 140 };
  expect(sentNote([["sotto", sent], ["other", { ...sent, tickets: 1, alpn: undefined }]])).toBe(
    "Bytes of the first flight, tickets, bytes of head and page: " +
      "sotto 700, 2, 140; other 700, 1, 140, no ALPN.",
  );
});
