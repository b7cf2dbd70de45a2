import { expect, test } from "vitest";

import { parseOptions, USAGE, UsageError } from "../../bench/options.ts";

test("A bench by itself has the defaults", () => {
  expect(parseOptions(["handshake"])).toEqual({
    bench: "handshake",
    runtimes: [],
    rounds: 12,
    connections: 300,
    warmUp: 10_000,
    concurrency: 1,
    rows: [],
    client: undefined,
    program: undefined,
    against: undefined,
    json: undefined,
    compare: undefined,
  });
  expect(parseOptions(["idle"])).toMatchObject({ rounds: 3, connections: 5000 });
});

test("Every option is read", () => {
  const args =
    "handshake --runtime bun,deno --rounds 30 --connections 100 --warm-up 2000 --concurrency 4 " +
    "--rows full,ECH --client own --program ../other/edge.ts --against ../older/edge.ts --json a.json --compare b.json";
  expect(parseOptions(args.split(" "))).toEqual({
    bench: "handshake",
    runtimes: ["bun", "deno"],
    rounds: 30,
    connections: 100,
    warmUp: 2000,
    concurrency: 4,
    rows: ["full", "ECH"],
    client: "own",
    program: "../other/edge.ts",
    against: "../older/edge.ts",
    json: "a.json",
    compare: "b.json",
  });
});

test("Options may stand before the bench", () => {
  expect(parseOptions(["--rounds", "7", "record"])).toMatchObject({ bench: "record", rounds: 7 });
});

test("What is wrong is said with what is accepted", () => {
  const message = (...args: string[]): string => {
    try {
      parseOptions(args);
    } catch (error) {
      expect(error).toBeInstanceOf(UsageError);
      return (error as Error).message;
    }
    return "";
  };
  expect(message()).toContain("handshake, idle, forward, core, crypto, parse, record, trie");
  expect(message("handshakes")).toContain("given: handshakes");
  expect(message("idle", "record")).toContain("given: idle record");
  expect(message("idle", "--runtime", "bun,nod")).toBe(
    '--runtime "nod" is unknown, accepted: bun, deno, node',
  );
  expect(message("idle", "--client", "rust")).toContain("accepted: go, own");
  for (const count of ["0", "-1", "1.5", "", "many", "1000000"]) {
    expect(message("idle", `--rounds=${count}`)).toContain("is no count");
  }
  expect(message("idle", "--round", "3")).toContain("--round");
});

test("The usage names every option", () => {
  for (
    const option of ["runtime", "rounds", "connections", "warm-up", "concurrency", "rows", "client"]
      .concat(["program", "against", "json", "compare"])
  ) {
    expect(USAGE).toContain(`--${option} `);
  }
});
