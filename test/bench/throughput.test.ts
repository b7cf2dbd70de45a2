import { expect, test } from "vitest";

import { limitOf } from "../../bench/throughput.ts";

const busy = (share: number) => ({ median: share, low: share, high: share, rounds: 1 });

test("It is said whose limit was reached", () => {
  expect(limitOf({ serverBusy: busy(0.97), clientBusy: busy(0.98) })).toBe("server");
  expect(limitOf({ serverBusy: busy(0.6), clientBusy: busy(0.99) })).toBe("client");
  expect(limitOf({ serverBusy: busy(0.3), clientBusy: busy(0.4) })).toBe("neither");
});
