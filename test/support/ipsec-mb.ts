/** Where distributions keep libIPSec_MB, and whether this processor has what it is for. */
import { existsSync, readFileSync } from "node:fs";
import process from "node:process";

/** In CI there is one: a missing one is a failure. */
export const IPSEC_MB_FILE: string =
  ["/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib"].flatMap((folder) =>
    ["2", "1"].map((major) => `${folder}/libIPSec_MB.so.${major}`)
  ).find((file) => existsSync(file)) ?? "/usr/lib/x86_64-linux-gnu/libIPSec_MB.so.1";

const isX64 = process.platform === "linux" && process.arch === "x64";
const flags = isX64 ? /^flags\b.*/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[0] ?? "" : "";

export const hasVectorAesHere: boolean = ["vaes", "vpclmulqdq", "gfni", "avx512ifma", "avx512vl"]
  .every((flag) => flags.split(" ").includes(flag));

export const isIpsecMbOfUse: boolean = hasVectorAesHere &&
  (process.env["CI"] !== undefined || existsSync(IPSEC_MB_FILE));
