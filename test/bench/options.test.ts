import { expect, test } from "vitest";

import { baselineFile } from "../../bench/baselines.ts";
import { BENCHES, parseOptions, REPORTS, USAGE, UsageError } from "../../bench/options.ts";

test("A bench by itself has the defaults", () => {
  const line = parseOptions(["handshake"]);
  expect(line).toMatchObject({
    benches: ["handshake"],
    report: undefined,
    help: false,
    isBrief: false,
    json: undefined,
    compare: undefined,
    conditions: false,
  });
  expect(line.options("handshake")).toEqual({
    runtimes: [],
    peers: undefined,
    rounds: 12,
    starts: 3,
    roundSeconds: undefined,
    connections: 300,
    warmUp: 32_000,
    concurrency: 1,
    seconds: 5,
    megabytes: 128,
    handshakes: 100_000,
    minutes: 10,
    rows: [],
    client: undefined,
    program: undefined,
    against: undefined,
  });
  expect(parseOptions(["idle"]).options("idle")).toMatchObject({ rounds: 6, connections: 5000 });
});

test("Every option is read", () => {
  const args =
    "handshake --runtime bun,deno --peers go,nginx --rounds 30 --starts 5 --connections 100 --warm-up 2000 --concurrency 4 " +
    "--seconds 7 --megabytes 64 --handshakes 200000 --minutes 20 --rows full,ECH --client own " +
    "--program ../other/edge.ts --against ../older/edge.ts --json a.json --compare b.json --conditions";
  const line = parseOptions(args.split(" "));
  expect(line).toMatchObject({ json: "a.json", compare: "b.json", conditions: true });
  expect(line.options("handshake")).toEqual({
    runtimes: ["bun", "deno"],
    peers: ["go", "nginx"],
    rounds: 30,
    starts: 5,
    roundSeconds: undefined,
    connections: 100,
    warmUp: 2000,
    concurrency: 4,
    seconds: 7,
    megabytes: 64,
    handshakes: 200_000,
    minutes: 20,
    rows: ["full", "ECH"],
    client: "own",
    program: "../other/edge.ts",
    against: "../older/edge.ts",
  });
});

test("Without a bench all of them are run briefly on Bun, and what is said counts for each", () => {
  const line = parseOptions([]);
  expect(line).toMatchObject({ benches: BENCHES, isBrief: true });
  for (const bench of BENCHES) {
    const full = parseOptions([bench]).options(bench);
    expect(line.options(bench)).toMatchObject({ runtimes: ["bun"], peers: undefined });
    for (const number of ["rounds", "connections", "warmUp", "handshakes", "minutes"] as const) {
      expect(line.options(bench)[number]).toBeLessThanOrEqual(full[number]);
    }
  }
  const more = parseOptions(["--runtime", "node", "--rounds", "4"]);
  expect(more.options("record")).toMatchObject({ runtimes: ["node"], rounds: 4 });
});

test("Reports of what is there run no bench", () => {
  expect(parseOptions(["readme"])).toMatchObject({ report: "readme", benches: [] });
  expect(parseOptions(["conditions"])).toMatchObject({ report: "conditions", benches: [] });
  expect(parseOptions(["--help"])).toMatchObject({ help: true });
});

test("Results are kept by bench and runtime", () => {
  expect(parseOptions(["crypto", "--save"]).save).toBe(true);
  expect(parseOptions(["forward", "--save"]).save).toBe(true);
  expect(parseOptions(["idle", "--runtime", "deno", "--save"]).save).toBe(true);
  expect(() => parseOptions(["--save"])).toThrow("--save wants one bench");
  expect(() => parseOptions(["readme", "--save"])).toThrow("--save wants one bench");
  expect(() => parseOptions(["idle", "--save"])).toThrow(
    "--save wants one --runtime, accepted: bun",
  );
  const file = baselineFile({ runtime: "deno", bench: "idle" }, { versions: { deno: "2.9.6" } });
  expect(file).toMatch(/bench\/baselines\/deno-2\.9\.6\.idle\.json$/);
  const { counts } = parseOptions(["certificates", "--counts", "10,20"]).options("certificates");
  const some = { runtime: "bun", bench: "certificates", counts } as const;
  expect(baselineFile(some, { versions: { bun: "1.4.5" } })).toMatch(
    /\/bun-1\.4\.5\.certificates-10-20\.json$/,
  );
});

test("Peers can be none", () => {
  expect(parseOptions(["handshake", "--peers", "none"]).options("handshake").peers).toEqual([]);
});

test("Options may stand before the bench", () => {
  const line = parseOptions(["--rounds", "7", "record"]);
  expect(line.benches).toEqual(["record"]);
  expect(line.options("record").rounds).toBe(7);
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
  expect(message("handshakes")).toContain("given: handshakes");
  for (const bench of BENCHES) expect(message("handshakes")).toContain(bench);
  expect(message("idle", "record")).toContain("given: idle record");
  expect(message("idle", "--runtime", "bun,nod")).toBe(
    '--runtime "nod" is unknown, accepted: bun, deno, node',
  );
  expect(message("idle", "--client", "rust")).toContain("accepted: go, own");
  expect(message("idle", "--peers", "apache")).toContain("accepted: go, caddy, nginx, haproxy");
  for (const count of ["0", "-1", "1.5", "", "many", "10000000"]) {
    expect(message("idle", `--rounds=${count}`)).toContain("is no count");
  }
  expect(message("idle", "--round", "3")).toContain("--round");
});

test("The usage names every bench and every option", () => {
  for (const word of [...BENCHES, ...REPORTS]) {
    expect(USAGE).toMatch(new RegExp(`^  ${word} `, "m"));
  }
  for (
    const option of [
      "runtime peers rounds connections warm-up concurrency seconds megabytes handshakes minutes",
      "rows client program against json save compare conditions help",
    ].join(" ").split(" ")
  ) {
    expect(USAGE).toContain(`--${option} `);
  }
});
