import { expect, test } from "vitest";

import { duration, inRounds, inStarts } from "../../bench/rounds.ts";

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

test("How long it takes yet is said by the rounds so far", async () => {
  const said: string[] = [];
  const slowly = () => new Promise<void>((resolve) => setTimeout(resolve, 60));
  await inRounds({ rounds: 40, roundSeconds: 0.1 }, (line) => said.push(line), slowly);
  expect(said[0]).toBe("round 1 of 40"); // none begins behind 0.1 s, whatever 40 of them would take
  await expect(
    inRounds({ rounds: 40, roundSeconds: undefined }, (line) => {
      throw new Error(line);
    }, slowly),
  ).rejects.toThrow(/^round 1 of 40, [2-9] s left$/);
  expect([99, 300].map(duration)).toEqual(["99 s", "5 min"]);
});

test("Between two rounds a signal is heard", async () => {
  let isHeard = false;
  setTimeout(() => isHeard = true);
  const heard: boolean[] = [];
  await inRounds({ rounds: 3, roundSeconds: undefined }, () => {}, () => {
    const end = performance.now() + 20; // nothing is awaited here
    while (performance.now() < end);
    heard.push(isHeard);
  });
  expect(heard.at(-1)).toBe(true);
});

test("Each start has its part of the rounds, and a cell the values of all starts", async () => {
  const said: string[] = [];
  let value = 0;
  const cells = await inStarts(
    { rounds: 5, starts: 2 },
    (line) => said.push(line),
    (rounds, say, isFirst) => {
      say(`${rounds} rounds${isFirst ? ", first" : ""}`);
      return Promise.resolve(["a", "b"].map((id) => ({ id, values: [++value] })));
    },
    ({ values }) => values,
  );
  expect(said).toEqual(["start 1 of 2, 3 rounds, first", "start 2 of 2, 3 rounds"]);
  expect(cells).toEqual([{ id: "a", values: [1, 3] }, { id: "b", values: [2, 4] }]);
});
