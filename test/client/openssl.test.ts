/**
 * The client against `openssl s_server`: software that shares nothing with ours.
 */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { ClientConnection, type ClientOptions, connect } from "../../src/client/client.ts";
import { ClientError } from "../../src/client/error.ts";
import { connectTcp } from "../../src/client/tcp-transport.ts";
import { NamedGroup } from "../../src/tls/wire/code-points.ts";
import { type KeyKind, testCertificate, testRoot } from "../support/certificates.ts";
import { testCrypto, testEchKey } from "../support/server-config.ts";

const { x25519, secp256r1, secp384r1 } = NamedGroup;
const running: Server[] = [];
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "sotto-client-"));
});
afterAll(() => rm(folder, { recursive: true }));
afterEach(async () => {
  await Promise.all(running.splice(0).map((server) => server.stop()));
});

describe("against openssl s_server", () => {
  it.each<KeyKind>(["p256", "p384", "rsa", "ed25519"])("takes a %s certificate", async (kind) => {
    const server = await serve(["-rev"], kind);
    await reverses(await dial(server));
  });

  it.each([0x1301, 0x1302, 0x1303])("speaks suite %i", async (suite) => {
    const client = await dial(await serve(["-rev"]), { suites: [suite] });
    expect(client.negotiated.cipherSuite).toBe(suite);
    await reverses(client);
  });

  it.each([x25519, secp256r1, secp384r1])("agrees in group %i", async (group) => {
    const client = await dial(await serve(["-rev"]), { groups: [group] });
    expect(client.negotiated.group).toBe(group);
    await reverses(client);
  });

  it("answers a HelloRetryRequest", async () => {
    const client = await dial(await serve(["-rev", "-groups", "P-256"]));
    expect(client.negotiated).toMatchObject({ helloRetried: true, group: secp256r1 });
    await reverses(client);
  });

  it.each([[], ["-groups", "P-256"]])("resumes a session", async (...groups: string[]) => {
    const server = await serve(["-rev", ...groups]);
    const first = await dial(server);
    await reverses(first); // the tickets came before
    await first.close();
    expect(first.sessions.length).toBe(2);
    const second = await dial(server, { sessions: first.sessions });
    expect(second.negotiated).toMatchObject({ resumed: true, helloRetried: groups.length > 0 });
    await reverses(second);
  });

  it("has its early data skipped", async () => {
    const server = await serve(["-rev"]);
    const first = await dial(server);
    await reverses(first);
    await first.close();
    const second = await dial(server, { sessions: first.sessions, earlyDataBytes: 100 });
    await reverses(second);
  });

  it("shows its certificate", async () => {
    const user = await testCertificate({ usage: "client", names: ["user"] });
    const roots = join(folder, "roots.pem");
    await writeFile(roots, (await testRoot()).pem);
    const server = await serve(["-rev", "-Verify", "2", "-verify_return_error", "-CAfile", roots]);
    const client = await dial(server, {
      certificate: { chain: user.chain, keyPem: user.keyPem },
    });
    expect(client.negotiated.certificateRequested).toBe(true);
    await reverses(client);
    await client.close(); // one at a time
    const nobody = await dial(server);
    await expect(nobody.read()).rejects.toMatchObject({
      alertReceived: "certificate_required",
      alertReceivedUnder: "application",
    });
  });

  it("agrees on a protocol and names the server", async () => {
    const client = await dial(await serve(["-rev", "-alpn", "h2,http/1.1"]), {
      alpn: ["http/1.1", "h2"],
    });
    expect(client.negotiated.alpn).toBe("h2");
  });

  it("updates keys both ways", async () => {
    const server = await serve([]);
    const client = await dial(server);
    await client.updateKeys(true);
    await client.write(text("one\n"));
    await server.says(/one/);
    server.types("K\n"); // sends an update and asks for one
    while (client.keyUpdates.received === 0) await client.step(); // a second line would be lost
    server.types("two\n");
    expect(show(await client.readExactly(4))).toBe("two\n");
    expect(client.keyUpdates).toMatchObject({ sent: 2 });
    await client.write(text("three\n"));
    await server.says(/three/);
  });

  it("takes padded and small records, and sends them", async () => {
    const server = await serve(["-rev", "-record_padding", "512", "-max_send_frag", "512"]);
    await reverses(await dial(server, { padTo: 100, fragmentBytes: 1 }));
  });

  it("exports what openssl exports", async () => {
    const server = await serve(["-keymatexport", "EXPORTER-test", "-keymatexportlen", "20"]);
    const client = await dial(server);
    const value = client.exportKeyingMaterial("EXPORTER-test", new Uint8Array(0), 20);
    const hex = Array.from(value, (b) => b.toString(16).padStart(2, "0")).join("");
    await server.says(new RegExp(hex, "i"));
  });

  it("offers ECH that a server without it rejects: securely off", async () => {
    const server = await serve(["-rev"]);
    const { configList } = testEchKey();
    await expect(dial(server, { ech: { configList } })).rejects.toMatchObject({
      reason: "ECH rejected",
      echVerdict: "off",
      alertSent: "ech_required",
    });
    await reverses(await dial(server, { ech: "grease" }));
  });

  it("refuses a certificate of another name, of a strange root, out of date", async () => {
    const server = await serve(["-rev"]);
    const refusal = (options: Partial<ClientOptions>) =>
      dial(server, options).catch((error) => (error as ClientError).reason);
    expect(await refusal({ serverName: "c.example" })).toBe("certificate for another name");
    expect(await refusal({ now: () => Date.now() + 365 * 86400e3 })).toBe(
      "certificate not valid now",
    );
    const strange = await testCertificate({ issuer: "self", isCa: true, subject: "CN=Strange" });
    expect(await refusal({ roots: [strange.pem] })).toBe("no trusted root");
  });
});

class Server {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #exited: Promise<void>;
  #output = "";
  #wake: (() => void) | undefined;

  constructor(child: ChildProcessWithoutNullStreams) {
    this.#child = child;
    this.#exited = new Promise((resolve) => child.once("exit", () => resolve()));
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (chunk) => {
        this.#output += String(chunk);
        this.#wake?.();
      });
    }
    void this.#exited.then(() => this.#wake?.());
  }

  /** Waits for it in what the server prints. */
  async says(wanted: RegExp): Promise<RegExpMatchArray> {
    for (;;) {
      const found = this.#output.match(wanted);
      if (found !== null) return found;
      if (this.#child.exitCode !== null) throw new Error(`openssl has ended: ${this.#output}`);
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  types(line: string): void {
    this.#child.stdin.write(line);
  }

  async stop(): Promise<void> {
    this.#child.kill();
    await this.#exited;
  }

  async port(): Promise<number> {
    return Number((await this.says(/ACCEPT \S*:(\d+)\n/))[1]);
  }
}

async function serve(flags: string[], kind: KeyKind = "p256"): Promise<Server> {
  const { chainPem, keyPem } = await testCertificate({
    kind,
    names: ["a.example", "public.example"],
  });
  const file = join(folder, `${kind}.pem`);
  await writeFile(file, chainPem + keyPem);
  const args = ["s_server", "-accept", "127.0.0.1:0", "-tls1_3", "-cert", file, "-key", file];
  const server = new Server(spawn("openssl", [...args, ...flags]));
  running.push(server);
  return server;
}

async function dial(
  server: Server,
  options: Partial<ClientOptions> = {},
): Promise<ClientConnection> {
  return await connect(await connectTcp("127.0.0.1", await server.port()), {
    crypto: testCrypto,
    serverName: "a.example",
    roots: [(await testRoot()).pem],
    ...options,
  });
}

async function reverses(client: ClientConnection): Promise<void> {
  await client.write(text("abc\n"));
  expect(show(await client.readExactly(4))).toBe("cba\n");
}

function text(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}

function show(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
