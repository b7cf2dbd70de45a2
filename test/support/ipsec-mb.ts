/** Where Debian keeps libIPSec_MB, and whether this processor has what it is for. */
import { existsSync, readFileSync } from "node:fs";
import process from "node:process";

export const IPSEC_MB_FILE = "/usr/lib/x86_64-linux-gnu/libIPSec_MB.so.1";

/** In CI a missing library is a failure, a processor without vector AES is none. */
export const isIpsecMbOfUse: boolean = process.platform === "linux" && process.arch === "x64" &&
  (process.env["CI"] !== undefined || existsSync(IPSEC_MB_FILE)) &&
  ["vaes", "vpclmulqdq", "gfni", "avx512ifma", "avx512vl"].every((flag) =>
    new RegExp(`^flags\\b.*\\b${flag}\\b`, "m").test(readFileSync("/proc/cpuinfo", "utf8"))
  );
