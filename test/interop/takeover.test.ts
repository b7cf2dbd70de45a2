import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { afterAll, beforeAll, expect, test } from "vitest";

import { type NetworkNamespace, openNetworkNamespace } from "./support/namespace.ts";
import { must, words } from "./support/run.ts";
import { jsonLines, type RunningServer, SERVER, startServer } from "./support/server.ts";
import { goClient } from "./support/tools.ts";

const TOML = `
[[site]]
names = ["localhost"]
respond = "served"
`;
const PORT = 8443;
const HANDOVERS = 3;

let network: NetworkNamespace;
let folder: string;
const servers: RunningServer[] = [];
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "sotto-takeover-"));
  network = await openNetworkNamespace(["net.ipv4.tcp_migrate_req=1"]);
});
afterAll(async () => {
  await Promise.all(servers.map((server) => server.stop()));
  network?.close();
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
});

async function start(...more: string[]): Promise<RunningServer> {
  const server = await startServer({
    toml: TOML,
    folder,
    within: network.within,
    args: words`--https-port ${PORT} ${more}`,
  });
  servers.push(server);
  return server;
}

interface Load {
  readonly ok: number;
  readonly failed: number;
  readonly errors: Record<string, number>;
}

async function load(root: string, seconds: number): Promise<Load> {
  const [command, ...before] = network.within;
  const args = words`${before} ${goClient()} load -addr 127.0.0.1:${PORT} -root ${root} -get
    -n 1000000 -seconds ${seconds} -concurrency 16`;
  const finished = await must(command!, args, { timeoutMs: 90_000 });
  return jsonLines(finished.stdout)[0] as unknown as Load;
}

/** Of a server that was told to end. */
async function exitCode({ child }: RunningServer): Promise<number | null> {
  const deadline = Date.now() + 20_000;
  while (child.exitCode === null && child.signalCode === null && Date.now() < deadline) {
    await delay(20);
  }
  return child.exitCode;
}

test(`design 12: ${HANDOVERS} handovers of ${SERVER} by --takeover under load lose no connection`, async () => {
  let serving = await start();
  const loaded = load(serving.ready.root, 3 + HANDOVERS * 3);
  for (let i = 0; i < HANDOVERS; i++) {
    await delay(1_500);
    const next = await start("--takeover");
    expect(next.ready.pid).not.toBe(serving.ready.pid);
    // It was told to end, and does so in order.
    expect(await exitCode(serving), serving.output()).toBe(0);
    serving = next;
  }
  const result = await loaded;
  expect(result).toMatchObject({ failed: 0, errors: {} });
  expect(result.ok).toBeGreaterThan(500);
  // The last one is whole: its ready file is its own, its socket answers.
  const { health } = serving.ready;
  const curl = (path: string) =>
    must("curl", ["-sS", "--unix-socket", health!, `http://localhost${path}`]);
  expect((await curl("/readyz")).stdout).toBe("ready\n");
});

test("design 12: without --takeover a second process is refused, and told of it", async () => {
  const [serving] = servers.slice(-1);
  await expect(start()).rejects.toThrow(
    `Cannot serve on 127.0.0.1:${PORT}: sotto with process id ${serving!.ready.pid} serves there ` +
      "from the same data folder. Add --takeover",
  );
  expect((await load(serving!.ready.root, 1)).failed).toBe(0);
});
