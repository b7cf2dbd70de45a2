import { expect, test } from "vitest";

import { inRounds } from "../../bench/rounds.ts";

async function run(rounds: number, roundSeconds: number | undefined): Promise<string[]> {
  const said: string[] = [];
  await inRounds({ rounds, roundSeconds }, (line) => said.push(line), () => Promise.resolve());
  return said;
}

test("Without a limit all rounds are made", async () => {
  expect(await run(3, undefined)).toEqual(["round 1 of 3", "round 2 of 3", "round 3 of 3"]);
});

test("When the time is over no further round begins, but two are made", async () => {
  expect(await run(9, 0)).toEqual(["round 1 of 9", "round 2 of 9"]);
  expect(await run(1, 0)).toEqual(["round 1 of 1"]);
});
