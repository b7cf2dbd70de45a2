/**
 * `forward` and `passthrough` between real clients and real servers.
 */
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import tls from "node:tls";

import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";

import { encodeProxyV2 } from "../../src/edge/proxy-protocol.ts";
import { freePort } from "../support/free-port.ts";
import { interopCertificates } from "./support/fixtures.ts";
import { type Peer, startHaproxy, startNginx, startOpensslServer } from "./support/peers.ts";
import { must, run, words } from "./support/run.ts";
import { type RunningServer, SERVER, startServer } from "./support/server.ts";
import { go } from "./support/tools.ts";

const IN_FULL = process.env["CI"] !== undefined;
const MEGABYTE = 1024 * 1024;
const BULK_BYTES = (IN_FULL ? 1024 : 512) * MEGABYTE;
/**
 * What may be added to the memory of the process while bulk goes through: half as much again as the worst of some runs on
 * a busy machine. On V8 most of it is buffers that are not collected yet: it ends there, also with 4 GB.
 */
const MAX_GROWTH_BYTES = { bun: 64, node: 192, deno: 320 }[SERVER] * MEGABYTE;
const CONNECTIONS = 10_000;
/**
 * What each of them may add: two sockets, a TLS connection and what splices them. Half as much again as the worst of some
 * runs: what a handshake leaves to the collector is in it. On Deno each socket waits with a buffer to read into.
 */
const MAX_BYTES_EACH = { bun: 13, node: 30, deno: 44 }[SERVER] * 1024;
/** Each has two descriptors in the process that carries it: where the limit has no room for all, two processes do. */
const WORKERS = 2 * CONNECTIONS + 200 > openFilesLimit() ? 2 : 1;

/** Upstreams of the tests' own, by name: where they listen is in the configuration from the start. */
const OWN = ["dying", "stalling", "refusing", "returning", "source", "sink", "holding"] as const;
type Own = (typeof OWN)[number];

let folder: string;
let nginx: Peer & { readonly path: string };
let haproxy: Peer;
let openssl: Peer;
let server: RunningServer;
const ports = {} as Record<Own, number>;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "sotto-forward-"));
  for (const name of OWN) ports[name] = await freePort();
  nginx = await startNginx(folder);
  haproxy = await startHaproxy(folder);
  openssl = await startOpensslServer(interopCertificates().shared);
  const site = (name: string, lines: string) =>
    `[[site]]\nnames = ["${name}.localhost"]\n${lines}\n`;
  server = await startServer({
    toml: [
      site("nginx-v1", `forward = "127.0.0.1:${nginx.port}"\nproxy_protocol = 1`),
      site("nginx-v2", `forward = "127.0.0.1:${nginx.port}"\nproxy_protocol = 2`),
      site("nginx-unix", `forward = "unix:${nginx.path}"\nproxy_protocol = 2`),
      site("haproxy-v1", `forward = "127.0.0.1:${haproxy.port}"\nproxy_protocol = 1`),
      site("haproxy-v2", `forward = "127.0.0.1:${haproxy.port}"\nproxy_protocol = 2`),
      ...OWN.map((name) =>
        site(
          name,
          `forward = "127.0.0.1:${ports[name]}"` +
            (name === "returning" ? `\nhealth_check = "100ms"` : ""),
        )
      ),
      site(
        "several",
        `forward = ["127.0.0.1:${ports.refusing}", "127.0.0.1:${nginx.port}"]\nproxy_protocol = 1`,
      ),
      `[[site]]\nnames = ["*.wild.test"]\npassthrough = "127.0.0.1:${openssl.port}"\n`,
    ].join("\n"),
  });
});
afterAll(async () => {
  await server?.stop();
  await Promise.all([nginx?.stop(), haproxy?.stop(), openssl?.stop()]);
  rmSync(folder, { recursive: true, force: true });
});

const at = (name: string, path: string = "/", of: RunningServer = server) =>
  words`--silent --show-error --cacert ${of.ready.root}
  --resolve ${name}.localhost:${of.port}:127.0.0.1
  https://${name}.localhost:${of.port}${path}`;

/** Where the client was, as curl knows it, behind what the server answered. */
const WITH_PORT = ["--write-out", "\n%{local_ip} %{local_port}"];

describe(`the PROXY header of ${SERVER} is understood`, () => {
  test.each(["nginx-v1", "nginx-v2", "nginx-unix"])("by nginx: %s", async (name) => {
    const { stdout } = await must("curl", [...at(name), ...WITH_PORT]);
    const [said, client] = stdout.split("\n");
    expect(said).toBe(`${client} 127.0.0.1 ${server.port}`);
  });

  test.each(["haproxy-v1", "haproxy-v2"])("by haproxy: %s", async (name) => {
    const { stdout } = await must("curl", [...at(name), ...WITH_PORT]);
    const [said, client] = stdout.split("\n");
    const authority = name === "haproxy-v2" ? "haproxy-v2.localhost" : "";
    expect(said).toBe(`${client} 127.0.0.1 ${server.port} ${authority}`);
  });

  test("by haproxy with every TLV and a checksum; and with a wrong checksum not", async () => {
    const header = encodeProxyV2({
      endpoints: {
        sourceAddress: "2001:db8::7",
        sourcePort: 4711,
        destinationAddress: "2001:db8::8",
        destinationPort: 443,
      },
      alpn: "http/1.1",
      authority: "every.example",
      tls: {
        version: "TLSv1.3",
        cipher: "TLS_AES_128_GCM_SHA256",
        client: { commonName: "Zoë", verified: true },
      },
      checksum: true,
    });
    expect(await ask(haproxy.port, header)).toMatch(
      /^HTTP\/1\.1 200 [^]*\r\n\r\n2001:db8::7 4711 2001:db8::8 443 every\.example$/,
    );
    const wrong = header.slice();
    wrong[20]! ^= 1;
    expect(await ask(haproxy.port, wrong)).not.toContain("200");
  });
});

describe(`an upstream behind ${SERVER}`, () => {
  test("that dies in the middle of an answer is no whole answer", async () => {
    await own("dying", (socket) => {
      socket.once("data", () => {
        socket.write("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf of", () => {
          setTimeout(() => socket.resetAndDestroy(), 50);
        });
      });
    });
    // Ended by the connection's end: only close_notify could make this whole.
    const { code } = await run("curl", [...at("dying")]);
    expect(code).toBe(56);
  });

  test("that stalls is left when nothing has moved for the time of idleness", async () => {
    const seen = await own("stalling", (socket) => void socket.resume());
    const impatient = await startServer({
      toml: `[limits]\nidleTimeoutMs = 2_000\n[[site]]\nnames = ["stalling.localhost"]\n` +
        `forward = "127.0.0.1:${ports.stalling}"\n`,
    });
    onTestFinished(() => impatient.stop());
    const began = Date.now();
    const { code } = await run("curl", [...at("stalling", "/", impatient)]);
    expect(code).toBe(52);
    expect(Date.now() - began).toBeGreaterThan(1_500);
    await until(() => seen.open === 0);
  });

  test("that refuses is an end without an answer, and of several another one answers", async () => {
    const { code } = await run("curl", [...at("refusing")]);
    expect([35, 52, 55, 56]).toContain(code);
    for (let i = 0; i < 4; i++) {
      const { stdout } = await must("curl", [...at("several")]);
      expect(stdout).toContain("127.0.0.1");
    }
  });

  test("that comes back is found by its checks", async () => {
    await until(() => server.events("upstream_failed").length > 0);
    await own("returning", (socket) => {
      socket.on("data", () => socket.end("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nback"));
    });
    await until(() => server.events("upstream_is_back").length > 0);
    const { stdout } = await must("curl", [...at("returning")]);
    expect(stdout).toBe("back");
  });
});

test(`a reload of ${SERVER} leaves connections at an upstream that the site has no more, and counts them when it is back`, async () => {
  const greet = (name: string) => (socket: net.Socket) => {
    socket.write(`${name}\n`);
    socket.on("data", (chunk: Buffer) => socket.write(chunk));
  };
  await own("holding", greet("one"));
  const two = await own("returning", greet("two"));
  const forward = (...names: Own[]) =>
    `[[site]]\nnames = ["changing.localhost"]\n` +
    `forward = ${JSON.stringify(names.map((name) => `127.0.0.1:${ports[name]}`))}\n`;
  const changing = await startServer({ toml: forward("holding") });
  onTestFinished(() => changing.stop());
  const reload = async (toml: string) => {
    const before = changing.events("reloaded").length;
    writeFileSync(join(changing.folder, "sotto.toml"), toml);
    process.kill(changing.ready.pid, "SIGHUP");
    await until(() => changing.events("reloaded").length > before);
  };

  const first = await dial("changing.localhost", changing);
  expect(await first.line()).toBe("one");
  await reload(forward("returning"));
  const second = await dial("changing.localhost", changing);
  expect(await second.line()).toBe("two");
  first.socket.write("still here\n");
  expect(await first.line()).toBe("still here");
  await reload(forward("holding", "returning"));
  second.socket.end();
  await until(() => two.open === 0);
  for (let i = 0; i < 4; i++) {
    const other = await dial("changing.localhost", changing);
    expect(await other.line()).toBe("two");
    other.socket.end();
    await until(() => two.open === 0);
  }
  first.socket.write("and still\n");
  expect(await first.line()).toBe("and still");
});

test(
  `${CONNECTIONS} connections are open at once through ${SERVER}, workers = ${WORKERS}`,
  async () => {
    const seen = await own("holding", (socket) => {
      socket.write("x");
      socket.resume();
      socket.on("end", () => socket.end());
    });
    const holder = await startServer({
      toml: `workers = ${WORKERS}\n[[site]]\nnames = ["holding.localhost"]\n` +
        `forward = "127.0.0.1:${ports.holding}"\n[[site]]\nnames = ["nginx-v2.localhost"]\n` +
        `forward = "127.0.0.1:${nginx.port}"\nproxy_protocol = 2\n`,
    });
    onTestFinished(() => holder.stop());
    const memory = () =>
      (holder.ready.workers ?? [holder.ready.pid]).reduce((sum, pid) => sum + rss(pid), 0);
    const before = memory();
    let checked: Promise<void> | undefined;
    const check = async (input: { end(): void }) => {
      try {
        await until(() => seen.open >= CONNECTIONS, 30_000);
        const { stdout } = await must("curl", [...at("nginx-v2", "/", holder)]);
        expect(stdout).toContain("127.0.0.1");
        const each = (memory() - before) / CONNECTIONS;
        console.log(`${(each / 1024).toFixed(1)} KiB for each connection`);
        expect(each).toBeLessThan(MAX_BYTES_EACH);
      } finally {
        input.end();
      }
    };
    const held = words`hold -addr 127.0.0.1:${holder.port} -root ${holder.ready.root}
    -name holding.localhost -n ${CONNECTIONS} -seconds 120 -concurrency 16`;
    const [result] = await go<{ open: number }>(held, {
      timeoutMs: 180_000,
      input: (stdout, input) => {
        if (!stdout.includes("open") || checked !== undefined) return;
        checked = check(input);
        checked.catch(() => {}); // told below
      },
    });
    expect(result?.open).toBe(CONNECTIONS);
    await checked;
    await until(() => seen.open === 0, 30_000);
  },
  240_000,
);

describe(`${BULK_BYTES / MEGABYTE} MB through ${SERVER} with bounded memory`, () => {
  test("to a reader that is slower than the upstream", async () => {
    const piece = Buffer.alloc(256 * 1024, "0123456789abcdef");
    await own("source", (socket) => {
      socket.once("data", () => {
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${BULK_BYTES}\r\n\r\n`);
        let left = BULK_BYTES;
        const more = (): void => {
          while (left > 0) {
            left -= piece.length;
            if (!socket.write(piece)) return void socket.once("drain", more);
          }
          socket.end();
        };
        more();
      });
    });
    const memory = await watchMemory();
    const { stdout } = await must(
      "curl",
      [...at("source"), "--limit-rate", "128M", "-o", "/dev/null", "-w", "%{size_download}"],
      { timeoutMs: 120_000 },
    );
    expect(Number(stdout)).toBe(BULK_BYTES);
    expect(memory.growth()).toBeLessThan(MAX_GROWTH_BYTES);
  }, 150_000);

  test("to an upstream that is slower than the client", async () => {
    let received = 0;
    const seen = await own("sink", (socket) => {
      let due = 0;
      socket.on("data", (chunk: Buffer) => {
        received += chunk.length;
        due += chunk.length;
        if (received >= BULK_BYTES) {
          socket.end("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nkept");
        } else if (due > MEGABYTE) {
          // about 130 MB a second
          due = 0;
          socket.pause();
          setTimeout(() => socket.resume(), 6);
        }
      });
    });
    const memory = await watchMemory();
    const { stdout } = await must("bash", [
      "-c",
      `head -c ${BULK_BYTES} /dev/zero | curl -T - -H 'Expect:' -H 'Transfer-Encoding:' ` +
      `-H 'Content-Length: ${BULK_BYTES}' "$@"`,
      "curl",
      ...at("sink"),
    ], { timeoutMs: 120_000 });
    expect(stdout).toBe("kept");
    expect(received).toBeGreaterThan(BULK_BYTES);
    expect(memory.growth()).toBeLessThan(MAX_GROWTH_BYTES);
    await until(() => seen.open === 0);
  }, 150_000);
});

describe(`${SERVER} passes on what it does not decrypt`, () => {
  test("to OpenSSL, which speaks TLS 1.2 there", async () => {
    const { stdout } = await must(
      "curl",
      words`--silent --show-error --cacert ${interopCertificates().caFile}
      --resolve any.wild.test:${server.port}:127.0.0.1 https://any.wild.test:${server.port}/`,
    );
    expect(stdout).toContain("TLSv1.2");
  });
});

interface Seen {
  /** Connections that are open now. */
  open: number;
}

/** An upstream in this process, at the place that the configuration has for it, until the test is over. */
async function own(name: Own, serve: (socket: net.Socket) => void): Promise<Seen> {
  const seen = { open: 0 };
  const sockets = new Set<net.Socket>();
  const upstream = net.createServer({ allowHalfOpen: true }, (socket) => {
    seen.open++;
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("end", () => socket.end());
    socket.on("close", () => {
      seen.open--;
      sockets.delete(socket);
    });
    serve(socket);
  });
  await new Promise<void>((resolve, reject) => {
    upstream.once("error", reject);
    upstream.listen({ port: ports[name], host: "127.0.0.1", backlog: 4096 }, resolve);
  });
  onTestFinished(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise<void>((resolve) => upstream.close(() => resolve()));
  });
  return seen;
}

/** A client that reads a line at a time. */
async function dial(name: string, of: RunningServer) {
  const socket = tls.connect({
    host: "127.0.0.1",
    port: of.port,
    servername: name,
    ca: readFileSync(of.ready.root),
  });
  onTestFinished(() => void socket.destroy());
  await once(socket, "secureConnect");
  const lines = createInterface({ input: socket })[Symbol.asyncIterator]();
  return { socket, line: async () => (await lines.next()).value };
}

/** What a server answers to a plain request behind `header`. */
function ask(port: number, header: Uint8Array): Promise<string> {
  return new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1");
    let said = "";
    socket.on("data", (chunk: Buffer) => said += chunk.toString());
    socket.on("error", () => {});
    socket.on("close", () => resolve(said));
    socket.write(header);
    socket.write("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  });
}

/** How much the server's memory has grown since, at its worst. */
async function watchMemory(): Promise<{ growth(): number }> {
  const before = rss();
  let worst = before;
  const timer = setInterval(() => worst = Math.max(worst, rss()), 100);
  onTestFinished(() => clearInterval(timer));
  await delay(0);
  return {
    growth() {
      const growth = Math.max(worst, rss()) - before;
      console.log(
        `RSS ${(before / MEGABYTE).toFixed(0)} MB, then ${(growth / MEGABYTE).toFixed(0)} more`,
      );
      return growth;
    },
  };
}

function rss(pid: number = server.ready.pid): number {
  const status = readFileSync(`/proc/${pid}/status`, "latin1");
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) * 1024;
}

function openFilesLimit(): number {
  const limits = readFileSync("/proc/self/limits", "latin1");
  return Number(/^Max open files\s+\S+\s+(\d+)/m.exec(limits)?.[1]);
}

async function until(condition: () => boolean, withinMs: number = 10_000): Promise<void> {
  const deadline = Date.now() + withinMs;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`not within ${withinMs} ms`);
    await delay(20);
  }
}
