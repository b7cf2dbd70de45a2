import { describe, expect, onTestFinished, test } from "vitest";

import type { ForwardHandler } from "../src/edge/handlers/forward.ts";
import { SILENT } from "../src/edge/log.ts";
import { SiteHandlers } from "../src/handlers.ts";
import { thisRuntime } from "../src/runtime/detect.ts";
import { type HandlerSpec, type Site, Snapshot } from "../src/snapshot/snapshot.ts";
import type { ServerConfig } from "../src/tls/config.ts";
import { bareSite } from "./support/bare-site.ts";

const config = { limits: {} };
const parts = { runtime: await thisRuntime(), config, apps: { app: () => new Response() } };
const upstreams = [{ hostname: "127.0.0.1", port: 1 }];
const SPECS: readonly HandlerSpec[] = [
  { kind: "respond", text: "" },
  { kind: "redirect", to: "https://a.example" },
  { kind: "app", app: "app" },
  { kind: "forward", upstreams, proxyProtocol: 0 },
  { kind: "passthrough", upstreams, proxyProtocol: 0 },
];

function siteWith(name: string, handler: HandlerSpec): Site {
  return { ...bareSite([name]), handler };
}

test.each(SPECS)(
  "Sites with one spec have one handler, and with another of $kind their own",
  async (spec) => {
    const handlers = new SiteHandlers({ ...parts, log: SILENT });
    const other = { ...spec };
    const sites = [siteWith("a", spec), siteWith("b", spec), siteWith("c", other)];
    await handlers.prepare({ sites });
    const [a, b, c] = sites.map((site) => handlers.of(site));
    expect(a).toBeDefined();
    expect(b).toBe(a);
    expect(c === a).toBe(spec.kind === "app"); // there is one server for each
    await handlers.stop();
  },
);

test("Only what is passed on goes on as it came", async () => {
  const handlers = new SiteHandlers({ ...parts, log: SILENT });
  const sites = SPECS.map((spec) => siteWith(`${spec.kind}.example`, spec));
  expect(handlers.passOn).toBeUndefined();
  await handlers.prepare({ sites });
  const snapshot = new Snapshot({ server: {} as ServerConfig, sites });
  const passedOn = SPECS.filter(({ kind }) => handlers.passOn!(`${kind}.example`, snapshot));
  expect(passedOn.map(({ kind }) => kind)).toEqual(["passthrough"]);
  expect(handlers.passOn!("other.example", snapshot)).toBeUndefined();
  await handlers.stop();
});

describe("A spec that comes back after a configuration without it", () => {
  const address = { hostname: "127.0.0.1", port: 1 };
  const spec: HandlerSpec = {
    kind: "forward",
    upstreams: [address],
    proxyProtocol: 0,
    checkEveryMs: 60_000,
  };
  const [withIt, withoutIt] = [{ sites: [siteWith("a", spec)] }, { sites: [] }];

  test("has a handler of upstreams that are known, and checked", async () => {
    const handlers = new SiteHandlers({ ...parts, log: SILENT });
    onTestFinished(() => handlers.stop());
    await handlers.prepare(withIt);
    handlers.keep(withIt);
    const before = handlers.of(withIt.sites[0]!) as ForwardHandler;
    handlers.keep(withoutIt);
    handlers.keep(withIt);
    const after = handlers.of(withIt.sites[0]!) as ForwardHandler;
    expect(after.choose([])).toBe(after.upstreams.of(address));
    expect(before.choose([])).toBe(after.upstreams.of(address));
  });

  test("… also where a connection asked for its handler meanwhile", async () => {
    const handlers = new SiteHandlers({ ...parts, log: SILENT });
    onTestFinished(() => handlers.stop());
    handlers.keep(withoutIt);
    const late = handlers.of(withIt.sites[0]!) as ForwardHandler;
    handlers.keep(withoutIt);
    handlers.keep(withIt);
    expect(late.choose([])).toBe(late.upstreams.of(address));
  });
});
