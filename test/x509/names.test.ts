import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  canonicalHost,
  canonicalIp,
  coversHost,
  ipFromBytes,
  isInternalIp,
  matchesName,
  qualifyName,
} from "../../src/x509/names.ts";

describe("policy 2: qualifyName", () => {
  test.each<[string, string, string, boolean]>([
    ["example.com", "example.com", "public", true],
    [" Sub.Example.COM ", "sub.example.com", "public", true],
    ["*.example.com", "*.example.com", "public", true],
    ["*.com", "*.com", "none", false],
    ["intranet", "intranet", "local", false],
    ["localhost", "localhost", "local", false],
    ["a.localhost", "a.localhost", "local", false],
    ["*.localhost", "*.localhost", "local", false],
    ["printer.local", "printer.local", "local", false],
    ["x.internal", "x.internal", "local", false],
    ["x.home.arpa", "x.home.arpa", "local", false],
    ["x.test", "x.test", "local", false],
    ["x.example", "x.example", "local", false],
    ["x.invalid", "x.invalid", "local", false],
    ["x.onion", "x.onion", "local", false],
    ["mylocalhost.com", "mylocalhost.com", "public", true],
    ["127.0.0.1", "127.0.0.1", "local", false],
    ["10.1.2.3", "10.1.2.3", "local", false],
    ["8.8.8.8", "8.8.8.8", "local", true],
    ["[2001:DB8::0:1]", "2001:db8::1", "local", true],
    ["fe80::1", "fe80::1", "local", false],
    ["box.tail1234.ts.net", "box.tail1234.ts.net", "tailscale", false],
    ["a_b.example.com", "a_b.example.com", "none", false],
    ["bücher.example.com", "xn--bcher-kva.example.com", "public", true],
    ["*.BÜCHER.de", "*.xn--bcher-kva.de", "public", true],
    ["faß.de", "xn--fa-hia.de", "public", true],
  ])("policy 2: %s is %s, %s issuer, public possible: %s", (text, name, issuer, publicPossible) => {
    expect(qualifyName(text)).toMatchObject({ name, issuer, publicPossible });
  });

  test.each([
    ["", "is empty"],
    ["  ", "is empty"],
    ["*", "would stand for every name: that is for on_demand alone"],
    [".example.com", "begins with a dot"],
    ["example.com.", "ends with a dot"],
    ["a..b", "has two dots in a row"],
    ["sub.*.example.com", 'may have "*" only as its whole first label'],
    ["foo*.example.com", 'may have "*" only as its whole first label'],
    ["*bar.example.com", 'may have "*" only as its whole first label'],
    ["*.*.example.com", 'may have "*" only as its whole first label'],
    ["a b.example.com", 'may not contain " "'],
    ["a/b.example.com", 'may not contain "/"'],
    ["example.com:443", 'may not contain ":"'],
    ["{host}.example.com", 'may not contain "{"'],
    ["-a.example.com", "has a label with a hyphen at its edge"],
    ["a-.example.com", "has a label with a hyphen at its edge"],
    [`${"a".repeat(64)}.com`, "has a label of more than 63 characters"],
    [`${"a.".repeat(126)}com`, "is longer than 253 characters"],
    ["1.2.3", "looks like an IP address, but is none"],
    ["256.0.0.1", "looks like an IP address, but is none"],
    ["1.2.3.04", "looks like an IP address, but is none"],
  ])("policy 2.1: refuses %j: it %s", (text, refused) => {
    expect(qualifyName(text)).toEqual({ refused });
  });

  test("policy 2.2: a name in its one spelling stays as it is", () => {
    fc.assert(fc.property(fc.domain(), (text) => {
      const first = qualifyName(text);
      if ("refused" in first) return;
      expect(qualifyName(first.name)).toEqual(first);
    }));
  });
});

describe("policy 2.6: matchesName", () => {
  test.each([
    ["example.com", "example.com", true],
    ["*.example.com", "a.example.com", true],
    ["*.example.com", "a.b.example.com", false],
    ["*.example.com", "example.com", false],
    ["*.example.com", ".example.com", false],
    ["*.example.com", "axexample.com", false],
    ["*.example.com", "*.example.com", true],
    ["a.example.com", "b.example.com", false],
    ["*.0.0.1", "127.0.0.1", false],
    ["::1", "::1", true],
  ])("%s covers %s: %s", (name, host, wanted) => {
    expect(matchesName(name, host)).toBe(wanted);
  });

  test("coversHost takes a host in any spelling", () => {
    const names = ["*.example.com", "::1"];
    for (const host of ["A.Example.COM", "a.example.com.", "[0:0:0:0:0:0:0:1]"]) {
      expect(coversHost(names, host), host).toBe(true);
    }
    for (const host of ["example.com", "a.example.com..", "::2", ""]) {
      expect(coversHost(names, host), host).toBe(false);
    }
  });
});

describe("canonicalIp", () => {
  test.each([
    ["1.2.3.4", "1.2.3.4"],
    ["::", "::"],
    ["0:0:0:0:0:0:0:1", "::1"],
    ["[::1]", "::1"],
    ["fe80::1%eth0", "fe80::1"],
    ["2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["1:0:0:2:0:0:0:3", "1:0:0:2::3"],
    ["1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"],
    ["::ffff:127.0.0.1", "127.0.0.1"],
    ["::ffff:7f00:1", "127.0.0.1"],
    ["64:ff9b::1.2.3.4", "64:ff9b::102:304"],
  ])("%s is %s", (text, wanted) => {
    expect(canonicalIp(text)).toBe(wanted);
  });

  test.each([
    [
      "",
      "1.2.3",
      "1.2.3.4.5",
      "1.2.3.256",
      "01.2.3.4",
      "1.2.3.4 ",
      "[1.2.3.4]",
      "1.2.3.-4",
      "0x1.2.3.4",
    ],
    [":", ":::", "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "12345::", "g::", "1.2.3.4::"],
    ["::1.2.3", "[::1", "::1]", "example.com", "1:", ":1"],
  ].flat())("%j is none", (text) => {
    expect(canonicalIp(text)).toBeUndefined();
  });

  test("gives back any address that it wrote", () => {
    const bytes = fc.oneof(
      fc.uint8Array({ minLength: 4, maxLength: 4 }),
      fc.array(fc.constantFrom(0, 0, 0, 1, 0xff), { minLength: 16, maxLength: 16 }),
    );
    fc.assert(fc.property(bytes, (address) => {
      const text = ipFromBytes(address);
      expect(canonicalIp(text ?? "")).toBe(text);
    }));
    expect(ipFromBytes(new Uint8Array(5))).toBeUndefined();
  });

  test("canonicalHost leaves what is no address, in lower case and without its dot", () => {
    expect(["Example.COM.", "::ffff:1.2.3.4", "a b"].map(canonicalHost)).toEqual(
      ["example.com", "1.2.3.4", "a b"],
    );
  });
});

test.each([
  ["127.9.9.9", true],
  ["0.0.0.0", true],
  ["10.0.0.1", true],
  ["172.15.0.1", false],
  ["172.16.0.1", true],
  ["172.31.0.1", true],
  ["172.32.0.1", false],
  ["192.168.1.1", true],
  ["169.254.1.1", true],
  ["100.63.0.1", false],
  ["100.64.0.1", true],
  ["100.127.0.1", true],
  ["100.128.0.1", false],
  ["::1", true],
  ["fe80::1", true],
  ["febf::1", true],
  ["fec0::1", false],
  ["fc00::1", true],
  ["fdff::1", true],
  ["2001:db8::1", false],
])("policy 2: %s is internal: %s", (ip, wanted) => {
  expect(isInternalIp(ip)).toBe(wanted);
});
