/**
 * Servers that follow one another on one port, in a network of their own, and a load of new connections on them.
 * @module
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { type NetworkNamespace, openNetworkNamespace } from "./namespace.ts";
import { must, words } from "./run.ts";
import { jsonLines, type RunningServer, startServer } from "./server.ts";
import { goClient } from "./tools.ts";

export const PORT = 8443;

export interface Load {
  readonly ok: number;
  readonly failed: number;
  readonly resumed: number;
  /** @property port the client's own; 0: it never had one */
  readonly failures: readonly { readonly port: number; readonly error: string }[];
}

/**
 * Linux forgets a connection whose handshake of TCP ends at the very moment at which a listener closes: `moved` of the Go
 * client shows it without sotto, one in 330 closes at 8,000 connections a second. No server can do anything about one that
 * it never heard of, so all loads of a succession together may have one such: reset before the client had its first byte
 * out. A server that loses any does so more often.
 */
const LOST_BY_THE_KERNEL = 1;
const RESET_AT_ONCE =
  /^(dial tcp \S+: connect|write tcp \S+: write): (connection reset by peer|broken pipe)$/;

/** Connections that say nothing until they are asked. */
export interface Held {
  /** Makes a request over each. By local ports. */
  ask(): Promise<{ readonly answered: readonly number[]; readonly unanswered: readonly number[] }>;
}

export interface Succession {
  /** Of configuration and data, which all share. */
  readonly folder: string;
  readonly network: NetworkNamespace;
  /** In the order of their starts. */
  readonly servers: readonly RunningServer[];
  readonly start: (...args: string[]) => Promise<RunningServer>;
  /** 16 clients connect, ask and go, without a pause. @param args of the Go client's `load` */
  readonly load: (root: string, seconds: number, ...args: string[]) => Promise<Load>;
  /** Resolves once all are open. */
  readonly hold: (root: string, connections: number) => Promise<Held>;
  /**
   * How the others of a load failed, but for what the kernel may have lost.
   * @param victims local ports of those that were meant to end
   */
  lost(load: Load, victims?: ReadonlySet<number>): string[];
  /** Ends what is left. */
  close(): Promise<void>;
}

/** What is in the queue of a listener that closes goes to its successor. */
export async function openSuccession(toml: string): Promise<Succession> {
  const folder = mkdtempSync(join(tmpdir(), "sotto-succession-"));
  const network = await openNetworkNamespace(["net.ipv4.tcp_migrate_req=1"]);
  const servers: RunningServer[] = [];
  let lostByTheKernel = 0;
  return {
    folder,
    network,
    servers,
    async start(...more) {
      const args = words`--https-port ${PORT} ${more}`;
      const server = await startServer({ toml, folder, within: network.within, args });
      servers.push(server);
      return server;
    },
    async load(root, seconds, ...more) {
      const [command, ...before] = network.within;
      const args = words`${before} ${goClient()} load -addr 127.0.0.1:${PORT} -root ${root} -get
        -n 1000000 -seconds ${seconds} -concurrency 16 ${more}`;
      const finished = await must(command!, args, { timeoutMs: 90_000 });
      return jsonLines(finished.stdout)[0] as unknown as Load;
    },
    async hold(root, connections) {
      const [command, ...before] = network.within;
      const args = words`${before} ${goClient()} hold -addr 127.0.0.1:${PORT} -root ${root} -get
        -n ${connections} -seconds 60`;
      const isOpen = Promise.withResolvers<{ end(): void }>();
      const finished = must(command!, args, {
        timeoutMs: 90_000,
        input: (stdout, input) => {
          if (stdout.includes("open")) isOpen.resolve(input);
        },
      });
      finished.catch(isOpen.reject);
      const input = await isOpen.promise;
      return {
        async ask() {
          input.end();
          const [, asked] = jsonLines((await finished).stdout);
          return asked as unknown as Awaited<ReturnType<Held["ask"]>>;
        },
      };
    },
    lost({ failures }, victims = new Set()) {
      const lost = failures.filter(({ port }) => !victims.has(port)).map(({ error }) => error);
      const others = lost.filter((error) => !RESET_AT_ONCE.test(error));
      lostByTheKernel += lost.length - others.length;
      return lostByTheKernel > LOST_BY_THE_KERNEL ? lost : others;
    },
    async close() {
      await Promise.all(servers.map((server) => server.stop()));
      network.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Of a server that was told to end; null: it has not, or by a signal. */
export async function exitCode({ child }: RunningServer): Promise<number | null> {
  const deadline = Date.now() + 20_000;
  while (child.exitCode === null && child.signalCode === null && Date.now() < deadline) {
    await delay(20);
  }
  return child.exitCode;
}
