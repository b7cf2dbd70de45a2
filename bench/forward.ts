/**
 * CPU time of `forward`: sotto on Bun beside haproxy, which does the same (mode tcp, TLS in front, plain TCP behind), in
 * the same run and before the same upstream. Wants haproxy, nginx (the upstream), h2load and curl:
 *
 *     bun run bench/forward.ts [ROUNDS]
 *
 * Every round measures every cell (server × load) once, in an order shuffled anew; ratios are taken within a round.
 *
 * @module
 */
import { truncate, writeFile } from "node:fs/promises";
import net from "node:net";
import { join } from "node:path";

import { freePort } from "../test/support/free-port.ts";
import {
  makeSetup,
  NAME,
  ours as edge,
  removeSetup,
  runtimeBinary,
  type Setup,
} from "./servers.ts";
import { parseOptions } from "./options.ts";
import { CLIENT_CORE, CpuClock, type Program, run, SERVER_CORE, start, stop } from "./processes.ts";
import { table } from "./report.ts";
import { type Estimate, estimate, estimateRatio, shuffled } from "./statistics.ts";

interface Load {
  readonly id: "connection" | "request" | "bulk";
  readonly unit: string;
  /** What one of it costs at most, as a multiple of haproxy's; undefined: no target here. */
  readonly target: number | undefined;
  /** Nanoseconds of one run in `unit`. */
  readonly scale: number;
  /** Runs it once. */
  run(port: number, setup: Setup): Promise<void>;
}

const CONNECTIONS = 1_000;
const REQUESTS = 40_000;
const BULK_BYTES = 512 * 1024 * 1024;

const LOADS: readonly Load[] = [
  {
    id: "connection",
    unit: "µs",
    target: undefined,
    scale: 1e3 * CONNECTIONS,
    // As many connections as requests: each is a handshake, a request and an end.
    run: (port) =>
      h2load(port, ["-n", String(CONNECTIONS), "-c", String(CONNECTIONS), "-r", "500"]),
  },
  {
    id: "request",
    unit: "µs",
    target: 0.6,
    scale: 1e3 * REQUESTS,
    run: (port) => h2load(port, ["-n", String(REQUESTS), "-c", "32"]),
  },
  {
    id: "bulk",
    unit: "s/GB",
    target: undefined,
    scale: BULK_BYTES,
    async run(port, setup) {
      const url = `https://${NAME}:${port}/bulk`;
      const args = ["--silent", "--show-error", "--cacert", setup.root, "-o", "/dev/null"];
      args.push("--resolve", `${NAME}:${port}:127.0.0.1`, "-w", "%{size_download}", url);
      const size = Number(await run(CLIENT_CORE, ["curl", ...args], setup.folder));
      if (size !== BULK_BYTES) throw new Error(`curl: ${size} bytes`);
    },
  },
];

async function h2load(port: number, flags: readonly string[]): Promise<void> {
  const common = ["--h1", "-t", "1", "--connect-to", `127.0.0.1:${port}`];
  const url = `https://${NAME}:${port}/small`;
  const said = await run(CLIENT_CORE, ["h2load", ...common, ...flags, url], "/");
  const counts = /requests: (\d+) total.* (\d+) succeeded/.exec(said);
  if (counts === null || counts[1] !== counts[2]) throw new Error(said);
}

class Cell {
  readonly load: Load;
  readonly values: number[] = [];
  readonly #server: Server;
  readonly #setup: Setup;
  readonly #clock: CpuClock;

  constructor(server: Server, load: Load, setup: Setup) {
    this.#server = server;
    this.load = load;
    this.#setup = setup;
    this.#clock = new CpuClock(server.pid);
  }

  async warmUp(): Promise<void> {
    await this.load.run(this.#server.port, this.#setup);
  }

  async measure(): Promise<void> {
    const before = await this.#clock.readAtRest();
    await this.load.run(this.#server.port, this.#setup);
    this.values.push((await this.#clock.readAtRest() - before) / this.load.scale);
  }
}

export interface ForwardResult {
  readonly load: string;
  readonly unit: string;
  readonly ours: Estimate;
  readonly haproxy: Estimate;
  readonly ratio: Estimate;
  readonly target: number | undefined;
}

/** @param say progress, a line at a time */
export async function measureForward(
  rounds: number,
  setup: Setup,
  say: (line: string) => void,
): Promise<ForwardResult[]> {
  const programs: Program[] = [];
  try {
    const upstream = await startNginx(setup, programs);
    const servers = [
      await startOurs(setup, upstream, programs),
      await startHaproxy(setup, upstream, programs),
    ] as const;
    const [ours, theirs] = servers.map((server) =>
      LOADS.map((load) => new Cell(server, load, setup))
    ) as [Cell[], Cell[]];
    const cells = [...ours, ...theirs];
    for (const cell of [...cells, ...cells]) await cell.warmUp();
    for (let round = 1; round <= rounds; round++) {
      for (const cell of shuffled(cells)) await cell.measure();
      say(`round ${round} of ${rounds}`);
    }
    return ours.map(({ load, values }, i) => ({
      load: load.id,
      unit: load.unit,
      ours: estimate(values),
      haproxy: estimate(theirs[i]!.values),
      ratio: estimateRatio(values, theirs[i]!.values),
      target: load.target,
    }));
  } finally {
    for (const program of programs) await stop(program);
  }
}

export function forwardTable(results: readonly ForwardResult[]): string {
  return table(
    ["one", "unit", "sotto", "haproxy", "sotto ÷ haproxy", "target"],
    results.map(({ load, unit, ours, haproxy, ratio, target }) => [
      load,
      unit,
      ours.median.toFixed(2),
      haproxy.median.toFixed(2),
      `${ratio.median.toFixed(2)} [${ratio.low.toFixed(2)}, ${ratio.high.toFixed(2)}]`,
      target === undefined ? "" : `≤ ${target}: ${ratio.low <= target ? "met" : "missed"}`,
    ]),
  );
}

interface Server {
  readonly pid: number;
  readonly port: number;
}

/** A page of few bytes, and a large file. */
async function startNginx(setup: Setup, programs: Program[]): Promise<number> {
  const port = await freePort();
  const { folder } = setup;
  await writeFile(join(folder, "bulk"), "");
  await truncate(join(folder, "bulk"), BULK_BYTES);
  const file = join(folder, "nginx.conf");
  await writeFile(
    file,
    `daemon off; master_process off; pid ${folder}/nginx.pid; error_log stderr error;
events { worker_connections 8192; }
http {
  access_log off; keepalive_requests 1000000; sendfile on; root ${folder};
  client_body_temp_path ${folder}; proxy_temp_path ${folder}; fastcgi_temp_path ${folder};
  uwsgi_temp_path ${folder}; scgi_temp_path ${folder};
  server { listen 127.0.0.1:${port} backlog=4096; location /small { return 200 "a few bytes"; } }
}
`,
  );
  const command = ["nginx", "-p", folder, "-c", file, "-e", "stderr"];
  await startProgram(CLIENT_CORE, command, port, folder, programs);
  return port;
}

async function startOurs(setup: Setup, upstream: number, programs: Program[]): Promise<Server> {
  const { folder } = setup;
  const port = await freePort();
  const file = join(folder, "forward.toml");
  await writeFile(
    file,
    `[limits]
maxPendingHandshakes = 10000

[[site]]
names = ["${NAME}"]
certificate = ${JSON.stringify(setup.cert)}
key = ${JSON.stringify(setup.key)}
forward = "127.0.0.1:${upstream}"
`,
  );
  const { program } = edge("bun", parseOptions(["handshake"]));
  const where = ["--listen", "127.0.0.1", "--https-port", String(port), "--http-port", "0"];
  const files = ["--config", file, "--data", join(folder, "forward-data")];
  const command = [runtimeBinary("bun"), program, ...files, ...where];
  return { port, pid: await startProgram(SERVER_CORE, command, port, folder, programs) };
}

/** One thread, and the same suite and group as the others. */
async function startHaproxy(setup: Setup, upstream: number, programs: Program[]): Promise<Server> {
  const { folder, cert, key } = setup;
  const port = await freePort();
  const pem = join(folder, "haproxy.pem");
  await run(CLIENT_CORE, ["sh", "-c", `cat '${cert}' '${key}' > '${pem}'`], folder);
  const file = join(folder, "haproxy.cfg");
  await writeFile(
    file,
    `global
  nbthread 1
  maxconn 9000
  ssl-default-bind-ciphersuites TLS_AES_128_GCM_SHA256
  ssl-default-bind-curves X25519
defaults
  mode tcp
  timeout client 60s
  timeout server 60s
  timeout connect 10s
listen forward
  bind 127.0.0.1:${port} ssl crt ${pem} alpn http/1.1 backlog 4096
  server upstream 127.0.0.1:${upstream}
`,
  );
  const command = ["haproxy", "-db", "-f", file];
  return { port, pid: await startProgram(SERVER_CORE, command, port, folder, programs) };
}

/** Its process id, once the port takes connections. Pinning does not fork: taskset becomes the program. */
async function startProgram(
  core: number,
  command: readonly string[],
  port: number,
  folder: string,
  programs: Program[],
): Promise<number> {
  const program = start(core, command, folder);
  program.child.stdout!.resume();
  programs.push(program);
  const end = performance.now() + START_TIMEOUT_MS;
  while (!await takesConnections(port)) {
    if (program.child.exitCode !== null || performance.now() > end) {
      throw new Error(`${command[0]} does not come up: ${program.errors()}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return program.child.pid!;
}

const START_TIMEOUT_MS = 20_000;

function takesConnections(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

if (import.meta.main) {
  const setup = await makeSetup();
  try {
    const rounds = Number(process.argv[2] ?? 30);
    const say = (line: string) => process.stderr.write(`${line}\n`);
    console.log(forwardTable(await measureForward(rounds, setup, say)));
  } finally {
    await removeSetup(setup);
  }
}
