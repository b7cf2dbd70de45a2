import { mkdirSync } from "node:fs";
import { join } from "node:path";

import { expect, test } from "vitest";

import { installTrust } from "../../src/cli/install-trust.ts";
import { rootOn, type TestMachine, testMachine } from "../trust/support.ts";

const COMMAND = "sotto trust --data /data";

function machineWithAnchors(update: string): { machine: TestMachine; anchors: string } {
  const machine = testMachine();
  const anchors = join(machine.folder, "anchors");
  mkdirSync(anchors);
  return {
    machine: {
      ...machine,
      anchorFolders: [{ folder: anchors, extension: "crt", update: [update] }],
      find: (program) => Promise.resolve(program === update ? `/bin/${update}` : undefined),
    },
    anchors,
  };
}

async function tried(machine: TestMachine, data: string): Promise<string> {
  let said = "";
  await installTrust({ data }, COMMAND, (text) => said += text, machine);
  return said;
}

test("acme 12.6: the root is made trusted once, and it is said how to undo it", async () => {
  const { machine, anchors } = machineWithAnchors("true");
  const { data } = await rootOn(machine);
  expect(await tried(machine, data)).toBe(
    `This machine trusts the local CA's root now: system ${anchors}. Undo it with: sotto untrust --data /data\n`,
  );
  expect(await tried(machine, data)).toBe("");
});

test("acme 12.6: a store that will not take the root is a hint, and not tried again", async () => {
  const { machine, anchors } = machineWithAnchors("false");
  const { data } = await rootOn(machine);
  const said = await tried(machine, data);
  expect(said).toContain(`The local CA's root is not trusted by system ${anchors}: `);
  expect(said).toMatch(/\nTry: sotto trust --data \/data\n$/);
  expect(await tried(machine, data)).toBe("");
});

test("acme 12.6: without a root there is a hint, and nothing is thrown", async () => {
  const machine = testMachine();
  expect(await tried(machine, join(machine.folder, "nothing"))).toMatch(
    /^The local CA's root was not made trusted: there is no root.*Try: sotto trust/,
  );
});

test("acme 12.6: a machine without trust stores is told so", async () => {
  const machine = testMachine();
  const { data } = await rootOn(machine);
  expect(await tried(machine, data)).toMatch(/not trusted by system none: no folder.*\nTry: /);
});
