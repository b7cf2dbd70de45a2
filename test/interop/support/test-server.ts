/**
 * sotto with what `edge.ts` has no option for: an app, and a line to ask for its memory.
 *
 * Takes `edge.ts run`'s options. The site of `echo.localhost` gives back what is POSTed to it. For each line on standard
 * input it collects garbage and logs the event "state".
 *
 * @module
 */
import process from "node:process";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";

import { parseCommandLine } from "../../../src/cli/arguments.ts";
import { openLog } from "../../../src/cli/log.ts";
import { writeReadyFile } from "../../../src/cli/ready-file.ts";
import { loadConfig } from "../../../src/config/load.ts";
import type { App } from "../../../src/edge/handlers/app.ts";
import { start } from "../../../src/start.ts";

export interface ServerState {
  readonly event: "state";
  /** Bytes, after a forced collection. */
  readonly rss: number;
  readonly live: number;
  readonly exceptions: number;
  readonly endedByLimit: Readonly<Record<string, number>>;
  readonly refused: Readonly<Record<string, number>>;
}

const args = parseCommandLine(process.argv.slice(2));
if (args.name !== "run" || args.config === undefined || args.data === undefined) {
  throw new Error("wants --config and --data");
}
const loaded = await loadConfig(args.config);
const config = {
  ...loaded,
  sites: loaded.sites.map((site) =>
    site.names.includes("echo.localhost")
      ? { ...site, handler: { kind: "app", app: "echo" } as const }
      : site
  ),
};

const echo: App = async (request) =>
  new URL(request.url).pathname === "/stream"
    ? new Response(request.body)
    : new Response(await request.arrayBuffer());

const running = await start({
  config,
  dataFolder: args.data,
  https: { addresses: args.listen, ports: [args.httpsPort ?? 0], option: "--https-port" },
  http: { addresses: args.listen, ports: [args.httpPort ?? 0], option: "--http-port" },
  apps: { echo },
  log: openLog({ form: "json", write: (text) => process.stderr.write(text), now: Date.now }),
});

await writeReadyFile(args.readyFile!, {
  pid: process.pid,
  workers: running.workers ?? null,
  runtime: running.runtime.name,
  https: running.https,
  http: running.http,
  root: running.root,
  health: running.health ?? null,
  ech: running.ech ?? null,
  sites: config.sites.map((site) => ({ names: site.names, handler: site.handler.kind })),
});
process.on("SIGTERM", () => process.exit(0));

createInterface({ input: process.stdin }).on("line", async () => {
  await collect();
  const { counters } = running;
  const state: ServerState = {
    event: "state",
    rss: process.memoryUsage().rss,
    live: counters.live,
    exceptions: counters.exceptions,
    endedByLimit: counters.limits,
    refused: counters.refused,
  };
  process.stdout.write(JSON.stringify(state) + "\n");
});

/** More than once, with turns of the loop between: what finalizers let go is garbage only then. */
async function collect(): Promise<void> {
  const { Bun, gc } = globalThis as {
    Bun?: { gc(synchronous: boolean): void };
    gc?: () => void;
  };
  for (let i = 0; i < 4; i++) {
    if (Bun !== undefined) Bun.gc(true);
    else if (gc !== undefined) gc();
    else throw new Error("the collector is out of reach: start with --expose-gc");
    await delay(50);
  }
}
