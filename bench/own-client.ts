/**
 * Load from sotto's own client: what the Go program's client cannot do (GREASE, a hello without a key share), and
 * everything where Go is not installed. Flags and output are those of `load`, `bulk` and `hold` in test/interop/go.
 *
 *     bun own-client.ts load -addr 127.0.0.1:8443 -name localhost -n 300 -get
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import process from "node:process";
import { parseArgs } from "node:util";

import { type ClientConnection, type ClientOptions, connect } from "../src/client/client.ts";
import { ClientError } from "../src/client/error.ts";
import { connectTcp } from "../src/client/tcp-transport.ts";
import { chooseCrypto } from "../src/crypto/choose.ts";
import type { Transport } from "../src/client/transport.ts";
import { CipherSuite, NamedGroup } from "../src/tls/wire/code-points.ts";
import { faults, soak, type SoakKind } from "./own-soak.ts";

interface Flags {
  readonly addr: string;
  readonly name: string;
  readonly ech: string | undefined;
  /** The one to offer; undefined: the client's own. */
  readonly suite: CipherSuite | undefined;
  readonly count: number;
  readonly concurrency: number;
  readonly get: boolean;
  readonly resume: boolean;
  /** Each offers the newest ticket, for servers that take one once. */
  readonly renew: boolean;
  readonly unknownId: boolean;
  readonly stale: boolean;
  readonly grease: boolean;
  readonly retryHello: boolean;
  /** 0: no end by time. */
  readonly seconds: number;
  readonly bytes: number;
  readonly up: boolean;
  readonly post: number;
  readonly hash: boolean;
  readonly forwardName: string;
}

/** A part of what the Go program prints; `grease`, `retried` and `body` are ours. */
export interface OwnResult {
  count: number;
  ok: number;
  resumed: number;
  echAccepted: number;
  rejected: number;
  grease: number;
  retried: number;
  failed: number;
  errors: Record<string, number>;
  seconds: number;
  cpuSeconds: number;
  body: string;
}

async function load(flags: Flags): Promise<OwnResult> {
  const result: OwnResult = {
    count: flags.count,
    ok: 0,
    resumed: 0,
    echAccepted: 0,
    rejected: 0,
    grease: 0,
    retried: 0,
    failed: 0,
    errors: {},
    seconds: 0,
    cpuSeconds: 0,
    body: "",
  };
  let options = clientOptions(flags);
  if (flags.resume) {
    const first = await open(flags, options);
    await get(first, flags.name); // tickets ride with the reply
    const [session] = first.sessions;
    if (session === undefined) throw new Error("No ticket came");
    options = { ...options, sessions: [session] };
  }
  let left = flags.count;
  const begin = performance.now();
  const hasTime = (): boolean =>
    flags.seconds === 0 || performance.now() - begin < flags.seconds * 1000;
  result.count = 0;
  const worker = async (): Promise<void> => {
    while (left-- > 0 && hasTime()) {
      result.count++;
      const session = (await once(flags, options, result))?.sessions[0];
      if (flags.renew && session !== undefined) options = { ...options, sessions: [session] };
    }
  };
  await Promise.all(Array.from({ length: flags.concurrency }, worker));
  result.seconds = (performance.now() - begin) / 1000;
  result.cpuSeconds = cpuSeconds();
  return result;
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

/** At least `-bytes` over one connection, as the Go program's `bulk`. */
async function bulk(flags: Flags): Promise<unknown> {
  const connection = await open(flags, clientOptions(flags));
  const begin = performance.now();
  const hash = createHash("sha256");
  const noise = new Uint8Array(65_536);
  const request = (head: string): Promise<void> =>
    connection.write(new TextEncoder().encode(`${head}\r\nHost: ${flags.name}\r\n`));
  let moved = 0;
  let back = 0;
  while (moved < flags.bytes) {
    if (flags.up) {
      await request(`POST / HTTP/1.1\r\nContent-Length: ${flags.post}`);
      await connection.write(new TextEncoder().encode("\r\n"));
      for (let left = flags.post; left > 0; left -= noise.length) {
        await connection.write(noise.subarray(0, Math.min(left, noise.length)));
      }
      moved += flags.post;
      back += await answer(connection, () => {});
    } else {
      await request("GET / HTTP/1.1");
      await connection.write(new TextEncoder().encode("\r\n"));
      const length = await answer(connection, (bytes) => {
        if (flags.hash) hash.update(bytes);
      });
      moved += length;
      back += length;
    }
  }
  const { cipherSuite } = connection.negotiated;
  await connection.close();
  return {
    moved,
    back,
    version: "TLS 1.3",
    cipherSuite: suiteName(cipherSuite),
    sha256: hash.digest("hex"),
    seconds: (performance.now() - begin) / 1000,
    cpuSeconds: cpuSeconds(),
  };
}

/** One answer with a Content-Length; how long its body was. */
async function answer(
  connection: ClientConnection,
  take: (bytes: Uint8Array) => void,
): Promise<number> {
  let head = Buffer.alloc(0);
  let body = -1;
  while (body < 0) {
    const bytes = await connection.read();
    if (bytes === undefined) {
      throw new Error(`The answer ends in its head: ${head.toString("latin1")}`);
    }
    head = Buffer.concat([head, bytes]);
    body = head.indexOf("\r\n\r\n");
  }
  const text = head.toString("latin1", 0, body);
  const length = Number(/^content-length: (\d+)/im.exec(text)?.[1]);
  if (!text.startsWith("HTTP/1.1 200 ") || Number.isNaN(length)) throw new Error(text);
  let left = length;
  for (let bytes: Uint8Array | undefined = head.subarray(body + 4);;) {
    take(bytes);
    left -= bytes.length;
    if (left <= 0) return length;
    bytes = await connection.read();
    if (bytes === undefined) throw new Error(`${left} bytes of the body are missing`);
  }
}

async function once(
  flags: Flags,
  options: ClientOptions,
  result: OwnResult,
): Promise<ClientConnection | undefined> {
  try {
    const connection = await open(flags, options);
    const { negotiated } = connection;
    if (flags.get) result.body = await get(connection, flags.name);
    else await connection.close();
    result.ok++;
    if (negotiated.resumed) result.resumed++;
    if (negotiated.ech === "accepted") result.echAccepted++;
    if (negotiated.ech === "grease") result.grease++;
    if (negotiated.helloRetried) result.retried++;
    return connection;
  } catch (error) {
    const isRejection = error instanceof ClientError && error.retryConfigs !== undefined;
    if (isRejection && (flags.unknownId || flags.stale)) {
      result.ok++;
      result.rejected++;
      return undefined;
    }
    result.failed++;
    const text = String(error);
    result.errors[text] = (result.errors[text] ?? 0) + 1;
    return undefined;
  }
}

/** All kinds that this client knows, faults among them. */
async function soakAll(flags: Flags): Promise<void> {
  const own: Flags = { ...flags, ech: undefined };
  const plain = clientOptions(own);
  let returning = plain;
  const good = (
    name: string,
    weight: number,
    changes: Partial<Flags>,
    isSo: (negotiated: ClientConnection["negotiated"]) => boolean = () => true,
  ): SoakKind => {
    const its = { ...own, ...changes };
    const options = clientOptions(its);
    return { name, weight, run: () => serve(its, options, isSo) };
  };
  const serve = async (
    its: Flags,
    options: ClientOptions,
    isSo: (negotiated: ClientConnection["negotiated"]) => boolean,
  ): Promise<"ok"> => {
    const connection = await open(its, options);
    if (its.get) await get(connection, its.name);
    else await connection.close();
    if (!isSo(connection.negotiated)) throw new Error("served, but not so");
    return "ok";
  };
  const stale = { ...own, ech: flags.ech, stale: true };
  const kinds: SoakKind[] = [
    good("full none", 250, {}),
    good("full get", 200, { get: true }),
    {
      name: "resumed get",
      weight: 150,
      async run() {
        const { sessions } = returning;
        returning = plain; // a ticket is taken once
        const connection = await open(own, { ...plain, ...(sessions && { sessions }) });
        await get(connection, own.name);
        if (connection.negotiated.resumed !== (sessions !== undefined)) {
          throw new Error("served, but not so");
        }
        const [session] = connection.sessions;
        if (session !== undefined) returning = { ...plain, sessions: [session] };
        return "ok";
      },
    },
    good("ECH accepted get", 150, { get: true, ech: flags.ech }, ({ ech }) => ech === "accepted"),
    {
      name: "ECH stale key",
      weight: 30,
      async run() {
        const error = await open(stale, clientOptions(stale)).catch((error: unknown) => error);
        if (error instanceof ClientError && error.retryConfigs !== undefined) return "ok";
        throw new Error(`not rejected with retry configs: ${String(error)}`);
      },
    },
    good("GREASE get", 50, { get: true, grease: true }, ({ ech }) => ech === "grease"),
    good(
      "HelloRetryRequest get",
      50,
      { get: true, retryHello: true },
      ({ helloRetried }) => helloRetried,
    ),
    good("forward get", 70, { get: true, name: flags.forwardName }),
    ...faults(flags.addr, await capturedHello(plain), 10_000),
  ];
  const { count, seconds } = flags;
  await soak(kinds, { count, seconds, concurrency: 8 });
}

/** What the client sends first. */
async function capturedHello(options: ClientOptions): Promise<Uint8Array> {
  const sent: Uint8Array[] = [];
  const deaf: Transport = {
    write: (bytes) => void sent.push(bytes.slice()),
    read: () => Promise.resolve(undefined),
    close: () => {},
  };
  await connect(deaf, options).catch(() => {});
  return sent[0]!;
}

async function hold(flags: Flags): Promise<void> {
  const options = clientOptions(flags);
  const connections: ClientConnection[] = [];
  for (let i = 0; i < flags.count; i++) connections.push(await open(flags, options));
  console.log(JSON.stringify({ open: connections.length }));
  await new Promise((resolve) => process.stdin.once("end", resolve).resume());
}

async function open(flags: Flags, options: ClientOptions): Promise<ClientConnection> {
  const [, host, port] = /^(.*):(\d+)$/.exec(flags.addr)!;
  return await connect(await connectTcp(host!, Number(port), { timeoutMs: 20_000 }), options);
}

/** One request; the server says that it closes. Returns the body. */
async function get(connection: ClientConnection, name: string): Promise<string> {
  await connection.write(
    new TextEncoder().encode(`GET / HTTP/1.1\r\nHost: ${name}\r\nConnection: close\r\n\r\n`),
  );
  let text = "";
  for (;;) {
    const bytes = await connection.read();
    if (bytes === undefined) break;
    text += new TextDecoder().decode(bytes);
  }
  await connection.close();
  if (!text.startsWith("HTTP/1.1 200 ")) throw new Error(`Answer: ${text.slice(0, 40)}`);
  return text.slice(text.indexOf("\r\n\r\n") + 4);
}

function clientOptions(flags: Flags): ClientOptions {
  return {
    crypto,
    serverName: flags.name,
    alpn: ["http/1.1"],
    groups: [NamedGroup.x25519, NamedGroup.secp256r1],
    keyShares: flags.retryHello ? [] : [NamedGroup.x25519],
    ...(flags.suite !== undefined && { suites: [flags.suite] }),
    ...(flags.grease && { ech: "grease" as const }),
    ...(flags.ech !== undefined && { ech: { configList: configList(flags) } }),
  };
}

function suiteNamed(wanted: string): CipherSuite | undefined {
  if (wanted === "") return undefined;
  const found = Object.entries(CipherSuite).find(([name]) => name === wanted);
  if (found === undefined) throw new Error(`No cipher suite is called ${wanted}`);
  return found[1];
}

function suiteName(code: number): string {
  return Object.entries(CipherSuite).find(([, each]) => each === code)?.[0] ?? String(code);
}

function configList(flags: Flags): Uint8Array {
  const list = new Uint8Array(Buffer.from(flags.ech!, "base64"));
  // ECHConfigList length (2), version (2), length (2), config_id
  if (flags.unknownId) list[6]! ^= 0xff;
  // … kem_id (2), length of the key (2), key
  if (flags.stale) list.set(crypto.hpkeKeyPair(DHKEM_X25519).publicKey, 11);
  return list;
}

function parse(args: string[]): Flags {
  // Go's flags have one dash.
  const { values } = parseArgs({
    args: args.map((arg) => /^-[a-z]/.test(arg) ? `-${arg}` : arg),
    strict: true,
    options: {
      addr: { type: "string" },
      name: { type: "string", default: "localhost" },
      root: { type: "string" }, // nothing is verified: it is the server that is measured
      groups: { type: "string" },
      ech: { type: "string" },
      suite: { type: "string", default: "" },
      n: { type: "string", default: "1000" },
      concurrency: { type: "string", default: "1" },
      seconds: { type: "string", default: "0" },
      bytes: { type: "string", default: "100000000" },
      up: { type: "boolean", default: false },
      post: { type: "string", default: "1000000" },
      hash: { type: "boolean", default: false },
      "skip-chain": { type: "boolean" },
      "retry-name": { type: "string" }, // this client needs no site for that
      "forward-name": { type: "string", default: "localhost" },
      seed: { type: "string" },
      stale: { type: "boolean", default: false },
      get: { type: "boolean", default: false },
      resume: { type: "boolean", default: false },
      renew: { type: "boolean", default: false },
      "unknown-id": { type: "boolean", default: false },
      grease: { type: "boolean", default: false },
      "retry-hello": { type: "boolean", default: false },
    },
  });
  return {
    addr: values.addr!,
    name: values.name,
    ech: values.ech,
    suite: suiteNamed(values.suite),
    count: Number(values.n),
    concurrency: Number(values.concurrency),
    get: values.get,
    resume: values.resume,
    renew: values.renew,
    unknownId: values["unknown-id"],
    grease: values.grease,
    retryHello: values["retry-hello"],
    stale: values.stale,
    seconds: Number(values.seconds),
    bytes: Number(values.bytes),
    up: values.up,
    post: Number(values.post),
    hash: values.hash,
    forwardName: values["forward-name"],
  };
}

const DHKEM_X25519 = 0x0020;
const crypto = chooseCrypto();
const [command, ...args] = process.argv.slice(2);
if (command === "load") console.log(JSON.stringify(await load(parse(args))));
else if (command === "bulk") console.log(JSON.stringify(await bulk(parse(args))));
else if (command === "soak") await soakAll(parse(args));
else if (command === "hold") await hold(parse(args));
else throw new Error("want load, bulk, soak or hold");
process.exit(0);
