import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { type ControlAnswers, NO_ANSWERS, Questions } from "../../src/edge/questions.ts";

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] }));
afterEach(() => void vi.useRealTimers());

function asked(answers: Partial<ControlAnswers>, limits = {}) {
  const log: string[] = [];
  const questions = new Questions({
    onDemand(name, client) {
      log.push(`${name} ${client}`);
      return { ...NO_ANSWERS, ...answers }.onDemand(name, client);
    },
    challenge(challenge) {
      log.push(Object.values(challenge).join(" "));
      return { ...NO_ANSWERS, ...answers }.challenge(challenge);
    },
  }, limits);
  return { questions, log };
}

const TOKEN = { kind: "http-01", token: "token", host: "a.example" } as const;
const never = () => new Promise<never>(() => {});

test("design 2: however many wait for one name, it is asked about once", async () => {
  const answer = Promise.withResolvers<boolean>();
  const { questions, log } = asked({ onDemand: () => answer.promise });
  const all = ["::1", "::2", "::3"].map((client) => questions.onDemand("a.example", client));
  const other = questions.onDemand("b.example", "::1");
  answer.resolve(true);
  expect(await Promise.all([...all, other])).toEqual([true, true, true, true]);
  expect(log).toEqual(["a.example ::1", "b.example ::1"]);
  await questions.onDemand("a.example", "::4");
  expect(log).toHaveLength(3);
});

test("design 2: beyond so many names at a time the answer is no, and comes at once", async () => {
  const { questions, log } = asked({ onDemand: never }, { maxOnDemandWaiting: 2 });
  void questions.onDemand("a.example", "::1");
  void questions.onDemand("b.example", "::1");
  expect(await questions.onDemand("c.example", "::1")).toBe(false);
  expect(log).toHaveLength(2);
});

test("design 2: no answer in time is no, and a late one changes nothing", async () => {
  const { questions } = asked({ onDemand: never, challenge: never });
  const permission = questions.onDemand("a.example", "::1");
  const challenge = questions.challenge(TOKEN);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(await challenge).toBeUndefined();
  await vi.advanceTimersByTimeAsync(49_000);
  expect(await permission).toBe(false);
});

test("A control plane that fails has said no", async () => {
  const { questions } = asked({
    onDemand: () => Promise.reject(new Error("storage")),
    challenge() {
      throw new Error("storage");
    },
  });
  expect(await questions.onDemand("a.example", "::1")).toBe(false);
  expect(await questions.challenge(TOKEN)).toBeUndefined();
});

test("acme 7a: a miss is remembered for a second, an answer is not", async () => {
  let answer: string | undefined;
  const { questions, log } = asked({ challenge: () => Promise.resolve(answer) });
  expect(await questions.challenge(TOKEN)).toBeUndefined();
  answer = "token.thumbprint";
  expect(await questions.challenge(TOKEN)).toBeUndefined();
  expect(log).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(await questions.challenge(TOKEN)).toBe("token.thumbprint");
  expect(await questions.challenge(TOKEN)).toBe("token.thumbprint");
  expect(log).toHaveLength(3);
});

test("acme 7a: one token under two hosts is two questions", async () => {
  const { questions, log } = asked({
    challenge: (challenge) =>
      Promise.resolve("host" in challenge && challenge.host === "a.example" ? "answer" : undefined),
  });
  const hosts = ["b.example", "a.example"];
  const all = hosts.map((host) => questions.challenge({ ...TOKEN, host }));
  expect(await Promise.all(all)).toEqual([undefined, "answer"]);
  expect(await questions.challenge(TOKEN)).toBe("answer");
  expect(log).toEqual([
    "http-01 token b.example",
    "http-01 token a.example",
    "http-01 token a.example",
  ]);
});

test("acme 7a: misses that are remembered are at most 256, the latest", async () => {
  const { questions, log } = asked({});
  for (let i = 0; i < 1_000; i++) await questions.challenge({ ...TOKEN, token: `t${i}` });
  await questions.challenge({ ...TOKEN, token: "t744" });
  expect(log).toHaveLength(1_000);
  await questions.challenge({ ...TOKEN, token: "t743" });
  expect(log).toHaveLength(1_001);
});

test("acme 7a: a scanner with ever new tokens has 64 asked about at a time", async () => {
  const { questions, log } = asked({ challenge: never });
  const all = Array.from(
    { length: 1_000 },
    (_, i) => questions.challenge({ ...TOKEN, token: `t${i}` }),
  );
  expect(await all[999]).toBeUndefined();
  expect(log).toHaveLength(64);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(await Promise.all(all)).toEqual(Array.from({ length: 1_000 }, () => undefined));
});
