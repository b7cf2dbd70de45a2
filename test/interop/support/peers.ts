/**
 * nginx and haproxy as upstreams: they parse what sotto tells them of a connection, and say what they understood.
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import net from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { freePort } from "../../support/free-port.ts";

export interface Peer {
  readonly port: number;
  stop(): Promise<void>;
}

/** Answers with the addresses in the PROXY header, on a port and on a unix socket. */
export async function startNginx(folder: string): Promise<Peer & { readonly path: string }> {
  const port = await freePort();
  const path = join(folder, "nginx.sock");
  const file = join(folder, "nginx.conf");
  writeFileSync(
    file,
    `daemon off;
master_process off;
pid ${folder}/nginx.pid;
error_log stderr warn;
events {}
http {
  access_log off;
  client_body_temp_path ${folder};
  proxy_temp_path ${folder};
  fastcgi_temp_path ${folder};
  uwsgi_temp_path ${folder};
  scgi_temp_path ${folder};
  server {
    listen 127.0.0.1:${port} proxy_protocol;
    listen unix:${path} proxy_protocol;
    default_type text/plain;
    return 200 "$proxy_protocol_addr $proxy_protocol_port $proxy_protocol_server_addr $proxy_protocol_server_port";
  }
}
`,
  );
  const stop = await startProgram("nginx", ["-p", folder, "-c", file, "-e", "stderr"], port);
  return { port, path, stop };
}

/** Answers with the addresses and the name in the PROXY header; checks its CRC32C where it has one. */
export async function startHaproxy(folder: string): Promise<Peer> {
  const port = await freePort();
  const file = join(folder, "haproxy.cfg");
  writeFileSync(
    file,
    `defaults
  mode http
  timeout client 10s
  timeout connect 10s
  timeout server 10s
frontend said
  bind 127.0.0.1:${port} accept-proxy
  http-request return status 200 content-type text/plain lf-string "%[src] %[src_port] %[dst] %[dst_port] %[fc_pp_authority]"
`,
  );
  return { port, stop: await startProgram("haproxy", ["-db", "-f", file], port) };
}

/** OpenSSL's own server, in TLS 1.2: nothing that sotto speaks. */
export async function startOpensslServer(
  pair: { readonly certificate: string; readonly key: string },
): Promise<Peer> {
  const port = await freePort();
  const args = ["s_server", "-accept", `127.0.0.1:${port}`, "-cert", pair.certificate];
  args.push("-key", pair.key, "-no_tls1_3", "-www", "-quiet");
  return { port, stop: await startProgram("openssl", args, port) };
}

const running = new Set<ChildProcess>();
process.once("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

/** Resolves when the port takes connections. */
async function startProgram(
  command: string,
  args: readonly string[],
  port: number,
): Promise<() => Promise<void>> {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] });
  running.add(child);
  let said = "";
  child.stdout.on("data", (chunk: Buffer) => said += chunk.toString());
  child.stderr.on("data", (chunk: Buffer) => said += chunk.toString());
  let over = false;
  const ended = new Promise<void>((resolve) => {
    const end = () => {
      over = true;
      running.delete(child);
      resolve();
    };
    child.once("error", (error) => {
      said += error.message;
      end();
    });
    child.once("close", end);
  });
  const deadline = Date.now() + 10_000;
  // Somebody else may take connections there.
  while (!await takesConnections(port) || over) {
    if (over || Date.now() > deadline) {
      child.kill("SIGKILL");
      throw new Error(`${command} does not serve: ${said}`);
    }
    await delay(50);
  }
  return async () => {
    child.kill("SIGTERM");
    const late = setTimeout(() => child.kill("SIGKILL"), 3_000);
    await ended;
    clearTimeout(late);
  };
}

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
