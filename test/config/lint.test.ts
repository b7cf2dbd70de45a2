import { expect, test } from "vitest";

import { parseConfig } from "../../src/config/load.ts";

const site = (name: string, more = "") => `[[site]]\nnames = ["${name}"]\n${more}\n`;

async function warnings(...parts: string[]): Promise<readonly string[]> {
  return (await parseConfig(parts.join(""), "/etc/sotto/sotto.toml")).warnings;
}

const GROUPS = `groups = ["x25519"]`;

test("policy 8.10: groups that differ within an anonymity set, the odd one by name", async () => {
  const said = await warnings(site("a.example"), site("b.example", GROUPS), site("c.example"));
  expect(said).toEqual([
    expect.stringMatching(
      /^sites differ in groups: an observer may tell b\.example from a\.example/,
    ),
  ]);
});

test.each([
  ["5: alpn", `alpn = []`, /differ in alpn/],
  ["8.9: client_auth", `client_auth = { mode = "request" }`, /differ in client_auth/],
])("policy %s that differs", async (_, more, said) => {
  expect(await warnings(site("a.example"), site("b.example", more))).toEqual([
    expect.stringMatching(said),
  ]);
});

test("policy 8.9: what is alike, has nothing to hide, or is passed on gives no reason to warn", async () => {
  expect(await warnings(site("a.example", GROUPS), site("b.example", GROUPS))).toEqual([]);
  expect(await warnings(site("a.example"), site("b.example", `${GROUPS}\nech = false`))).toEqual(
    [],
  );
  expect(
    await warnings("[ech]\nenabled = false\n", site("a.example"), site("b.example", GROUPS)),
  ).toEqual([]);
});

test("policy 8.5: a group of one, and sni_host = any", async () => {
  expect(await warnings(site("a.example", `group = "x"`), site("b.example", `group = "x"`)))
    .toEqual([]);
  expect(await warnings(`sni_host = "any"\n`, site("a.example", `group = "x"`))).toEqual([
    expect.stringMatching(/^group "x" has one site, a\.example/),
    expect.stringMatching(/^sni_host = "any" lets/),
  ]);
});
