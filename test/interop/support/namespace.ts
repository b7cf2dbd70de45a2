/**
 * A network of its own for a test: loopback and nothing else, with settings that are nobody else's. Wants root.
 * @module
 */
import { spawn } from "node:child_process";
import { readlinkSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";

import { must } from "./run.ts";

export interface NetworkNamespace {
  /** Words before a command that is to run in it. */
  readonly within: readonly string[];
  close(): void;
}

/** @param settings of sysctl, as `net.ipv4.tcp_migrate_req=1` */
export async function openNetworkNamespace(settings: readonly string[]): Promise<NetworkNamespace> {
  const holder = spawn("unshare", ["--net", "sleep", "900"], { stdio: "ignore" });
  const close = () => void holder.kill("SIGKILL");
  process.once("exit", close);
  const place = `/proc/${holder.pid}/ns/net`;
  const outside = readlinkSync("/proc/self/ns/net");
  const deadline = Date.now() + 10_000;
  while (read(place) === undefined || read(place) === outside) {
    if (Date.now() > deadline) throw new Error("no network namespace: unshare wants root");
    await delay(10);
  }
  const within = ["nsenter", `--net=${place}`];
  await must("nsenter", [...within.slice(1), "ip", "link", "set", "lo", "up"]);
  await must("nsenter", [...within.slice(1), "sysctl", "-q", "-w", ...settings]);
  return {
    within,
    close() {
      process.off("exit", close);
      close();
    },
  };
}

function read(link: string): string | undefined {
  try {
    return readlinkSync(link);
  } catch {
    return undefined;
  }
}
