import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Site, Snapshot, type SnapshotParts } from "../../src/snapshot/snapshot.ts";
import type { ServerConfig } from "../../src/tls/config.ts";

const server = {} as ServerConfig; // never looked into
const bytes = (text: string): Uint8Array => Uint8Array.from(text, (c) => c.charCodeAt(0));

function site(names: readonly string[], publicNameOnly: boolean = false): Site {
  return {
    names,
    tls: {
      policyId: 0,
      credentials: [],
      alpn: undefined,
      groups: [],
      clientAuth: undefined,
      tickets: true,
    },
    handler: { kind: "respond", text: names.join() },
    publicNameOnly,
  };
}

const exact = site(["example.com", "www.example.com"]);
const wildcard = site(["*.example.com"]);
const address = site(["127.0.0.1", "::1"]);
const publicName = site(["cloud.example.net"], true);
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
      const sites = patterns.map((text) => site([text]));
      const model = sites.find(({ names }) => names[0] === asked) ??
        sites.find(({ names }) =>
          names[0] === "*" + asked.slice(asked.indexOf(".")) && asked.includes(".")
        );
      const mixedCase = asked.replaceAll("a", "A").replaceAll("m", "M");
      expect(new Snapshot({ server, sites }).find(bytes(mixedCase))).toBe(model);
    }));
  });
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
    expect(() => new Snapshot({ server, sites: [exact, site(["Example.com"])] })).toThrow(
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
