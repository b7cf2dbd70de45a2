import process from "node:process";

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Site, Snapshot, type SnapshotParts } from "../../src/snapshot/snapshot.ts";
import type { ServerConfig } from "../../src/tls/config.ts";
import { bareSite } from "../support/bare-site.ts";

const server = {} as ServerConfig; // never looked into
const bytes = (text: string): Uint8Array => Uint8Array.from(text, (c) => c.charCodeAt(0));

const exact = bareSite(["example.com", "www.example.com"]);
const wildcard = bareSite(["*.example.com"]);
const address = bareSite(["127.0.0.1", "::1"]);
const publicName = bareSite(["cloud.example.net"], true);
const snapshot = (parts: Omit<SnapshotParts, "server" | "sites"> = {}): Snapshot =>
  new Snapshot({ server, sites: [exact, wildcard, address, publicName], ...parts });

describe("policy 6.1: find", () => {
  test.each<[string, Site | undefined]>([
    ["example.com", exact],
    ["WWW.Example.COM", exact],
    ["other.example.com", wildcard],
    ["cloud.example.net", publicName],
    ["a.b.example.com", undefined],
    [".example.com", undefined],
    ["*.example.com", wildcard],
    ["com", undefined],
    ["xexample.com", undefined],
    ["example.com\0", undefined],
    ["\xe9.com", undefined],
    ["", undefined],
    ["x".repeat(70_000), undefined],
  ])("takes exact before one-label wildcard before nothing: %j", (name, wanted) => {
    expect(snapshot().find(bytes(name))).toBe(wanted);
  });

  test("policy 6.5: an unknown name goes to fallback_sni, a missing one does not", () => {
    const it = snapshot({ fallbackSni: "www.example.com" });
    expect(it.find(bytes("unknown.test"))).toBe(exact);
    expect(it.findWithoutName("10.0.0.1")).toBeUndefined();
    expect(it.findText("unknown.test")).toBeUndefined();
  });

  test("agrees with a plain model for any name", () => {
    const label = fc.constantFrom("a", "b", "example", "com", "www");
    const name = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join("."));
    const pattern = fc.tuple(fc.boolean(), name).map(([wild, text]) => wild ? `*.${text}` : text);
    fc.assert(fc.property(fc.uniqueArray(pattern, { maxLength: 8 }), name, (patterns, asked) => {
      const sites = patterns.map((text) => bareSite([text]));
      const model = sites.find(({ names }) => names[0] === asked) ??
        sites.find(({ names }) =>
          names[0] === "*" + asked.slice(asked.indexOf(".")) && asked.includes(".")
        );
      const mixedCase = asked.replaceAll("a", "A").replaceAll("m", "M");
      expect(new Snapshot({ server, sites }).find(bytes(mixedCase))).toBe(model);
    }));
  });
});

test("policy 8.7: a site that requires ECH is as if unknown to who comes without", () => {
  const hidden: Site = { ...bareSite(["hidden.example"]), requireEch: true };
  const it = new Snapshot({ server, sites: [exact, hidden], fallbackSni: "example.com" });
  expect(it.find(bytes("hidden.example"), true)).toBe(hidden);
  expect(it.find(bytes("hidden.example"), false)).toBe(exact);
  expect(new Snapshot({ server, sites: [hidden] }).find(bytes("hidden.example"), false))
    .toBeUndefined();
  const only = new Snapshot({ server, sites: [hidden] });
  expect(only.findWithoutName("10.0.0.1", true)).toBe(hidden);
  expect(only.findWithoutName("10.0.0.1", false)).toBeUndefined();
});

test("What is passed on is found by its text, and never under TLS", () => {
  const passed: Site = {
    ...bareSite(["p.example"]),
    handler: { kind: "passthrough", upstreams: [{ path: "/s" }], proxyProtocol: 0 },
  };
  const it = new Snapshot({ server, sites: [passed] });
  expect(it.findText("p.example")).toBe(passed);
  expect(it.find(bytes("p.example"))).toBeUndefined();
  expect(it.findWithoutName("10.0.0.1")).toBeUndefined();
});

describe("findText", () => {
  test.each<[string, Site | undefined]>([
    ["EXAMPLE.com.", exact],
    ["x.example.com", wildcard],
    ["[::1]", address],
    ["0:0:0:0:0:0:0:1", address],
    ["127.0.0.1", address],
    ["unknown.test", undefined],
    ["", undefined],
  ])("takes a Host in any spelling: %j", (host, wanted) => {
    expect(snapshot().findText(host)).toBe(wanted);
  });
});

describe("policy 6.3: findWithoutName", () => {
  test("takes the site of the connection's address, also where the socket writes it as mapped IPv6", () => {
    for (const local of ["127.0.0.1", "::ffff:127.0.0.1", "::1"]) {
      expect(snapshot({ defaultSni: "example.com" }).findWithoutName(local), local).toBe(address);
    }
  });

  test("then default_sni", () => {
    expect(snapshot({ defaultSni: "sub.example.com" }).findWithoutName("10.0.0.1")).toBe(wildcard);
  });

  test("then the only site, which the ECH public name is not", () => {
    const only = new Snapshot({ server, sites: [exact, publicName] });
    expect(only.findWithoutName("10.0.0.1")).toBe(exact);
    expect(new Snapshot({ server, sites: [publicName] }).findWithoutName("10.0.0.1"))
      .toBeUndefined();
  });

  test("else nothing", () => {
    expect(snapshot().findWithoutName("10.0.0.1")).toBeUndefined();
    expect(new Snapshot({ server, sites: [] }).findWithoutName("")).toBeUndefined();
  });
});

describe("Snapshot refuses", () => {
  test("policy 2.5: one name in two sites", () => {
    expect(() => new Snapshot({ server, sites: [exact, bareSite(["Example.com"])] })).toThrow(
      new RangeError("Cannot build a snapshot: two sites are called example.com"),
    );
  });

  test("policy 6.5: a default_sni or fallback_sni that no site has", () => {
    for (
      const [parts, key] of [
        [{ defaultSni: "x.test" }, "default_sni"],
        [{ fallbackSni: "x.test" }, "fallback_sni"],
      ] as const
    ) {
      expect(() => snapshot(parts)).toThrow(`Cannot use ${key}: no site is called x.test`);
    }
  });
});

describe("with", () => {
  const site1 = bareSite(["a.example", "b.example"]);
  const site2 = bareSite(["*.example"]);
  const base = new Snapshot({ server, sites: [site1, site2], fallbackSni: "b.example" });

  test("a renewed site keeps its place, and the index is the same one", () => {
    const renewed = bareSite(["a.example", "b.example"]);
    const next = base.with([[0, renewed]]);
    expect(next.index).toBe(base.index);
    expect(next.slots.toArray()).toEqual([renewed, site2]);
    expect(next.find(bytes("A.example"))).toBe(renewed);
    expect(next.find(bytes("unknown.test"))).toBe(renewed);
    expect(base.find(bytes("a.example"))).toBe(site1);
  });

  test("what is added and removed lies in an overlay over the same base", () => {
    const added = bareSite(["new.example"]);
    const next = base.with([[1, undefined], [undefined, added]]);
    expect(next.index.base).toBe(base.index.base);
    expect(next.index.overlay.size).toBe(2);
    expect(next.slots.toArray()).toEqual([site1, undefined, added]);
    expect(next.sites).toEqual([site1, added]);
    expect(next.find(bytes("x.example"))).toBe(site1); // the fallback
    expect(next.find(bytes("new.example"))).toBe(added);
    const again = next.with([[undefined, site2]]);
    expect(again.slots.toArray()).toEqual([site1, site2, added]);
  });

  test("a name moves from one site to another", () => {
    const [less, more] = [bareSite(["a.example"]), bareSite(["*.example", "b.example"])];
    const next = base.with([[1, more], [0, less]]);
    expect(next.find(bytes("b.example"))).toBe(more);
    expect(next.find(bytes("a.example"))).toBe(less);
    expect(next.find(bytes("c.example"))).toBe(more);
  });

  test("one name in two sites, and a site that is not here, are refused", () => {
    const same = bareSite(["b.example"]);
    expect(() => base.with([[undefined, same]])).toThrow("two sites are called b.example");
    expect(() => base.with([[undefined, bareSite(["c.test"])], [undefined, bareSite(["c.test"])]]))
      .toThrow("two sites are called c.test");
    expect(() => base.with([[7, same]])).toThrow("Cannot change place 7: no site is there");
    expect(() => base.with([[0, undefined], [1, undefined]]))
      .toThrow("Cannot use fallback_sni");
  });

  test("more changes than an overlay holds become a new base", () => {
    const many = Array.from({ length: 5000 }, (_, i) => bareSite([`n${i}.test`]));
    const next = base.with(many.map((one) => [undefined, one]));
    expect(next.index.overlay.size).toBe(0);
    expect(next.find(bytes("n4999.test"))).toBe(many[4999]);
    expect(next.find(bytes("a.example"))).toBe(site1);
  });

  test("adding one site to 100,000 costs far less than 10 ms of the processor", () => {
    const sites = Array.from({ length: 100_000 }, (_, i) => bareSite([`n${i}.example`]));
    let snapshot = new Snapshot({ server, sites });
    const { base: names } = snapshot.index;
    const times = Array.from({ length: 200 }, (_, i) => {
      const from = process.cpuUsage();
      snapshot = snapshot.with([[undefined, bareSite([`added${i}.example`])]]);
      const { user, system } = process.cpuUsage(from);
      return (user + system) / 1000;
    });
    expect(times.toSorted((a, b) => a - b)[100]).toBeLessThan(10);
    expect(snapshot.index.base).toBe(names);
  });

  test("agrees with a snapshot of the same sites, after any changes", () => {
    const name = fc.constantFrom("a.x", "b.x", "c.x", "*.x", "x", "*.y", "a.y", "10.0.0.1");
    const names = fc.uniqueArray(name, { minLength: 1, maxLength: 3 });
    fc.assert(
      fc.property(fc.array(fc.array(names, { maxLength: 4 }), { maxLength: 6 }), (steps) => {
        let snapshot = new Snapshot({ server, sites: [] });
        for (const wanted of steps) {
          const taken = new Set<string>();
          const sites = wanted.map((list) =>
            list.filter((one) => !taken.has(one) && taken.add(one))
          )
            .filter((list) => list.length > 0).map((list) => bareSite(list));
          const old = snapshot.sites.map(({ names }) => snapshot.slotOf(names[0]!));
          const length = Math.max(old.length, sites.length);
          snapshot = snapshot.with(Array.from({ length }, (_, i) => [old[i], sites[i]]));
          expect(new Set(snapshot.sites)).toEqual(new Set(sites));
          const fresh = new Snapshot({ server, sites });
          for (const asked of ["a.x", "B.X", "d.x", "x", "z.y", "a.y", "10.0.0.1", "q"]) {
            expect(snapshot.find(bytes(asked)), asked).toBe(fresh.find(bytes(asked)));
          }
        }
      }),
    );
  });
});
