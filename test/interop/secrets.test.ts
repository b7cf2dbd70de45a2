/**
 * The program from the command line, with all that gives it something to say, at level debug: no secret is in any of it.
 */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import tls from "node:tls";

import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";

import { chooseCrypto } from "../../src/crypto/choose.ts";
import { freshTicketKey, TicketKeys } from "../../src/tls/tickets.ts";
import { freePort } from "../support/free-port.ts";
import { staleConfigList } from "./support/ech.ts";
import { interopCertificates } from "./support/fixtures.ts";
import { authName } from "./support/names.ts";
import { run, words } from "./support/run.ts";
import { addDataFolder, Secrets } from "./support/secrets.ts";
import { PROJECT, RUN, type RunningServer, SERVER, startServer } from "./support/server.ts";
import { goClient } from "./support/tools.ts";

/** What clients send, and is nobody's business. */
const [QUERY, COOKIE, PASSWORD, BODY] = ["query", "cookie", "password", "body"]
  .map((what) => `${what}-${randomBytes(16).toString("hex")}`) as [string, string, string, string];

let folder: string;
let upstream: net.Server;
let refusing: number;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "sotto-secrets-"));
  refusing = await freePort();
  upstream = net.createServer((socket) => {
    socket.on("error", () => {});
    socket.on("data", () => {
      socket.end("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
    });
  });
  upstream.listen(0, "127.0.0.1");
  await once(upstream, "listening");
});
afterAll(() => {
  upstream?.close();
  rmSync(folder, { recursive: true, force: true });
});

describe.each([
  ["one process, for people", 1, "pretty"],
  ["a supervisor and two workers, for machines", 2, "json"],
])("issue 4: no secret is in what %s says", (_what, workers, form) => {
  /** What it said, by where. */
  const texts = new Map<string, string>();
  const secrets = new Secrets();
  let own: string;
  let server: RunningServer;
  let config: string;

  beforeAll(async () => {
    own = join(folder, `${workers}`);
    mkdirSync(own);
    config = join(own, "sotto.toml");
    const { shared } = interopCertificates();
    cpSync(shared.certificate, join(own, "own.crt"));
    cpSync(shared.key, join(own, "own.key"));
    server = await startServer({
      toml: toml(workers),
      folder: own,
      args: words`--log ${form} --key-log ${join(own, "keys.log")}`,
    });
  });
  afterAll(() => server?.stop());

  test("of those who are served, and of those who are not", async () => {
    const { ready, port } = server;
    const ca = readFileSync(ready.root);
    const shared = readFileSync(interopCertificates().caFile);
    const echList = ready.ech?.configList ?? "none";
    const answers: string[] = [];
    const served = async (name: string, options: tls.ConnectionOptions = {}) => {
      const answer = await ask(port, name, { ca: [ca, shared], ...options });
      answers.push(answer.text);
      if (answer.session !== undefined) secrets.addTicketOf(answer.session);
      return answer;
    };
    const { clients } = interopCertificates();
    const pair = (who: "good" | "foreign") => ({
      cert: readFileSync(clients[who].certificate),
      key: readFileSync(clients[who].key),
    });
    const first = await served("localhost");
    expect(first.text).toContain("It serves.");
    expect(first.session).toBeDefined();
    const second = await served("localhost", { session: first.session! });
    expect(second.resumed).toBe(true);
    expect((await served("a.test")).text).toContain("own");
    expect((await served("b.test")).text).toMatch(/ok$/);
    const name = authName("require_and_verify");
    expect((await served(name, pair("good"))).text).toMatch(/ok$/);
    for (const wrong of ["dead.localhost", "nobody.example", name]) {
      answers.push((await served(wrong).catch(shown)).text);
    }
    answers.push((await served(name, pair("foreign")).catch(shown)).text);
    answers.push((await served("a.test", { maxVersion: "TLSv1.2" }).catch(shown)).text);
    answers.push((await served("a.test", { ca: [] }).catch(shown)).text);
    answers.push((await served("a.test", { ALPNProtocols: ["imap"] }).catch(shown)).text);
    for (const ech of [echList, staleConfigList(echList, true), staleConfigList(echList)]) {
      const { stdout, stderr, code } = await run(
        goClient(),
        words`get -addr 127.0.0.1:${port} -root ${ready.root} -name localhost -ech ${ech}`,
      );
      expect(code).toBe(0);
      answers.push(stdout + stderr);
    }
    const hello = Buffer.from("160301000501000001ff", "hex");
    const whole = await helloBytes("a.test");
    const half = whole.subarray(0, whole.length >> 1);
    const request = Buffer.from(requestFor("a.test"));
    const twice = Buffer.concat([whole, whole]);
    for (const bytes of [hello, whole, half, twice, Buffer.alloc(64, 0x80), request]) {
      answers.push(await says(port, bytes));
    }
    answers.push(await says(server.httpPort, Buffer.from("nonsense\r\n\r\n")));
    // What a client has sent may come back to it, in a redirect; and nowhere else.
    expect(await says(server.httpPort, request)).toContain(QUERY);
    texts.set("answers", answers.join("\n"));
  });

  test("of who asks by the socket, and of reloads that it refuses", async () => {
    const answers: string[] = [];
    const asked = async (path: string, ...more: string[]) => {
      const args = words`-sS --max-time 20 --unix-socket ${server.ready.health!} ${more}
        http://localhost${path}`;
      const { stdout, stderr } = await run("curl", args);
      answers.push(stdout + stderr);
      return stdout;
    };
    const reload = () => asked("/reload", "-X", "POST");
    expect(await asked("/healthz")).toBe("ok\n");
    expect(await asked("/readyz")).toContain("ready");
    // Workers say now and then what happened.
    await until(async () => "handshakes" in (JSON.parse(await asked("/counters")) as object));
    await asked(`/${QUERY}`, "-X", "POST", "-d", BODY);
    expect(await reload()).toContain(`"sites":`);

    const key = readFileSync(join(own, "own.key"), "utf8");
    const damaged = {
      "a character too many": key.replace(/\n(?=-----END)/, "&$&"),
      "the half of it": key.slice(0, key.length / 2),
      "no end": key.replace(/-----END[^]*/, ""),
      "another kind": key.replaceAll("PRIVATE KEY", "CERTIFICATE"),
      "in hexadecimal": Buffer.from(key).toString("hex"),
      "no base64 at all": key.replaceAll("\n", "\n!"),
      "a byte that is no text": Buffer.from(key).fill(0xff, key.length >> 1, (key.length >> 1) + 1),
      "bits that are changed": key.replace(/^M./m, "MA"),
    };
    for (const [what, content] of Object.entries(damaged)) {
      writeFileSync(join(own, "own.key"), content);
      expect(await reload(), what).toContain(`"err":`);
    }
    writeFileSync(join(own, "own.key"), key);

    const inToml = key.replaceAll("\n", "\\n");
    const wrong = {
      "in place of its file": toml(workers).replace(`"own.key"`, `"${inToml}"`),
      "on several lines": toml(workers).replace(`"own.key"`, `"""${key}"""`),
      "not in quotes": toml(workers).replace(`"own.key"`, key),
      "in the certificate's place": toml(workers).replace(`"own.crt"`, `"${inToml}"`),
      "under an unknown key": toml(workers).replace(`key = "own.key"`, `keys = "${inToml}"`),
      "as a name": toml(workers).replace(`"localhost"`, `"${inToml}"`),
      "as an upstream": toml(workers).replace(`"127.0.0.1:${refusing}"`, `"${inToml}"`),
      "as a number": toml(workers).replace("proxy_protocol = 2", `proxy_protocol = "${inToml}"`),
      "as the file": key,
    };
    for (const [what, content] of Object.entries(wrong)) {
      writeFileSync(config, content);
      expect(await reload(), what).toContain(`"err":`);
      if (workers > 1) continue; // no part of this
      const validate = await sotto("validate", "--config", config);
      expect(validate.code, what).toBe(1);
      answers.push(validate.stdout + validate.stderr);
    }
    writeFileSync(config, toml(workers));
    const data = words`--data ${join(own, "data")}`;
    const files = [...data, "--config", config];
    const ports = words`--listen 127.0.0.1 --https-port ${server.port} --http-port 0`;
    const commands: [number, string[]][] = [
      [0, ["reload", ...files]],
      [0, ["validate", "--limits", ...files]],
      [0, ["ech", "list", ...files]],
      [0, ["root-cert", ...data]],
      [0, ["trust", "--dry-run", ...data]],
      [0, ["version"]],
      [1, [...files, ...ports]], // it is served there already
    ];
    for (const [code, args] of commands) {
      const finished = await sotto(...args);
      expect(finished.code, args.join(" ") + finished.stderr).toBe(code);
      answers.push(finished.stdout + finished.stderr);
    }
    texts.set("answers to whoever may ask", answers.join("\n"));
  }, 120_000);

  test("of processes that are replaced, that die and that end; and in no process's arguments", async () => {
    const pids = [server.ready.pid, ...server.ready.workers ?? []];
    const ofProcesses = pids.map((pid) =>
      readFileSync(`/proc/${pid}/cmdline`, "latin1") +
      readFileSync(`/proc/${pid}/environ`, "latin1")
    );
    texts.set("arguments and environment", ofProcesses.join("\n"));
    texts.set("ready file", readFileSync(join(own, "ready.json"), "utf8"));
    if (workers > 1) {
      process.kill(server.ready.pid, "SIGUSR2");
      await until(() => server.output().includes("workers_replaced"));
      const { pid } = server.events("worker_started").at(-1) as { pid: number };
      process.kill(pid, "SIGKILL");
      await until(() => server.output().includes("worker_died"));
      const readyz = words`-sS --unix-socket ${server.ready.health!} http://localhost/readyz`;
      await until(async () => (await run("curl", readyz)).stdout.includes("2 of 2 workers"));
    }
    addAll();
    process.kill(server.ready.pid, "SIGTERM");
    await server.stop();
    const output = server.output();
    expect(output).toMatch(/debug/);
    expect(output).toContain("stopping");
    texts.set("output", output);
  });

  test("and all of it has been looked through", () => {
    expect([...texts.keys()]).toEqual([
      "answers",
      "answers to whoever may ask",
      "arguments and environment",
      "ready file",
      "output",
    ]);
    const kinds = new Set(secrets.names.map((name) => name.split("/")[0]!));
    const known = ["certificates", "ech", "key log", "own.key", "pki", "snapshot.bin"];
    if (workers > 1) known.push("states");
    expect(kinds).toEqual(new Set(known));
    for (const [where, text] of texts) expect(secrets.foundIn(text), where).toEqual([]);
    const log = texts.get("output")!;
    for (const sent of [QUERY, COOKIE, PASSWORD, BODY]) expect(log).not.toContain(sent);
  });

  /** While it runs: what workers serve by goes with it. */
  function addAll(): void {
    addDataFolder(secrets, join(own, "data"));
    secrets.addPem("own.key", readFileSync(join(own, "own.key"), "utf8"));
    for (const line of readFileSync(join(own, "keys.log"), "utf8").split("\n")) {
      const [label, , secret] = line.split(" ");
      if (label === "ECH_CONFIG") continue; // it is published
      if (secret !== undefined) secrets.add("key log", Buffer.from(secret, "hex"));
    }
  }
});

test("issue 4: nor in what is said of a data folder with damage", async () => {
  const whole = join(folder, "whole");
  mkdirSync(whole);
  const site = `log_level = "debug"\n[[site]]\nnames = ["localhost"]\n`;
  const first = await startServer({ toml: site, folder: whole });
  await first.stop();
  const secrets = new Secrets();
  addDataFolder(secrets, join(whole, "data"));
  const files = readdirSync(join(whole, "data"), { recursive: true, encoding: "utf8" })
    .filter((name) => /\.(key|json|bin)$/.test(name) && !name.startsWith("instances/"));
  expect(files.length).toBeGreaterThanOrEqual(6);
  const damages: ((content: Buffer) => Buffer)[] = [
    (content) => content.subarray(0, content.length >> 1),
    (content) => Buffer.concat([content.subarray(0, -4), Buffer.from("#"), content.subarray(-4)]),
  ];
  for (const [i, file] of files.entries()) {
    await Promise.all(damages.map(async (damage, j) => {
      const own = join(folder, `damaged-${i}-${j}`);
      cpSync(whole, own, { recursive: true });
      // It would serve by what is in there.
      if (file !== "snapshot.bin") rmSync(join(own, "data/snapshot.bin"));
      const path = join(own, "data", file);
      writeFileSync(path, damage(readFileSync(path)));
      const said = await startAndStop(site, own);
      expect(said).toMatch(/sotto/);
      expect(secrets.foundIn(said), file).toEqual([]);
    }));
  }
}, 120_000);

describe("the search can fail:", () => {
  test("it finds each secret, in each form", () => {
    const bytes = randomBytes(32);
    const secrets = new Secrets();
    secrets.add("some", bytes);
    expect(secrets.foundIn(randomBytes(64).toString("hex"))).toEqual([]);
    const around = (shift: number) => Buffer.concat([Buffer.alloc(shift), bytes, Buffer.alloc(3)]);
    for (
      const text of [
        bytes.toString("hex"),
        bytes.toString("hex").toUpperCase(),
        JSON.stringify([...bytes]),
        ...[0, 1, 2].map((shift) => around(shift).toString("base64")),
        ...[0, 1, 2].map((shift) => around(shift).toString("base64url")),
      ]
    ) {
      expect(secrets.foundIn(`before ${text} behind`), text).toEqual(["some"]);
    }
  });

  test("it finds the key of a ticket, which it does not know", async () => {
    const crypto = chooseCrypto();
    const key = freshTicketKey(crypto, 0);
    const ticket = new TicketKeys(crypto, [key], 3600).seal({
      suite: 0x1301,
      psk: new Uint8Array(32),
      createdMs: 0,
      authenticatedSeconds: 0,
      lifetimeSeconds: 3600,
      ageAdd: 0,
      serverNameHash: new Uint8Array(32),
      alpn: "http/1.1",
      policyId: 0,
      echAccepted: false,
    });
    const secrets = new Secrets();
    const { length } = ticket;
    const header = length < 256 ? [4, 0x81, length] : [4, 0x82, length >> 8, length & 0xff];
    secrets.addTicketOf(Buffer.from([0x30, ...header, ...ticket, 0]));
    const bytes = Buffer.concat([Buffer.from("x"), key.name, key.key, Buffer.alloc(9)]);
    for (
      const text of [
        `key=${Buffer.from(key.key).toString("hex")},`,
        JSON.stringify([...key.key]),
        `0${bytes.toString("hex")}`,
        `a ${bytes.toString("base64")}`,
        `a ${bytes.toString("base64url")}`,
      ]
    ) {
      expect(secrets.foundIn(text), text).toEqual(["ticket key"]);
    }
    expect(secrets.foundIn(Buffer.from(ticket).toString("hex"))).toEqual([]);
  });

  test("it finds whatever the data folder holds, planted in a run's log", async () => {
    const own = join(folder, "planted");
    mkdirSync(own);
    const server = await startServer({ toml: `[[site]]\nnames = ["localhost"]\n`, folder: own });
    onTestFinished(() => server.stop());
    const data = join(own, "data");
    await until(() => existsSync(join(data, "snapshot.bin")));
    const secrets = new Secrets();
    addDataFolder(secrets, data);
    expect(secrets.foundIn(server.output())).toEqual([]);
    for (const name of readdirSync(data, { recursive: true, encoding: "utf8" })) {
      if (!/\.(key|json)$/.test(name) || name.startsWith("instances/")) continue;
      const text = JSON.stringify({ event: "oops", of: readFileSync(join(data, name), "utf8") });
      expect(secrets.foundIn(server.output() + text), name).toContain(name);
    }

    writeFileSync(join(data, "tokens.bin"), randomBytes(32), { mode: 0o600 });
    expect(() => addDataFolder(secrets, data)).toThrow("Is tokens.bin secret?");
    rmSync(join(data, "tokens.bin"));
    const leaf = join(data, "certificates/local/localhost.json");
    const before = readFileSync(leaf, "utf8");
    writeFileSync(leaf, before.replace("{", `{"token":"x",`));
    expect(() => addDataFolder(secrets, data)).toThrow("Is token of certificates/local/localhost");
    writeFileSync(leaf, before);
    chmodSync(leaf, 0o640);
    expect(() => addDataFolder(secrets, data)).toThrow("localhost.json is open to others");
  });
});

function toml(workers: number): string {
  const { caFile } = interopCertificates();
  const { port } = upstream.address() as net.AddressInfo;
  const site = (name: string, lines: string) =>
    `[[site]]\nnames = ["${name}"]\ncertificate = "own.crt"\nkey = "own.key"\n${lines}\n`;
  const forward = `forward = "127.0.0.1:${port}"\nproxy_protocol = 2`;
  return [
    `workers = ${workers}\nlog_level = "debug"\n[[site]]\nnames = ["localhost"]\n`,
    site("a.test", `respond = "own"`),
    site("b.test", forward),
    site(
      authName("require_and_verify"),
      `${forward}\nclient_auth = { mode = "require_and_verify", ca = ["${caFile}"] }`,
    ),
    `[[site]]\nnames = ["dead.localhost"]\nforward = "127.0.0.1:${refusing}"\n` +
    `health_check = "100ms"\n`,
  ].join("\n");
}

/** With something in each place where secrets are sent. */
function requestFor(name: string): string {
  return `POST /${QUERY}?token=${QUERY} HTTP/1.1\r\nHost: ${name}\r\nConnection: close\r\n` +
    `Cookie: session=${COOKIE}\r\nAuthorization: Bearer ${PASSWORD}\r\n` +
    `Content-Length: ${BODY.length}\r\n\r\n${BODY}`;
}

interface Answer {
  readonly text: string;
  readonly resumed?: boolean;
  readonly session?: Buffer | undefined;
}

const shown = (error: unknown): Answer => ({ text: String(error) });

/** The request that fits the name: the welcome page has no other than its own. */
async function ask(port: number, name: string, options: tls.ConnectionOptions): Promise<Answer> {
  const socket = tls.connect({
    host: "127.0.0.1",
    port,
    servername: name,
    ALPNProtocols: ["http/1.1"],
    ...options,
  });
  socket.setTimeout(10_000, () => socket.destroy(new Error("no answer")));
  try {
    const ended = once(socket, "end");
    let session: Buffer | undefined;
    let text = "";
    socket.on("session", (ticket: Buffer) => session = ticket);
    socket.on("data", (chunk: Buffer) => text += chunk.toString("latin1"));
    await Promise.race([once(socket, "secureConnect"), ended]);
    socket.write(
      name === "localhost"
        ? "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        : requestFor(name),
    );
    await ended;
    return { text, session, resumed: socket.isSessionReused() };
  } finally {
    socket.destroy();
  }
}

/** Raw bytes, and what comes back for them. */
function says(port: number, bytes: Buffer): Promise<string> {
  return new Promise((resolve) => {
    let answer = "";
    const socket = net.connect(port, "127.0.0.1", () => socket.end(bytes));
    socket.on("data", (chunk: Buffer) => void (answer += chunk.toString("latin1")));
    socket.on("error", () => {});
    socket.on("close", () => resolve(answer));
  });
}

/** What a client says first. */
async function helloBytes(name: string): Promise<Buffer> {
  const listener = net.createServer().listen(0, "127.0.0.1");
  await once(listener, "listening");
  const { port } = listener.address() as net.AddressInfo;
  const client = tls.connect({ host: "127.0.0.1", port, servername: name });
  client.on("error", () => {});
  const [socket] = await once(listener, "connection") as [net.Socket];
  const [hello] = await once(socket, "data") as [Buffer];
  client.destroy();
  listener.close();
  return hello;
}

function sotto(...args: string[]) {
  const [command, ...before] = RUN[SERVER];
  return run(command!, [...before, join(PROJECT, "edge.ts"), ...args], { cwd: PROJECT });
}

/** All that it says, whether it comes to serve or not. */
async function startAndStop(toml: string, own: string): Promise<string> {
  try {
    const server = await startServer({ toml, folder: own });
    await server.stop();
    return server.output();
  } catch (error) {
    return String(error);
  }
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!await condition()) {
    if (Date.now() > deadline) throw new Error(`in vain: ${String(condition)}`);
    await delay(20);
  }
}
