/**
 * What a flood of RSA-4096 handshakes does to the others, with the thread for slow signatures and without. Not one of
 * the bench's subjects: it decides the default of `[crypto] slow_signatures`.
 *
 *     bun bench/slow-signatures.ts [bun|node|deno]   the runtime that serves
 *
 * @module
 */
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

import { connect } from "../src/client/client.ts";
import { connectTcp } from "../src/client/tcp-transport.ts";
import { chooseCrypto } from "../src/crypto/choose.ts";

const ROOT = join(import.meta.dirname, "..");
const ROUNDS = 5;
const MS_PER_ROUND = 4000;
const FLOOD = 8;
const PROBE_EVERY_MS = 5;

const crypto = chooseCrypto({ force: "native" });

/** One full handshake; ms. */
async function handshake(port: number, serverName: string): Promise<number> {
  const before = performance.now();
  const client = await connect(await connectTcp("127.0.0.1", port), { crypto, serverName });
  const ms = performance.now() - before;
  await client.close();
  return ms;
}

/** In a process of its own: the probe is not to wait for it. */
async function flood(port: number): Promise<void> {
  let count = 0;
  process.on("SIGTERM", () => {
    process.stdout.write(String(count));
    process.exit(0);
  });
  await Promise.all(Array.from({ length: FLOOD }, async () => {
    for (;;) {
      await handshake(port, "rsa.localhost");
      count++;
    }
  }));
}

interface Round {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  readonly rsaPerSecond: number;
}

async function round(runtime: string, mode: string, folder: string): Promise<Round> {
  const ready = join(folder, "ready.json");
  rmSync(ready, { force: true });
  writeFileSync(
    join(folder, "sotto.toml"),
    `auto_https = "no_redirects"\n[crypto]\nslow_signatures = "${mode}"\n[ech]\nenabled = false\n` +
      `[[site]]\nnames = ["rsa.localhost"]\ncertificate = "rsa.crt"\nkey = "rsa.key"\nrespond = "x"\n` +
      `[[site]]\nnames = ["ec.localhost"]\nrespond = "x"\n`,
  );
  const bin = join(ROOT, "node_modules/.bin", runtime);
  const args = [
    ...(runtime === "deno" ? ["run", "-A"] : []),
    join(ROOT, "edge.ts"),
    "--config",
    join(folder, "sotto.toml"),
    "--data",
    join(folder, "data"),
    "--listen",
    "127.0.0.1",
    "--https-port",
    "0",
    "--ready-file",
    ready,
  ];
  const server = spawn(bin, args, { stdio: "ignore" });
  while (!existsSync(ready)) await pause(20);
  const [place] = (JSON.parse(readFileSync(ready, "utf8")) as { https: string[] }).https;
  const port = Number(place!.split(":").at(-1));
  for (let i = 0; i < 20; i++) {
    await handshake(port, "ec.localhost");
    await handshake(port, "rsa.localhost");
  }
  await pause(500);
  const flooder = spawn(process.execPath, [import.meta.filename, "flood", String(port)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let count = "";
  flooder.stdout.on("data", (text: Buffer) => count += text.toString());
  await pause(1000);
  const times: number[] = [];
  const endMs = performance.now() + MS_PER_ROUND;
  while (performance.now() < endMs) {
    times.push(await handshake(port, "ec.localhost"));
    await pause(PROBE_EVERY_MS);
  }
  flooder.kill("SIGTERM");
  await new Promise((resolve) => flooder.on("close", resolve));
  server.kill("SIGKILL");
  await new Promise((resolve) => server.on("close", resolve));
  times.sort((a, b) => a - b);
  const at = (share: number) =>
    times[Math.min(times.length - 1, Math.floor(times.length * share))]!;
  const seconds = (MS_PER_ROUND + 1000) / 1000;
  return { p50: at(0.5), p99: at(0.99), max: times.at(-1)!, rsaPerSecond: Number(count) / seconds };
}

async function main(runtime: string): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "sotto-signer-"));
  try {
    execFileSync("openssl", [
      "req",
      "-x509",
      "-newkey",
      "rsa:4096",
      "-nodes",
      "-subj",
      "/CN=rsa.localhost",
      "-days",
      "2",
      "-addext",
      "subjectAltName=DNS:rsa.localhost",
      "-keyout",
      join(folder, "rsa.key"),
      "-out",
      join(folder, "rsa.crt"),
    ], { stdio: "ignore" });
    console.log(`${runtime}: ECDSA handshakes, ms, while ${FLOOD} at a time want RSA-4096`);
    console.log("round  mode    p50    p99    max   RSA/s");
    for (let i = 1; i <= ROUNDS; i++) {
      for (const mode of i % 2 === 0 ? ["thread", "inline"] : ["inline", "thread"]) {
        const { p50, p99, max, rsaPerSecond } = await round(runtime, mode, folder);
        const figures = [p50, p99, max].map((ms) => ms.toFixed(1).padStart(6)).join(" ");
        console.log(`${i}      ${mode} ${figures}  ${rsaPerSecond.toFixed(0).padStart(5)}`);
      }
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

const [what = "bun", port] = process.argv.slice(2);
await (what === "flood" ? flood(Number(port)) : main(what));
