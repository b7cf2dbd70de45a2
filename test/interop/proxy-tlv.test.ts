/**
 * What sotto tells an upstream of a TLS connection, read by a parser of the PROXY protocol that is not sotto's.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import tls from "node:tls";

import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";

import { encodeProxyV2 } from "../../src/edge/proxy-protocol.ts";
import { canonicalIp } from "../../src/x509/names.ts";
import { testCertificate } from "../support/certificates.ts";
import { freePort } from "../support/free-port.ts";
import type { Pair } from "./support/certificates.ts";
import { interopCertificates } from "./support/fixtures.ts";
import { AUTH_MODES } from "./support/names.ts";
import { must, run, words } from "./support/run.ts";
import { jsonLines, type RunningServer, SERVER, startServer } from "./support/server.ts";

/** The line of the reader in `go-proxy` for one connection. */
interface Understood {
  readonly error?: string;
  readonly version: number;
  readonly local: boolean;
  readonly transport: string;
  readonly source: string;
  readonly destination: string;
  /** Of the whole header, in bytes. */
  readonly length: number;
  /** Of TLVs, in their order. */
  readonly types: readonly number[];
  readonly alpn?: string;
  readonly authority?: string;
  readonly checksum?: string;
  readonly tls?: {
    readonly client: number;
    readonly verify: number;
    readonly types: readonly number[];
    readonly version?: string;
    readonly cipher?: string;
    readonly cn?: string;
  };
  readonly behind: string;
}

let folder: string;
let reader: Reader;
let server: RunningServer;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "sotto-proxy-"));
  reader = await startReader();
  const { caFile } = interopCertificates();
  const site = (name: string, lines: string, to: string = `127.0.0.1:${reader.port}`) =>
    `[[site]]\nnames = ["${name}.localhost"]\nforward = "${to}"\nproxy_protocol = 2\n${lines}\n`;
  server = await startServer({
    toml: [
      site("plain", ""),
      site("h2", `alpn = ["h2", "http/1.1"]`),
      site("no-alpn", "alpn = []"),
      site("unix", "", `unix:${reader.path}`),
      ...AUTH_MODES.map((mode) =>
        site(mode.replaceAll("_", "-"), `client_auth = { mode = "${mode}", ca = ["${caFile}"] }`)
      ),
      `[[site]]\nnames = ["v1.localhost"]\nforward = "127.0.0.1:${reader.port}"\nproxy_protocol = 1`,
      `[[site]]\nnames = ["through.localhost"]\npassthrough = "127.0.0.1:${reader.port}"\n` +
      "proxy_protocol = 2",
    ].join("\n"),
    args: words`--listen ::1`,
  });
}, 360_000);
afterAll(async () => {
  await server?.stop();
  await reader?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const ALPN = 0x01;
const AUTHORITY = 0x02;
const CRC32C = 0x03;
const SSL = 0x20;
const [SSL_VERSION, SSL_CN, SSL_CIPHER] = [0x21, 0x22, 0x23];
/** PP2_CLIENT_SSL, PP2_CLIENT_CERT_CONN, PP2_CLIENT_CERT_SESS */
const [CLIENT_SSL, CERT_CONN, CERT_SESS] = [0x01, 0x02, 0x04];
/** Nothing but a certificate that was shown and verified is 0; what else it is says nothing more. */
const NOT_VERIFIED = 1;

describe(`go-proxyproto understands of ${SERVER}`, () => {
  test("version, cipher, name and addresses, and no certificate where there is none", async () => {
    const { said, source } = await sClient("plain");
    expect(said).toEqual({
      version: 2,
      local: false,
      transport: "TCPv4",
      source,
      destination: `127.0.0.1:${server.port}`,
      length: expect.any(Number) as number,
      types: [AUTHORITY, SSL],
      authority: "plain.localhost",
      tls: {
        client: CLIENT_SSL,
        ssl: true,
        certConn: false,
        certSess: false,
        verify: NOT_VERIFIED,
        verified: false,
        types: [SSL_VERSION, SSL_CIPHER],
        version: "TLSv1.3",
        cipher: expect.stringMatching(/^TLS_/) as string,
      },
      behind: "GET / HTTP/1.1",
    });
  });

  test.each(["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"])(
    "the cipher %s, as OpenSSL calls it",
    async (suite) => {
      const { said } = await sClient("plain", ["-ciphersuites", suite]);
      expect(said.tls?.cipher).toBe(suite);
    },
  );

  test.each([
    ["h2", "h2,http/1.1", "h2"],
    ["h2", "http/1.1", "http/1.1"],
    ["plain", "h2,http/1.1", "http/1.1"],
    ["no-alpn", "h2,http/1.1", undefined],
    ["h2", undefined, undefined],
  ])("ALPN as it was agreed: %s, offered %s, told %s", async (name, offered, agreed) => {
    const { said } = await sClient(name, offered === undefined ? [] : ["-alpn", offered]);
    expect(said.alpn).toBe(agreed);
    expect(said.types).toEqual(
      agreed === undefined ? [AUTHORITY, SSL] : [ALPN, AUTHORITY, SSL],
    );
  });

  test("all of it over a unix socket", async () => {
    const { said, source } = await sClient("unix", ["-alpn", "http/1.1"]);
    // The addresses are the client's; the way to the upstream is not told.
    expect(said).toMatchObject({ transport: "TCPv4", source, alpn: "http/1.1" });
  });

  test("addresses of IPv6", async () => {
    const port = await freePort();
    const [, at] = /^\[::1\]:(\d+)$/.exec(
      server.ready.https.find((each) => each.startsWith("["))!,
    )!;
    const { said } = await sClient("plain", ["-connect", `[::1]:${at}`, "-bind", `[::1]:${port}`]);
    expect(said).toMatchObject({
      transport: "TCPv6",
      source: `[::1]:${port}`,
      destination: `[::1]:${at}`,
    });
  });

  test("version 1, which says nothing of TLS", async () => {
    const { said, source } = await sClient("v1", ["-alpn", "http/1.1"]);
    expect(said).toMatchObject({ version: 1, transport: "TCPv4", source, types: null });
    expect(said).not.toHaveProperty("tls");
  });

  test("of a connection that is passed on, its name and nothing of TLS", async () => {
    const next = reader.next();
    const client = tls.connect({
      host: "127.0.0.1",
      port: server.port,
      servername: "through.localhost",
    });
    client.on("error", () => {});
    onTestFinished(() => void client.destroy());
    await once(client, "connect");
    const source = `127.0.0.1:${client.localPort}`;
    const said = await next;
    expect(said).toMatchObject({ types: [AUTHORITY], authority: "through.localhost", source });
    expect(said).not.toHaveProperty("tls");
    expect(said.behind).toBe("TLS");
  });
});

describe(`go-proxyproto understands of a client's certificate, from ${SERVER}`, () => {
  const told = (verified: boolean, cn: string | undefined) => ({
    client: CLIENT_SSL | CERT_CONN | CERT_SESS,
    verify: verified ? 0 : NOT_VERIFIED,
    types: cn === undefined ? [SSL_VERSION, SSL_CIPHER] : [SSL_VERSION, SSL_CN, SSL_CIPHER],
    ...cn === undefined ? {} : { cn },
  });
  const none = { client: CLIENT_SSL, verify: NOT_VERIFIED, types: [SSL_VERSION, SSL_CIPHER] };

  test.each(
    [
      ["request", "good", told(false, "client-good")],
      ["request", "foreign", told(false, "client-foreign")],
      ["request", "expired", told(false, "client-expired")],
      ["request", undefined, none],
      ["require", "good", told(false, "client-good")],
      ["require", "foreign", told(false, "client-foreign")],
      ["verify-if-given", "good", told(true, "client-good")],
      ["verify-if-given", undefined, none],
      ["require-and-verify", "good", told(true, "client-good")],
    ] as const,
  )("that the site would %s: %s", async (name, shown, expected) => {
    const { said } = await sClient(name, shown && showing(interopCertificates().clients[shown]));
    expect(said.tls).toMatchObject(expected);
    if (!("cn" in expected)) expect(said.tls).not.toHaveProperty("cn");
  });

  test.each(
    [
      ["verify-if-given", "foreign"],
      ["verify-if-given", "expired"],
      ["require-and-verify", "foreign"],
      ["require-and-verify", undefined],
    ] as const,
  )("nothing, where it is refused: %s, %s", async (name, shown) => {
    const before = reader.count();
    const pair = shown && interopCertificates().clients[shown];
    const { code } = await ask(name, pair && showing(pair));
    expect(code).toBe(1);
    // A connection of the refused one would be there before this one's.
    await sClient("plain");
    expect(reader.count()).toBe(before + 1);
  });

  test("the same where the client would resume: no such site gives a ticket", async () => {
    const file = join(folder, "session");
    const { good } = interopCertificates().clients;
    await sClient("require-and-verify", [...showing(good), "-sess_out", file]);
    // What s_client writes without a ticket is of no use to it.
    const again = existsSync(file) ? ["-sess_in", file] : [];
    const { said, stdout } = await sClient("require-and-verify", [...showing(good), ...again]);
    expect(stdout).toContain("New, TLSv1.3");
    expect(said.tls).toMatchObject(told(true, "client-good"));
  });

  test.each([
    ["none", "O=Nobody", undefined],
    ["in UTF-8", "CN=Zoë Œuvre", "Zoë Œuvre"],
    ["as long as it may be", `CN=${"ab".repeat(32)}`, "ab".repeat(32)],
    // Many upstreams have room for 4096 bytes, and one that refuses a header looks like one that fails.
    ["of 6,000 bytes", `CN=${"long".repeat(1_500)}`, undefined],
    ["longer than a header", `CN=${"long".repeat(20_000)}`, undefined],
    ["with a NUL", inUtf8("admin\0.example"), undefined],
    ["of two lines", inUtf8("one\r\nX-Client: two"), undefined],
    ["of no length", inUtf8(""), undefined],
    ["with a mark that readers drop", inUtf8("\ufeffadmin"), "\ufeffadmin"],
  ])("its name where that does no harm: %s", async (_what, subject, cn) => {
    const { pem, keyPem } = await testCertificate({ subject, usage: "client" });
    const pair = { certificate: join(folder, "own.crt"), key: join(folder, "own.key") };
    writeFileSync(pair.certificate, pem);
    writeFileSync(pair.key, keyPem);
    const { said } = await sClient("request", showing(pair));
    expect(said.tls).toMatchObject(told(false, cn));
    expect(said.length).toBeLessThan(1_024);
    expect(server.events("exception_ended_connection")).toEqual([]);
    expect(server.events("upstream_failed")).toEqual([]);
  });
});

describe("go-proxyproto understands of the encoder", () => {
  const IPV6 = {
    sourceAddress: "2001:db8::7",
    sourcePort: 4711,
    destinationAddress: "2001:db8::8",
    destinationPort: 443,
  };

  test("every TLV with a right checksum, and sees where it is wrong", async () => {
    const header = encodeProxyV2({
      endpoints: IPV6,
      alpn: "h2",
      authority: "every.example",
      tls: {
        version: "TLSv1.3",
        cipher: "TLS_AES_128_GCM_SHA256",
        client: { commonName: "Zoë", verified: true },
      },
      checksum: true,
    });
    const said = await encoded(header);
    expect(said).toMatchObject({
      transport: "TCPv6",
      source: "[2001:db8::7]:4711",
      destination: "[2001:db8::8]:443",
      length: header.length,
      types: [ALPN, AUTHORITY, SSL, CRC32C],
      alpn: "h2",
      authority: "every.example",
      checksum: "right",
      tls: { client: 7, verify: 0, verified: true, cn: "Zoë", types: [0x21, 0x22, 0x23] },
    });
    header[20]! ^= 1;
    expect(await encoded(header)).toMatchObject({ checksum: "wrong" });
  });

  test("whatever it was given, and no more", async () => {
    await fc.assert(
      fc.asyncProperty(headers, async (header) => {
        const said = await encoded(encodeProxyV2(header));
        const { sourceAddress, sourcePort, destinationAddress, destinationPort } = header.endpoints;
        const isV6 = sourceAddress.includes(":") || destinationAddress.includes(":");
        expect(said.transport).toBe(isV6 ? "TCPv6" : "TCPv4");
        expect(placeOf(said.source)).toEqual([addressOf(sourceAddress), sourcePort]);
        expect(placeOf(said.destination)).toEqual([addressOf(destinationAddress), destinationPort]);
        const { tls: facts } = header;
        expect(said.types).toEqual([
          ...header.alpn === undefined ? [] : [ALPN],
          ...header.authority === undefined ? [] : [AUTHORITY],
          ...facts === undefined ? [] : [SSL],
          ...header.checksum ? [CRC32C] : [],
        ]);
        expect(said).toMatchObject({
          ...header.alpn !== undefined && { alpn: header.alpn },
          ...header.authority !== undefined && { authority: header.authority },
          ...header.checksum && { checksum: "right" },
        });
        if (facts === undefined) return;
        const { client } = facts;
        expect(said.tls).toMatchObject({
          client: client === undefined ? CLIENT_SSL : CLIENT_SSL | CERT_CONN | CERT_SESS,
          verify: client?.verified === true ? 0 : NOT_VERIFIED,
          version: facts.version,
          types: [
            SSL_VERSION,
            ...client?.commonName === undefined ? [] : [SSL_CN],
            ...facts.cipher === undefined ? [] : [SSL_CIPHER],
          ],
        });
        expect(said.tls?.cn).toBe(client?.commonName);
        expect(said.tls?.cipher).toBe(facts.cipher);
      }),
      { numRuns: 200 },
    );
  });

  test("unix sockets, and a connection of sotto's own", async () => {
    const paths = { sourcePath: "/run/" + "a".repeat(100), destinationPath: "/run/b" };
    expect(await encoded(encodeProxyV2({ endpoints: paths, checksum: true }))).toMatchObject({
      transport: "unix",
      source: paths.sourcePath,
      destination: paths.destinationPath,
      checksum: "right",
    });
    const local = { endpoints: undefined, authority: "ignored", checksum: true };
    expect(await encoded(encodeProxyV2(local))).toMatchObject({
      local: true,
      transport: "unspecified",
      types: [CRC32C],
      checksum: "right",
    });
  });

  test.each([0, 1, 15, 16, 20, 28, 40, 60])(
    "nothing of a header that ends after %i bytes",
    async (at) => {
      const header = encodeProxyV2({ endpoints: IPV6, alpn: "h2", checksum: true });
      expect(await encoded(header.subarray(0, at), true)).toMatchObject({
        error: expect.any(String) as string,
      });
    },
  );
});

/** Both kinds of addresses in one: where one is of IPv6, the other is told as such too. */
const address = fc.oneof(fc.ipV4(), fc.ipV6());
const port = fc.integer({ min: 0, max: 65535 });
const option = <T>(of: fc.Arbitrary<T>) => fc.option(of, { nil: undefined });
const headers = fc.record({
  endpoints: fc.record({
    sourceAddress: address,
    sourcePort: port,
    destinationAddress: address,
    destinationPort: port,
  }),
  alpn: option(fc.string({ minLength: 1, maxLength: 255 })),
  authority: option(fc.domain()),
  tls: option(fc.record({
    version: fc.constant("TLSv1.3"),
    cipher: option(fc.constantFrom("TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256")),
    client: option(fc.record({
      commonName: option(fc.string({ unit: "grapheme", minLength: 1, maxLength: 64 })),
      verified: fc.boolean(),
    })),
  })),
  checksum: fc.boolean(),
});

/** In one form, and IPv4 as such. */
function addressOf(text: string): string | undefined {
  const canonical = canonicalIp(text)!;
  const [, high, low] = /^::ffff:([0-9a-f]+):([0-9a-f]+)$/.exec(canonical) ?? [];
  if (high === undefined || low === undefined) return canonical;
  const bytes = [high, low].map((group) => parseInt(group, 16)).flatMap((n) => [n >> 8, n & 0xff]);
  return bytes.join(".");
}

function placeOf(text: string): [string | undefined, number] {
  const [, host, port] = /^\[?([^\]]*)\]?:(\d+)$/.exec(text)!;
  return [addressOf(host!), Number(port)];
}

/** A subject with a commonName as it is, in hexadecimal of DER. */
function inUtf8(name: string): string {
  const value = Buffer.from(name);
  return `CN=#${Buffer.from([0x0c, value.length, ...value]).toString("hex")}`;
}

const showing = ({ certificate, key }: Pair) => ["-cert", certificate, "-key", key];

/** An exchange by `openssl s_client`, and what the reader, its upstream, understood. */
async function sClient(name: string, args: readonly string[] = []) {
  const port = await freePort();
  const next = reader.next();
  const finished = await ask(name, [
    ...args.includes("-bind") ? [] : ["-bind", `127.0.0.1:${port}`],
    ...args,
  ]);
  expect(finished.code, finished.stderr + server.output()).toBe(0);
  const said = await next;
  // It came through to the client, as it was sent.
  expect(JSON.parse(/^\{.*\}/m.exec(finished.stdout)![0])).toEqual(said);
  return { said, source: `127.0.0.1:${port}`, stdout: finished.stdout };
}

function ask(name: string, args: readonly string[] = []) {
  return run(
    "openssl",
    words`s_client -servername ${name}.localhost -CAfile ${server.ready.root} -tls1_3 -nocommands
    -verify_return_error -verify_hostname ${name}.localhost -ign_eof
    ${args.includes("-connect") ? [] : ["-connect", `127.0.0.1:${server.port}`]} ${args}`,
    { input: `GET / HTTP/1.1\r\nHost: ${name}.localhost\r\n\r\n`, timeoutMs: 20_000 },
  );
}

/** What is understood of `header` without sotto between. */
async function encoded(header: Uint8Array, isAll: boolean = false): Promise<Understood> {
  const next = reader.next();
  const socket = net.connect(reader.port, "127.0.0.1");
  socket.on("error", () => {});
  socket.resume();
  if (isAll) socket.end(header);
  else socket.end(Buffer.concat([header, Buffer.from("GET / HTTP/1.1\r\n\r\n")]));
  const said = await next;
  socket.destroy();
  return said;
}

interface Reader {
  readonly port: number;
  readonly path: string;
  /** How many connections there were. */
  count(): number;
  /** What it understands of the one that comes next. */
  next(): Promise<Understood>;
  stop(): Promise<void>;
}

async function startReader(): Promise<Reader> {
  const program = join(folder, "reader");
  await must("go", ["build", "-o", program, "."], {
    cwd: join(import.meta.dirname, "go-proxy"),
    timeoutMs: 300_000,
  });
  const child: ChildProcess = spawn(program, ["-folder", folder], { stdio: "pipe" });
  process.once("exit", () => void child.kill("SIGKILL"));
  let said = "";
  child.stdout!.on("data", (chunk: Buffer) => said += chunk.toString());
  child.stderr!.on("data", (chunk: Buffer) => said += chunk.toString());
  const line = async (at: number) => {
    const deadline = Date.now() + 10_000;
    for (;;) {
      const lines = jsonLines(said);
      if (lines.length > at) return lines[at]!;
      if (child.exitCode !== null || Date.now() > deadline) {
        throw new Error(`the reader has heard of no connection: ${said}`);
      }
      await delay(10);
    }
  };
  const { port, path } = await line(0) as unknown as Pick<Reader, "port" | "path">;
  const count = () => jsonLines(said).length - 1;
  return {
    port,
    path,
    count,
    next() {
      const next = line(count() + 1);
      next.catch(() => {}); // told to whoever waits
      return next as unknown as Promise<Understood>;
    },
    async stop() {
      const closed = once(child, "close");
      child.stdin!.end();
      await closed;
    },
  };
}
