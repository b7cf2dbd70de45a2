import { expect, test } from "vitest";

import { siteName } from "../../src/config/names.ts";

test.each([
  ["Example.COM", "example.com"],
  [" example.com ", "example.com"],
  ["*.example.com", "*.example.com"],
  ["localhost", "localhost"],
  ["bücher.example", "xn--bcher-kva.example"],
  ["*.bücher.example", "*.xn--bcher-kva.example"],
  ["_dmarc.example.com", "_dmarc.example.com"],
  ["127.0.0.1", "127.0.0.1"],
  ["::1", "::1"],
  ["[2001:DB8:0:0::1]", "2001:db8::1"],
])("policy 2.1: %j serves as %j", (text, name) => {
  expect(siteName(text)).toEqual({ name });
});

test.each([
  ["", "is empty"],
  ["  ", "is empty"],
  [".example.com", "begins with a dot"],
  ["example.com.", "ends with a dot"],
  ["sub.*.example.com", '"*" elsewhere'],
  ["foo*.example.com", '"*" elsewhere'],
  ["*bar.example.com", '"*" elsewhere'],
  ["*.*.example.com", '"*" elsewhere'],
  ["*", '"*" elsewhere'],
  ["exam ple.com", "a character that no host name has"],
  ["a@example.com", "a character that no host name has"],
  ["example.com/path", "a character that no host name has"],
  ["https://example.com", "is a URL"],
  ["example.com:443", "has a port"],
  ["a..b", "is not a host name|empty label"],
  ["-a.example", "begins or ends with a hyphen"],
  ["a-.example", "begins or ends with a hyphen"],
  [`${"a".repeat(64)}.example`, "more than 63"],
  [`${"a.".repeat(127)}abc`, "more than 253"],
  ["0x7f.1", "is not a host name|would be read as the address"],
  ["fe80::1%eth0", "zone"],
])("policy 2.1: %j is refused, for it %s", (text, reason) => {
  const result = siteName(text);
  expect("wrong" in result ? result.wrong : result.name).toMatch(
    new RegExp(reason.replace("*", "\\*")),
  );
  expect(result).toHaveProperty("wrong");
});
