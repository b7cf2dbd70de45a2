/** Chooses as it is told, and says whether libcrypto is in this process. */
import { readFileSync } from "node:fs";
import process from "node:process";

import { chooseCrypto, type ProviderName } from "../../src/crypto/choose.ts";

const how = process.argv[2];
chooseCrypto(how === "off" ? { openssl: null } : how === "" ? {} : { force: how as ProviderName });
console.log(readFileSync("/proc/self/maps", "utf8").includes("/libcrypto.so"));
