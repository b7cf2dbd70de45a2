/**
 * How Bun's allocator deals with memory that the collector has freed.
 *
 * By default it goes back to the kernel within milliseconds, and a server under load asks for it again at once: a thread
 * that gives back and three page faults for every handshake, one part in fifteen of its CPU time. The allocator reads
 * its settings when a process begins, so the process begins anew with them before it has loaded anything: the same pid,
 * descriptors and arguments. Processes that it starts inherit them.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import process from "node:process";

const SETTINGS = {
  /** A page that nobody has used for this many ms goes back. */
  MIMALLOC_PURGE_DELAY: "1000",
  /** Parts of a page that is in use do not. */
  MIMALLOC_PURGE_HOLES: "0",
} as const;

/**
 * Does not return where it begins anew. Does nothing elsewhere than on Bun and Linux, or where the environment has one of
 * the settings already: then this has been done, or somebody knows better. Nor under Bun's profiler, which stops this
 * thread by signals: one on its way would end the process, whose handlers are gone when it begins anew.
 */
export function beginWithAllocatorSettings(): void {
  if (process.versions["bun"] === undefined || process.platform !== "linux") return;
  if (Object.keys(SETTINGS).some((name) => process.env[name] !== undefined)) return;
  if (process.execArgv.some((flag) => flag.startsWith("--cpu-prof"))) return;
  try {
    const command = readFileSync("/proc/self/cmdline", "utf8").split("\0").slice(0, -1);
    process.execve?.(process.execPath, command, { ...process.env, ...SETTINGS });
  } catch {
    // As it began, then: dearer, not wrong.
  }
}
