import { createPrivateKey, type JsonWebKey, type KeyObject } from "node:crypto";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { connect as connectTcp } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { connect as connectTls, type TLSSocket } from "node:tls";

import { afterEach, beforeEach, expect, test } from "vitest";

import { loadConfig } from "../../src/config/load.ts";
import type { Log } from "../../src/edge/log.ts";
import { type Running, start } from "../../src/start.ts";
import { testCertificate } from "../support/certificates.ts";
import { curl } from "../support/program.ts";
import { CliKit } from "./cli-kit.ts";
import { waysToWrite } from "../support/secret-forms.ts";

const cli = new CliKit("secrets");
let data: string;
let running: Running | undefined;
beforeEach(() => {
  data = join(cli.folder, "data");
});
afterEach(async () => {
  await running?.stop();
  running = undefined;
});

test("design 11: no key is in what the program says, logs, writes for others or answers", async () => {
  await configure();
  const program = await cli.serve(["--config", join(cli.folder, "sotto.toml"), "--log", "json"]);
  const { ready, file, https } = program;
  const answers = await visit(https, ready.root, ready.health!);
  // A reload that fails has much to say.
  await writeFile(join(cli.folder, "own.key"), ownKeys[0]!.replace(/\n(?=-----END)/, "&$&"));
  process.kill(ready.pid, "SIGHUP");
  const refused = await curl(
    "--unix-socket",
    ready.health!,
    "-X",
    "POST",
    "http://localhost/reload",
  );
  expect(refused).toContain("is not base64");
  const written = await readFile(file, "utf8");
  process.kill(ready.pid, "SIGTERM");
  const { stdout, stderr } = await program.ended;
  expect(stderr).toContain("stopping");
  await expectNoSecret({ stdout, stderr, written, answers, refused });
});

test("The search finds a key wherever it stands", async () => {
  await configure();
  const { keyPem } = await testCertificate({ names: ["own.example"] });
  const { d } = createPrivateKey(keyPem).export({ format: "jwk" });
  const bytes = Buffer.from(d!, "base64url");
  const around = (shift: number) => Buffer.concat([Buffer.alloc(shift), bytes, Buffer.alloc(3)]);
  for (
    const text of [
      keyPem,
      JSON.stringify({ keyPem }),
      bytes.toString("hex"),
      JSON.stringify([...bytes]),
      ...[0, 1, 2].map((shift) => around(shift).toString("base64")),
    ]
  ) {
    const lines = keyPem.split("\n").slice(1, -2);
    expect([...lines, ...waysToWrite(bytes)].some((form) => text.includes(form)), text).toBe(true);
  }
});

test("design 11: nor in events of level debug", async () => {
  await configure();
  let logged = "";
  const log: Log = {
    event: (...event) => void (logged += JSON.stringify(event, withBytes) + "\n"),
  };
  running = await start({
    config: await loadConfig(join(cli.folder, "sotto.toml")),
    dataFolder: data,
    https: { addresses: ["127.0.0.1"], ports: [0], option: "--https-port" },
    http: undefined,
    log,
  });
  const port = running.https[0]!.split(":").at(-1)!;
  const answers = await visit(port, running.root, running.health!);
  expect(logged).toContain('"debug"');
  await expectNoSecret({ logged, answers, warnings: running.warnings.join("\n") });
});

/** The operator's own key beside those that are made. */
let ownKeys: string[];

async function configure(): Promise<void> {
  const own = await testCertificate({ names: ["own.example"] });
  await writeFile(join(cli.folder, "own.crt"), own.chainPem);
  await writeFile(join(cli.folder, "own.key"), own.keyPem, { mode: 0o600 });
  ownKeys = [own.keyPem];
  await writeFile(
    join(cli.folder, "sotto.toml"),
    `[[site]]
names = ["localhost", "*.many.example"]
[[site]]
names = ["own.example"]
certificate = "own.crt"
key = "own.key"
respond = "own"
`,
  );
}

/** Everything that gives a server something to say. Returns what it answered. */
async function visit(port: string, root: string, health: string): Promise<string> {
  const at = (name: string) => `https://${name}:${port}`;
  const resolve = (name: string) => ["--resolve", `${name}:${port}:127.0.0.1`];
  const seen = [
    await curl("--cacert", root, `${at("localhost")}/`, `${at("localhost")}/connection.json`),
    await curl("-k", ...resolve("own.example"), `${at("own.example")}/`),
    await curl("-k", ...resolve("other.example"), `${at("other.example")}/`).catch(String),
    await curl(`http://127.0.0.1:${port}/`).catch(String),
    await curl("--unix-socket", health, "http://localhost/healthz", "http://localhost/readyz"),
    await curl("--unix-socket", health, "-X", "POST", "http://localhost/reload"),
    await says(port, Buffer.from("160301000501000001ff", "hex")),
    await says(port, Buffer.alloc(64, 0x80)),
    await refuses(port),
  ];
  return seen.join("\n");
}

/** Raw bytes, and what comes back for them. */
function says(port: string, bytes: Buffer): Promise<string> {
  return new Promise((resolve) => {
    let answer = "";
    const socket = connectTcp(Number(port), "127.0.0.1", () => socket.end(bytes));
    socket.on("data", (chunk) => void (answer += chunk.toString("latin1")));
    socket.on("error", () => {});
    socket.on("close", () => resolve(answer));
  });
}

/** A client that does not trust the root, and says so. */
function refuses(port: string): Promise<string> {
  return new Promise((resolve) => {
    const socket: TLSSocket = connectTls({ port: Number(port), servername: "localhost", ca: [] });
    socket.on("error", (error) => resolve(error.message));
    socket.on("secureConnect", () => socket.destroy());
    socket.on("close", () => resolve(""));
  });
}

async function expectNoSecret(texts: Readonly<Record<string, string>>): Promise<void> {
  const forms = await secretForms();
  for (const [what, text] of Object.entries(texts)) {
    for (const { name, form } of forms) {
      expect(text.includes(form), `${name} in ${what}`).toBe(false);
    }
  }
}

interface Form {
  readonly name: string;
  readonly form: string;
}

/** Every private key that there is, in every way that it could be written. */
async function secretForms(): Promise<Form[]> {
  const forms: Form[] = [];
  const add = (name: string, bytes: Buffer) =>
    forms.push(...waysToWrite(bytes).map((form) => ({ name, form })));
  const addPem = (name: string, pem: string) => {
    for (const line of pem.split("\n")) {
      if (line.length > 20 && !line.startsWith("-----")) forms.push({ name, form: line });
    }
    for (const bytes of rawSecrets(createPrivateKey(pem))) add(name, bytes);
  };
  for (const pem of ownKeys) addPem("own.key", pem);
  for (const name of await readdir(data, { recursive: true })) {
    if (!/\.(key|json)$/.test(name) || name.startsWith("instances/")) continue;
    for (const text of strings(name, await readFile(join(data, name), "utf8"))) {
      if (/PRIVATE KEY/.test(text)) addPem(name, text);
      else if (name.startsWith("ech/") && Buffer.from(text, "base64").length === 32) {
        add(name, Buffer.from(text, "base64"));
      }
    }
  }
  const kinds = new Set(forms.map(({ name }) => name.split("/")[0]));
  expect(kinds).toEqual(new Set(["certificates", "ech", "own.key", "pki"]));
  return forms;
}

/** All strings in a file. */
function strings(name: string, text: string): string[] {
  if (!name.endsWith(".json")) return [text];
  const found: string[] = [];
  JSON.parse(text, (_key, value: unknown) => {
    if (typeof value === "string") found.push(value);
    return value;
  });
  return found;
}

function rawSecrets(key: KeyObject): Buffer[] {
  const { d, p, q } = key.export({ format: "jwk" }) as JsonWebKey;
  return [d, p, q].filter((part) => part !== undefined).map((part) =>
    Buffer.from(part, "base64url")
  );
}

/** Bytes as numbers, whatever their class makes of itself in JSON. */
function withBytes(_key: string, value: unknown): unknown {
  return value instanceof Uint8Array ? Array.from(value) : value;
}
