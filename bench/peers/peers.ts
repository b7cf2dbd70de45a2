/**
 * Servers that are no part of a runtime, each with the smallest configuration that serves the same page with the same
 * certificates: one process, one thread that works, TLS_AES_128_GCM_SHA256 and X25519 where it can be said, everything
 * else as it comes.
 *
 * @module
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { freePort } from "../../test/support/free-port.ts";
import { type PeerName, PEERS } from "../options.ts";
import {
  cacheFolder,
  nextLine,
  type Program,
  SERVER_CORE,
  start,
  stop,
  takesConnections,
} from "../processes.ts";
import {
  NAME,
  PAGE,
  PUBLIC_NAME,
  RSA_NAME,
  type Server,
  type Setup,
  type Subject,
} from "../setup.ts";

/** Undefined: it is here. Else a sentence that says why it takes no part. */
export function whyWithout(peer: PeerName): string | undefined {
  const [program, ...args] = VERSION_COMMANDS[peer];
  try {
    execFileSync(program!, args, { stdio: "ignore" });
    return undefined;
  } catch {
    return `Without ${LABELS[peer]}: no ${program} is found by PATH.`;
  }
}

/** Its version; undefined: it is not here, or does not say. */
export function versionOf(peer: PeerName): string | undefined {
  const [program, ...args] = VERSION_COMMANDS[peer];
  try {
    const said = execFileSync("sh", ["-c", `"$@" 2>&1`, "sh", program!, ...args], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
    const first = /caddyserver\/caddy\/v2\s+v(\S+)/.exec(said) ?? /(\d+\.\d+\.\d+\S*)/.exec(said);
    return first?.[1];
  } catch {
    return undefined;
  }
}

const VERSION_COMMANDS: Record<PeerName, readonly string[]> = {
  go: ["go", "env", "GOVERSION"],
  caddy: ["caddy", "build-info"],
  nginx: ["nginx", "-v"],
  haproxy: ["haproxy", "-v"],
};

const LABELS: Record<PeerName, string> = {
  go: "Go",
  caddy: "Caddy",
  nginx: "nginx",
  haproxy: "haproxy",
};

/** Go twice: its crypto/tls tries one key after the other, so that their number counts. */
export function peerSubjects(peers: readonly PeerName[], runtime: Subject["runtime"]): Subject[] {
  return peers.flatMap((kind): Subject[] => {
    const one = { id: kind, runtime, kind, label: LABELS[kind], program: kind };
    if (kind !== "go") return [one];
    return [
      { ...one, echKeys: 1 },
      { ...one, id: "go-4", label: "Go, 4 keys", echKeys: 4 },
    ];
  });
}

/** @throws {Error} it does not come up; with what it said */
export async function startOther(subject: Subject, setup: Setup): Promise<Server> {
  const { kind } = subject;
  if (kind === "go") return await startGo(subject, setup);
  if (kind === "caddy") return await startCaddy(subject, setup);
  if (kind === "haproxy") {
    const command = (file: string): string[] => ["haproxy", "-db", "-f", file];
    return await startByFile(subject, setup, haproxyConfig, command);
  }
  if (kind === "nginx") {
    const where = ["-p", setup.folder, "-e", "stderr"];
    const command = (file: string): string[] => ["nginx", ...where, "-c", file];
    return await startByFile(subject, setup, nginxConfig, command);
  }
  throw new Error(`${kind} is none of ${PEERS.join(", ")}`);
}

async function startGo(subject: Subject, setup: Setup): Promise<Server> {
  const { folder, cert, key, rsa, cover, root } = setup;
  const binary = join(cacheFolder(), "go-peer");
  execFileSync("go", ["build", "-o", binary, "."], {
    cwd: join(import.meta.dirname, "go"),
    stdio: ["ignore", "ignore", "inherit"],
  });
  const flags = { cert, key, page: PAGE, "ech-keys": String(subject.echKeys ?? 1) };
  const names = {
    "rsa-name": RSA_NAME,
    "rsa-cert": rsa.cert,
    "rsa-key": rsa.key,
    "cover-name": PUBLIC_NAME,
    "cover-cert": cover.cert,
    "cover-key": cover.key,
  };
  const args = Object.entries({ ...flags, ...names }).flatMap(([name, value]) => [
    `-${name}`,
    value,
  ]);
  const program = start(SERVER_CORE, [binary, ...args], folder);
  const line = await nextLine(program, /^\{/, START_TIMEOUT_MS);
  const { pid, port, ech } = JSON.parse(line) as { pid: number; port: number; ech: string };
  return server(subject, program, port, { pid, root, ech });
}

/**
 * Caddy makes its ECH key and the certificate of the public name by itself. `install_trust` off and folders of its own: a
 * bench leaves nothing behind on the machine that it runs on.
 */
async function startCaddy(subject: Subject, setup: Setup): Promise<Server> {
  const port = await freePort();
  const base = join(setup.folder, subject.id);
  const storage = join(base, "storage");
  mkdirSync(storage, { recursive: true });
  const file = join(base, "caddy.json");
  await writeFile(file, JSON.stringify(caddyConfig(port, storage, setup), null, 2));
  const own = [`HOME=${base}`, `XDG_CONFIG_HOME=${base}/config`, `XDG_DATA_HOME=${base}/data`];
  const program = start(
    SERVER_CORE,
    ["env", ...own, "caddy", "run", "--config", file],
    setup.folder,
  );
  const pid = await whenListening(program, port);
  const authority = join(storage, "pki/authorities/local/root.crt");
  const roots = join(base, "roots.pem");
  const both = await Promise.all(
    [setup.root, authority].map((file) => whenThere(file, program)),
  );
  await writeFile(roots, both.join("\n"));
  const [id] = await readdir(join(storage, "ech/configs"));
  const config = await readFile(join(storage, "ech/configs", id!, "config.bin"));
  const list = Buffer.alloc(2 + config.length);
  list.writeUInt16BE(config.length);
  config.copy(list, 2);
  const ech = list.toString("base64");
  return server(subject, program, port, { pid, root: roots, ech });
}

function caddyConfig(port: number, storage: string, { cert, key, rsa }: Setup): unknown {
  const loaded = [{ certificate: cert, key }, { certificate: rsa.cert, key: rsa.key }];
  return {
    admin: { disabled: true, config: { persist: false } },
    logging: { logs: { default: { level: "ERROR" } } },
    storage: { module: "file_system", root: storage },
    apps: {
      http: {
        servers: {
          bench: {
            listen: [`127.0.0.1:${port}`],
            protocols: ["h1"],
            automatic_https: { disable: true },
            tls_connection_policies: [{}],
            routes: [{ handle: [{ handler: "static_response", body: PAGE }] }],
          },
        },
      },
      pki: { certificate_authorities: { local: { install_trust: false } } },
      tls: {
        certificates: { load_files: loaded },
        automation: { policies: [{ issuers: [{ module: "internal" }] }] },
        encrypted_client_hello: { configs: [{ public_name: PUBLIC_NAME }] },
      },
    },
  };
}

async function startByFile(
  subject: Subject,
  setup: Setup,
  configuration: (port: number, setup: Setup) => Promise<string>,
  command: (file: string) => string[],
): Promise<Server> {
  const port = await freePort();
  const file = join(setup.folder, `${subject.id}.conf`);
  await writeFile(file, await configuration(port, setup));
  const program = start(SERVER_CORE, command(file), setup.folder);
  const pid = await whenListening(program, port);
  return server(subject, program, port, { pid, root: setup.root, ech: undefined });
}

function nginxConfig(port: number, { folder, cert, key, rsa }: Setup): Promise<string> {
  const one = (name: string, cert: string, key: string, more: string): string =>
    `  server {
    listen 127.0.0.1:${port} ssl${more};
    server_name ${name};
    ssl_certificate ${cert};
    ssl_certificate_key ${key};
    location / { default_type text/plain; return 200 "${PAGE}"; }
  }
`;
  return Promise.resolve(`daemon off; master_process off; pid ${folder}/nginx-peer.pid;
error_log stderr error;
events { worker_connections 16384; }
http {
  access_log off; keepalive_timeout 600s; keepalive_requests 1000000;
  client_body_temp_path ${folder}; proxy_temp_path ${folder}; fastcgi_temp_path ${folder};
  uwsgi_temp_path ${folder}; scgi_temp_path ${folder};
  ssl_protocols TLSv1.3; ssl_ecdh_curve X25519:prime256v1;
  ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
${one(NAME, cert, key, " backlog=4096")}${one(RSA_NAME, rsa.cert, rsa.key, "")}}
`);
}

async function haproxyConfig(port: number, setup: Setup): Promise<string> {
  const { folder, rsa } = setup;
  const pem = async (name: string, { cert, key }: { cert: string; key: string }) => {
    const path = join(folder, `haproxy-${name}.pem`);
    const both = await Promise.all([cert, key].map((file) => readFile(file, "utf8")));
    await writeFile(path, both.join("\n"), { mode: 0o600 });
    return path;
  };
  const certificates = `crt ${await pem("p256", setup)} crt ${await pem("rsa", rsa)}`;
  return `global
  nbthread 1
  maxconn 9000
  ssl-default-bind-ciphersuites TLS_AES_128_GCM_SHA256
  ssl-default-bind-curves X25519:P-256
defaults
  mode http
  timeout client 600s
  timeout http-keep-alive 600s
  timeout server 60s
  timeout connect 10s
frontend bench
  bind 127.0.0.1:${port} ssl ${certificates} alpn http/1.1 backlog 4096
  http-request return status 200 content-type text/plain string "${PAGE}"
`;
}

function server(
  subject: Subject,
  program: Program,
  port: number,
  { pid, root, ech }: { pid: number; root: string; ech: string | undefined },
): Server {
  const addr = `127.0.0.1:${port}`;
  return {
    subject,
    pid,
    addr,
    rsaAddr: addr,
    root,
    ech,
    collect: () => Promise.resolve(),
    stop: () => stop(program),
  };
}

/** Its process id, once the port takes connections. Neither taskset nor env forks: they become the program. */
export async function whenListening(program: Program, port: number): Promise<number> {
  await until(program, () => takesConnections(port));
  return program.child.pid!;
}

async function whenThere(file: string, program: Program): Promise<string> {
  await until(program, () => Promise.resolve(existsSync(file)));
  return await readFile(file, "utf8");
}

async function until(program: Program, isSo: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + START_TIMEOUT_MS;
  while (!await isSo()) {
    if (program.child.exitCode !== null || performance.now() > end) {
      await stop(program);
      throw new Error(`It does not come up: ${program.errors()}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const START_TIMEOUT_MS = 20_000;
