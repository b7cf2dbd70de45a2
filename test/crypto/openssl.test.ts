/** Where OpenSSL is called, and where not. */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { expect, test } from "vitest";

import { chooseCrypto } from "../../src/crypto/choose.ts";
import { LIBCRYPTO, openLibcrypto } from "../../src/crypto/libcrypto.ts";
import { opensslAeads } from "../../src/crypto/openssl-aead.ts";
import { loadOpenssl, openOpenssl } from "../../src/crypto/openssl.ts";
import { sameRuntime } from "../../src/runtime/same-runtime.ts";

const canCall = process.platform === "linux" &&
  (process.versions["bun"] !== undefined || process.versions["deno"] !== undefined);
/** Where distributions keep it. In CI a missing one is a failure. */
const isInstalled = process.env["CI"] !== undefined ||
  ["/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu", "/lib64", "/usr/lib64", "/usr/lib", "/lib"]
    .some((folder) => existsSync(`${folder}/${LIBCRYPTO}`));

test.skipIf(!canCall || !isInstalled)("on Linux, Bun and Deno call the system's OpenSSL", () => {
  const openssl = loadOpenssl();
  expect(openssl?.name).toMatch(/^openssl 3\.\d+\.\d+$/);
  expect(chooseCrypto({ ipsecMb: null }).name).toMatch(new RegExp(` \\+ ${openssl!.name}$`));
  expect(chooseCrypto({ force: "openssl" }).name).toMatch(
    new RegExp(`^${openssl!.name} \\+ native`),
  );
  // With it AES is the cheapest everywhere.
  expect(chooseCrypto({ runtime: "deno" }).aeads[0]).toBe("aes-128-gcm");
  expect(chooseCrypto({ runtime: "deno", openssl: null, ipsecMb: null }).aeads[0]).toBe(
    "chacha20-poly1305",
  );
});

test.skipIf(canCall)("elsewhere it is not called, and asking for it says why", () => {
  expect(loadOpenssl()).toBeUndefined();
  expect(() => chooseCrypto({ force: "openssl" })).toThrow(
    `Cannot call ${LIBCRYPTO} of OpenSSL 3: Only Bun and Deno can call it. Name another file`,
  );
});

test("a file that is no libcrypto is refused by name", () => {
  expect(() => openOpenssl("/nowhere/libcrypto.so.3")).toThrow(
    /^Cannot call \/nowhere\/libcrypto\.so\.3 of OpenSSL 3: ./,
  );
  expect(() => openOpenssl(import.meta.filename)).toThrow(RangeError);
});

test("forced, and turned off: a contradiction", () => {
  expect(() => chooseCrypto({ force: "openssl", openssl: null })).toThrow(RangeError);
});

test.skipIf(!canCall || !isInstalled).each([
  ["", true],
  ["off", false],
  ["native", false],
  ["wasm", false],
  ["noble", false],
])("crypto chosen by %j: the library is in the process: %s", (how, isLoaded) => {
  const program = join(import.meta.dirname, "../support/maps-library.ts");
  const { command, args } = sameRuntime(program, ["/libcrypto.so", how]);
  expect(execFileSync(command, args, { encoding: "utf8" }).trim()).toBe(String(isLoaded));
});

test.skipIf(loadOpenssl() === undefined)(
  "a library that computes something else is not used",
  () => {
    const { version, functions } = openLibcrypto();
    const tagless = { ...functions, EVP_CIPHER_CTX_ctrl: () => 1 };
    expect(() => opensslAeads({ version, functions: tagless })).toThrow(/computes another aes-128/);
    const credulous = { ...functions, EVP_DecryptFinal_ex: () => 1 };
    expect(() => opensslAeads({ version, functions: credulous })).toThrow(/another aes-128/);
    const failing = { ...functions, EVP_EncryptInit_ex: () => 0 };
    expect(() => opensslAeads({ version, functions: failing })).toThrow(/OpenSSL failed/);
    const lacking = { ...functions, EVP_CIPHER_fetch: () => null };
    expect(() => opensslAeads({ version, functions: lacking })).toThrow(/OpenSSL failed/);
  },
);
