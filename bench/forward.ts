/**
 * CPU time of `forward`: sotto on Bun beside haproxy (mode tcp) and, where nginx has its stream module, nginx, which do the
 * same (TLS in front, plain TCP behind), in the same run and before the same upstream; in bulk beside `Bun.serve` too, which
 * has the same bytes in memory and forwards nothing. Wants haproxy, nginx (the upstream too), h2load and curl.
 *
 * Before anything is timed every server must show suite and group, and give the upstream's bytes; every load offers this
 * suite and this group alone.
 *
 * Every round measures every cell (server × load) once, in an order shuffled anew; ratios are taken within a round.
 *
 * @module
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { freePort } from "../test/support/free-port.ts";
import { bulk } from "./record.ts";
import { BUN_SERVE, ours as edge, runtimeBinary, startServer } from "./servers.ts";
import { NAME, type Server as AnyServer, type Setup } from "./setup.ts";
import { SUITE } from "./client.ts";
import {
  CLIENT_CORE,
  CpuClock,
  type Program,
  run,
  SERVER_CORE,
  start,
  stop,
  takesConnections,
} from "./processes.ts";
import type { BenchOptions } from "./options.ts";
import { inRounds, inStarts } from "./rounds.ts";
import { table } from "./report.ts";
import { type Estimate, estimate, estimateRatio, shuffled } from "./statistics.ts";

interface Load {
  readonly id: "connection" | "request" | "bulk";
  readonly unit: string;
  /** Nanoseconds of one run in `unit`. */
  readonly scale: number;
  /** Runs it once. @throws {Error} not all went well */
  run(port: number, setup: Setup): Promise<void>;
}

const CONNECTIONS = 1_000;
const REQUESTS = 40_000;
/** Over one connection, one behind the other. */
const BODIES = 64;
const BODY = Buffer.alloc(8 * 1024 * 1024, "x");

const LOADS: readonly Load[] = [
  {
    id: "connection",
    unit: "µs",
    scale: 1e3 * CONNECTIONS,
    // As many connections as requests: each is a handshake, a request and an end.
    run: (port) =>
      h2load(port, ["-n", String(CONNECTIONS), "-c", String(CONNECTIONS), "-r", "500"]),
  },
  {
    id: "request",
    unit: "µs",
    scale: 1e3 * REQUESTS,
    run: (port) => h2load(port, ["-n", String(REQUESTS), "-c", "32"]),
  },
  {
    id: "bulk",
    unit: "s/GB",
    scale: BODIES * BODY.length,
    async run(port, setup) {
      const said = await curl(port, setup, `bulk?[1-${BODIES}]`, [
        "-o",
        "/dev/null",
        "-w",
        "%{size_download}\\n",
      ]);
      const sizes = said.trim().split("\n");
      if (sizes.length !== BODIES || sizes.some((size) => Number(size) !== BODY.length)) {
        throw new Error(`curl: ${said}`);
      }
    },
  },
];

async function h2load(port: number, flags: readonly string[]): Promise<void> {
  const common = ["--h1", "-t", "1", "--connect-to", `127.0.0.1:${port}`];
  const same = ["--tls13-ciphers", SUITE, "--groups", GROUP];
  const url = `https://${NAME}:${port}/small`;
  const said = await run(CLIENT_CORE, ["h2load", ...common, ...same, ...flags, url], "/");
  const counts = /requests: (\d+) total.* (\d+) succeeded/.exec(said);
  if (counts === null || counts[1] !== counts[2]) throw new Error(said);
  const agreed = /^Cipher: (\S+)\nServer Temp Key: (\S+)/m.exec(said);
  if (agreed?.[1] !== SUITE || agreed[2] !== GROUP) throw new Error(said);
}

/** What it writes to standard output. @param flags also where the body goes */
async function curl(
  port: number,
  setup: Setup,
  path: string,
  flags: readonly string[],
): Promise<string> {
  const who = ["--cacert", setup.root, "--resolve", `${NAME}:${port}:127.0.0.1`];
  const same = ["--http1.1", "--tls13-ciphers", SUITE, "--curves", GROUP, "--tlsv1.3"];
  const url = `https://${NAME}:${port}/${path}`;
  const all = ["--silent", "--show-error", "--fail", ...who, ...same, ...flags];
  return await run(CLIENT_CORE, ["curl", ...all, url], setup.folder);
}

const GROUP = "X25519";

class Cell {
  readonly load: Load;
  readonly label: string;
  readonly values: number[] = [];
  readonly #server: Server;
  readonly #setup: Setup;
  readonly #clock: CpuClock;

  constructor(server: Server, load: Load, setup: Setup) {
    this.#server = server;
    this.load = load;
    this.label = server.label;
    this.#setup = setup;
    this.#clock = new CpuClock(server.pid);
  }

  /** That the bytes are the upstream's. @throws {Error} they are not */
  async check(): Promise<void> {
    if (this.load.id !== "bulk") return;
    const file = join(this.#setup.folder, "bulk-received");
    await curl(this.#server.port, this.#setup, "bulk", ["-o", file]);
    const [is, shall] = [await readFile(file), BODY].map((bytes) =>
      createHash("sha256").update(bytes).digest("hex")
    );
    if (is !== shall) throw new Error(`${this.label}: the body is another one`);
  }

  /** @param connections as many at least, where the load is connections */
  async warmUp(connections: number): Promise<void> {
    const times = this.load.id === "connection" ? Math.ceil(connections / CONNECTIONS) : WARM_UPS;
    for (let i = 0; i < times; i++) await this.load.run(this.#server.port, this.#setup);
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
  readonly others: readonly {
    readonly label: string;
    readonly cost: Estimate;
    /** Sotto's by theirs. */
    readonly ratio: Estimate;
  }[];
}

/** Undefined: all that it wants is here. Else a sentence. */
export function whyNoForward(): string | undefined {
  const missing = ["nginx", "haproxy", "h2load", "curl"].filter((program) => {
    try {
      execFileSync("sh", ["-c", `command -v ${program}`], { stdio: "ignore" });
      return false;
    } catch {
      return true;
    }
  });
  return missing.length === 0 ? undefined : `Without forward: no ${missing.join(", ")} by PATH.`;
}

/**
 * @param say progress, a line at a time
 * @param note what a reader of the results must know
 */
export async function measureForward(
  options: BenchOptions,
  setup: Setup,
  say: (line: string) => void,
  note: (line: string) => void,
): Promise<ForwardResult[]> {
  const cells = await inStarts(
    options,
    say,
    (rounds, say, isFirst) =>
      measureStart({ ...options, rounds }, setup, say, (line) => isFirst && note(line)),
    ({ values }) => values,
  );
  return LOADS.map((load) => {
    const [own, ...others] = cells.filter((cell) => cell.load === load) as [Cell, ...Cell[]];
    return {
      load: load.id,
      unit: load.unit,
      ours: estimate(own.values),
      others: others.map(({ label, values }) => ({
        label,
        cost: estimate(values),
        ratio: estimateRatio(own.values, values),
      })),
    };
  });
}

async function measureStart(
  options: BenchOptions,
  setup: Setup,
  say: (line: string) => void,
  note: (line: string) => void,
): Promise<Cell[]> {
  const programs: Program[] = [];
  let memory: AnyServer | undefined;
  try {
    const upstream = await startNginx(setup, programs);
    const servers = [
      await startOurs(options, setup, upstream, programs),
      await startHaproxy(setup, upstream, programs),
    ];
    const module = streamModule();
    if (module === undefined) note("Without nginx in forward: it has no stream module.");
    else servers.push(await startNginxStream(module, setup, upstream, programs));
    const cells = servers.flatMap((server) => LOADS.map((load) => new Cell(server, load, setup)));
    memory = await startServer(bulk(BUN_SERVE), setup);
    const { pid, addr, subject: { label } } = memory;
    const port = Number(addr.split(":").at(-1));
    cells.push(new Cell({ label, pid, port }, LOADS.find(({ id }) => id === "bulk")!, setup));
    for (const cell of cells) await cell.check();
    say("all agree; warming up");
    for (const cell of cells) await cell.warmUp(options.warmUp);
    await inRounds(options, say, async () => {
      for (const cell of shuffled(cells)) await cell.measure();
    });
    return cells;
  } finally {
    await memory?.stop();
    for (const program of programs) await stop(program);
  }
}

export function forwardTable(results: readonly ForwardResult[]): string {
  return table(
    ["one", "unit", "sotto", "", "", "sotto ÷ it"],
    results.flatMap(({ load, unit, ours, others }) =>
      others.map(({ label, cost, ratio }) => [
        load,
        unit,
        ours.median.toFixed(2),
        label,
        cost.median.toFixed(2),
        `${ratio.median.toFixed(2)} (${ratio.low.toFixed(2)}-${ratio.high.toFixed(2)})`,
      ])
    ),
  );
}

interface Server {
  readonly label: string;
  readonly pid: number;
  readonly port: number;
}

/** A page of few bytes, and a large file. */
async function startNginx(setup: Setup, programs: Program[]): Promise<number> {
  const port = await freePort();
  const { folder } = setup;
  await writeFile(join(folder, "bulk"), BODY);
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

async function startOurs(
  options: BenchOptions,
  setup: Setup,
  upstream: number,
  programs: Program[],
): Promise<Server> {
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
  const { program } = edge("bun", options);
  const where = ["--listen", "127.0.0.1", "--https-port", String(port), "--http-port", "0"];
  const files = ["--config", file, "--data", join(folder, "forward-data")];
  const command = [runtimeBinary("bun"), program, ...files, ...where];
  const pid = await startProgram(SERVER_CORE, command, port, folder, programs);
  return { label: "sotto", port, pid };
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
  const pid = await startProgram(SERVER_CORE, command, port, folder, programs);
  return { label: "haproxy", port, pid };
}

/** Debian has it as a module of its own. "": it is built in; undefined: there is none. */
function streamModule(): string | undefined {
  const said = execFileSync("sh", ["-c", "nginx -V 2>&1"], { encoding: "utf8" });
  if (/--with-stream(?!=|_)/.test(said)) return "";
  const folder = /--modules-path=(\S+)/.exec(said)?.[1];
  const file = folder && join(folder, "ngx_stream_module.so");
  return file && existsSync(file) ? file : undefined;
}

async function startNginxStream(
  module: string,
  { folder, cert, key }: Setup,
  upstream: number,
  programs: Program[],
): Promise<Server> {
  const port = await freePort();
  const file = join(folder, "nginx-stream.conf");
  await writeFile(
    file,
    `${module === "" ? "" : `load_module ${module};`}
daemon off; master_process off; pid ${folder}/nginx-stream.pid; error_log stderr error;
events { worker_connections 16384; }
stream {
  server {
    listen 127.0.0.1:${port} ssl backlog=4096;
    ssl_certificate ${cert}; ssl_certificate_key ${key};
    ssl_protocols TLSv1.3; ssl_ecdh_curve X25519;
    ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
    proxy_pass 127.0.0.1:${upstream};
  }
}
`,
  );
  const command = ["nginx", "-p", folder, "-c", file, "-e", "stderr"];
  const pid = await startProgram(SERVER_CORE, command, port, folder, programs);
  return { label: "nginx", port, pid };
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

/** Runs of a load that is many requests, or many bytes. */
const WARM_UPS = 3;
const START_TIMEOUT_MS = 20_000;
