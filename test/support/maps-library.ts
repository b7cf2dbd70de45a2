/** Chooses crypto as it is told, and says whether the library is in this process. */
import { readFileSync } from "node:fs";
import process from "node:process";

import { chooseCrypto, type ProviderName } from "../../src/crypto/choose.ts";

const [library, how] = process.argv.slice(2) as [string, string];
chooseCrypto(
  how === "off"
    ? { openssl: null, ipsecMb: null }
    : how === ""
    ? {}
    : { force: how as ProviderName },
);
console.log(readFileSync("/proc/self/maps", "utf8").includes(library));
