/** Which libraries of crypto a process calls: the environment goes before the configuration, and workers hear of it. */
import process from "node:process";
import { afterEach, expect, test, vi } from "vitest";

import { DEFAULT_CONFIG } from "../../src/config/config.ts";
import { cryptoOfProcess, passCryptoOn } from "../../src/open-control.ts";

afterEach(() => void vi.unstubAllEnvs());

test.each([["openssl", "SOTTO_OPENSSL"], ["ipsecMb", "SOTTO_IPSEC_MB"]])(
  "%s: %s goes before the configuration",
  (key, variable) => {
    vi.stubEnv(variable, "");
    expect(() => cryptoOfProcess({ [key]: "/nowhere/configured" })).toThrow("/nowhere/configured");
    vi.stubEnv(variable, "/nowhere/environment");
    expect(() => cryptoOfProcess({ [key]: false })).toThrow("/nowhere/environment");
    vi.stubEnv(variable, "off");
    expect(cryptoOfProcess({ [key]: "/nowhere/configured" }).name).toMatch(/^native/);
  },
);

test.each(
  [
    [{ openssl: "/a/libcrypto.so.3", ipsecMb: false }, {
      SOTTO_OPENSSL: "/a/libcrypto.so.3",
      SOTTO_IPSEC_MB: "off",
    }],
    [{ openssl: false, ipsecMb: "/a/libIPSec_MB.so.2" }, {
      SOTTO_OPENSSL: "off",
      SOTTO_IPSEC_MB: "/a/libIPSec_MB.so.2",
    }],
    [{}, { SOTTO_OPENSSL: "", SOTTO_IPSEC_MB: "" }],
  ] as const,
)("workers get %j by their environment", (config, expected) => {
  for (const name of Object.keys(expected)) vi.stubEnv(name, "");
  passCryptoOn({ ...DEFAULT_CONFIG, ...config });
  expect(process.env).toMatchObject(expected);
});
