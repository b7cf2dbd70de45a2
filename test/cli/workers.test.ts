import { existsSync, readdirSync } from "node:fs";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { connect } from "node:tls";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import type { Ready } from "../../src/cli/ready-file.ts";
import { SAME_WISH_MS } from "../../src/cli/stop-signals.ts";
import { curl, type Program, startProgram, whenReady } from "../support/program.ts";
import { DAY, make } from "../x509/make.ts";

let folder: string;
let programs: Program[];
/** Workers outlive a supervisor that was killed. */
let pids: Set<number>;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "sotto-workers-"));
  [programs, pids] = [[], new Set()];
});
afterEach(async () => {
  for (const { child } of programs) await kill(child);
  for (const pid of [...pids, ...marked()]) {
    if (await isAlive(pid)) process.kill(pid, "SIGKILL");
  }
  for (const { ended } of programs) await ended;
  await rm(folder, { recursive: true });
});

/** Resolves with its end; orphans of its may still hold what it wrote to. */
async function kill(child: Program["child"]): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => void child.once("exit", resolve));
  process.kill(child.pid!, "SIGKILL");
  await gone;
}

interface Served extends Program {
  readonly ready: Ready;
  readonly https: string;
  readonly http: string;
}

async function site(text: string, more = ""): Promise<void> {
  await writeFile(
    join(folder, "sotto.toml"),
    `workers = 2\n${more}\n[[site]]\nnames = ["localhost"]\nrespond = "${text}"\n`,
  );
}

function begin(httpsPort: string, httpPort: string, ...args: string[]): Program {
  const ports = ["--listen", "127.0.0.1", "--https-port", httpsPort, "--http-port", httpPort];
  const data = ["--data", join(folder, "data"), "--log", "json"];
  const started = startProgram([...ports, ...data, ...args], { cwd: folder });
  programs.push(started);
  return started;
}

async function serve(httpsPort = "0", httpPort = "0", ...args: string[]): Promise<Served> {
  const file = join(folder, `ready-${programs.length}`);
  const started = begin(httpsPort, httpPort, "--ready-file", file, ...args);
  const ready = await whenReady(started, file);
  for (const pid of ready.workers ?? []) pids.add(pid);
  const port = (places: readonly string[]) => places[0]!.split(":").at(-1)!;
  return { ...started, ready, https: port(ready.https), http: port(ready.http) };
}

/** Whose marks are in the data folder. */
function marked(): number[] {
  const instances = join(folder, "data/instances");
  if (!existsSync(instances)) return [];
  return readdirSync(instances, { recursive: true, encoding: "utf8" }).flatMap((name) => {
    const pid = /\.(\d+)\.worker$/.exec(name)?.[1];
    return pid === undefined ? [] : [Number(pid)];
  });
}

async function isAlive(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, "latin1").catch(() => "");
  return stat !== "" && !/^\d+ \(.*\) [ZX]/.test(stat);
}

function events(program: Program, name: string): Record<string, unknown>[] {
  return program.stderr().split("\n").flatMap((line) => {
    if (!line.startsWith("{")) return [];
    const event = JSON.parse(line) as Record<string, unknown>;
    return event.event === name ? [event] : [];
  });
}

async function until(what: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!await what()) {
    if (Date.now() > deadline) {
      throw new Error(`in vain: ${String(what)} ${programs.map((one) => one.stderr()).join()}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function page({ ready, https }: Served): Promise<string> {
  return await curl("--cacert", ready.root, `https://localhost:${https}/`);
}

/** So many that each worker gets some. */
async function pages(served: Served): Promise<Set<string>> {
  const seen = new Set<string>();
  for (let i = 0; i < 12; i++) seen.add(await page(served));
  return seen;
}

/** From the unix socket. */
function ask(socketPath: string, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    request({ socketPath, path, agent: false }, (answer) => {
      let text = "";
      answer.on("data", (bytes: Buffer) => text += bytes.toString());
      answer.on("end", () => resolve(text));
    }).on("error", reject).end();
  });
}

// Where two processes cannot share a port there are no workers.
describe.runIf(process.platform === "linux")("workers", { timeout: 60_000 }, () => {
  test("design 2: as many as wished for serve; report, ready file and /readyz say so", async () => {
    await site("served");
    const served = await serve();
    expect(served.stdout()).toContain("\n2 worker processes serve, this one looks after them\n");
    expect(new Set(served.ready.workers).size).toBe(2);
    expect(served.ready.workers).not.toContain(served.ready.pid);
    expect(await ask(served.ready.health!, "/readyz")).toBe("ready\n2 of 2 workers serve\n");
    expect(await pages(served)).toEqual(new Set(["served"]));
    const head = await curl("-sI", `http://localhost:${served.http}/`);
    expect(head).toMatch(/^HTTP\/1\.1 308 /);
    await until(async () => {
      const counters = JSON.parse(await ask(served.ready.health!, "/counters")) as {
        handshakes?: Record<string, number>;
      };
      return counters.handshakes?.full === 12;
    });
    process.kill(served.child.pid!, "SIGTERM");
    expect((await served.ended).code, served.stderr()).toBe(0);
    for (const pid of served.ready.workers!) expect(await isAlive(pid)).toBe(false);
    expect(marked()).toEqual([]);
  });

  test("--workers goes before the file, and 1 is no worker but the process itself", async () => {
    await site("served");
    expect((await serve("0", "0", "--workers", "1")).ready.workers).toBeNull();
    expect((await serve("0", "0", "--workers", "3")).ready.workers).toHaveLength(3);
  });

  test("No secret is on a command line or in an environment, and files are their owner's", async () => {
    await site("served");
    const served = await serve();
    const [pid] = served.ready.workers!;
    const line = await readFile(`/proc/${pid}/cmdline`, "utf8");
    const words = line.split("\0").filter(Boolean);
    expect(words.at(-2)).toMatch(/src\/worker\.ts$/);
    const own = await readFile(`/proc/${served.ready.pid}/environ`, "utf8");
    const names = (text: string) =>
      new Set(text.split("\0").map((entry) => entry.replace(/=.*/s, "")));
    expect(names(await readFile(`/proc/${pid}/environ`, "utf8")).difference(names(own)).size)
      .toBe(0);
    expect((await stat(words.at(-1)!)).mode & 0o777).toBe(0o600);
    const instances = join(folder, "data/instances");
    for (const name of readdirSync(instances, { recursive: true, encoding: "utf8" })) {
      expect((await stat(join(instances, name))).mode & 0o077, name).toBe(0);
    }
  });

  test("design 11: a reload reaches every worker, or none", async () => {
    await site("first");
    const served = await serve();
    await site("second");
    process.kill(served.child.pid!, "SIGHUP");
    await until(() => events(served, "reloaded").length === 1);
    expect(await pages(served)).toEqual(new Set(["second"]));
    await writeFile(join(folder, "sotto.toml"), "workers = 0\n");
    process.kill(served.child.pid!, "SIGHUP");
    await until(() => events(served, "reload_failed").length === 1);
    expect(await pages(served)).toEqual(new Set(["second"]));
    expect(served.ready.workers).toEqual(
      expect.arrayContaining(marked()),
    );
  });

  /** What a supervisor has before and after a reload that it cannot write, and after the same one once it can. */
  async function reloadUnwritten(oldSite: string, ...passing: string[]): Promise<unknown[]> {
    for (const [name, site] of [["old", oldSite], ["new", 'respond = "new"']] as const) {
      await writeFile(
        join(folder, `${name}.toml`),
        `[ech]\npublic_name = "${name}.localhost"\n[[site]]\nnames = ["localhost"]\n${site}\n`,
      );
    }
    const script = join(import.meta.dirname, "fixtures/reload-unwritten.ts");
    const program = startProgram([folder, ...passing], { script });
    programs.push(program);
    const { stdout, stderr } = await program.ended;
    expect(stderr).toBe("");
    return stdout.trim().split("\n").map((line) => JSON.parse(line) as unknown);
  }

  test("design 11: where no worker can be told of it, the supervisor takes a reload back", async () => {
    expect(await reloadUnwritten('respond = "old"')).toEqual([
      ["before", "old.localhost", 2],
      [expect.stringMatching(/^Cannot write .*snapshot/), "old.localhost", 2],
      ["taken", "new.localhost", 2],
    ]);
  });

  test("design 11: a reload that cannot be taken back either stays whole, until workers can be told", async () => {
    const names = [{ type: "dns", value: "localhost" }] as const;
    const [notBefore, notAfter] = [Date.now() - DAY, Date.now() + DAY];
    const { pem, keyPem } = await make({ names, notBefore, notAfter });
    await writeFile(join(folder, "old.pem"), pem + keyPem);
    const site = 'respond = "old"\ncertificate = "old.pem"\nkey = "old.pem"';
    expect(await reloadUnwritten(site, "old.pem")).toEqual([
      ["before", "old.localhost", 2],
      [expect.stringMatching(/^Cannot write .*snapshot/), "new.localhost", 2],
      ["taken", "new.localhost", 2],
    ]);
  });

  test("A reload that changes limits of connections puts new workers in the place of the old", async () => {
    await site("first");
    const served = await serve();
    await site("second", "[limits]\nidleTimeoutMs = 5000");
    process.kill(served.child.pid!, "SIGHUP");
    await until(() => events(served, "reloaded").length === 1);
    await until(() => served.ready.workers!.every((pid) => !marked().includes(pid)));
    expect(marked()).toHaveLength(2);
    expect(await pages(served)).toEqual(new Set(["second"]));
    expect(events(served, "warning").filter(({ what }) => /restart/.test(String(what)))).toEqual(
      [],
    );
  });

  test("issue 4: a worker that is killed is replaced, and the log says so with its number", async () => {
    await site("served");
    const served = await serve();
    const [victim] = served.ready.workers!;
    process.kill(victim!, "SIGKILL");
    await until(() => events(served, "worker_started").length === 1);
    expect(events(served, "worker_died")).toMatchObject([
      { level: "error", worker: 1, pid: victim, err: "SIGKILL" },
    ]);
    expect(await ask(served.ready.health!, "/readyz")).toBe("ready\n2 of 2 workers serve\n");
    expect(await pages(served)).toEqual(new Set(["served"]));
  });

  test("A worker that hangs is replaced within 20 s, and connections of the others stay", async () => {
    await site("served");
    const served = await serve();
    const [victim, other] = served.ready.workers!;
    const clients = await Promise.all(
      Array.from({ length: 16 }, () => openClient(served.https, served.ready.root)),
    );
    const answered = await Promise.all(clients.map((client) => client.ask()));
    expect(answered).toEqual(clients.map(() => true));
    process.kill(victim!, "SIGSTOP");
    const healthy: Client[] = [];
    await Promise.all(clients.map(async (client) => {
      if (await client.ask(2_000)) healthy.push(client);
    }));
    expect(healthy.length).toBeGreaterThan(0);
    expect(healthy.length).toBeLessThan(clients.length);
    await until(() => events(served, "worker_started").length === 1);
    expect(events(served, "worker_hangs")).toMatchObject([{ worker: 1, pid: victim }]);
    await until(async () => !await isAlive(victim!));
    await until(() => events(served, "worker_killed").length === 1);
    expect(events(served, "worker_killed")).toMatchObject([{ worker: 1, pid: victim }]);
    expect(await Promise.all(healthy.map((client) => client.ask()))).toEqual(
      healthy.map(() => true),
    );
    expect(await isAlive(other!)).toBe(true);
    expect(await pages(served)).toEqual(new Set(["served"]));
    expect(await ask(served.ready.health!, "/readyz")).toBe("ready\n2 of 2 workers serve\n");
    for (const client of clients) client.end();
  });

  test("issue 4: orphans serve on; the next start takes their place without --takeover", async () => {
    await site("first");
    const first = await serve();
    await kill(first.child);
    expect(await pages(first)).toEqual(new Set(["first"]));
    await site("second");
    const second = await serve(first.https, first.http);
    await until(async () => !(await Promise.all(first.ready.workers!.map(isAlive))).some(Boolean));
    expect(await pages(second)).toEqual(new Set(["second"]));
  });

  test("Of orphans one that hangs is killed within 20 s, and one that drains is not", async () => {
    await site("first");
    const first = await serve();
    const [hangs, drains] = first.ready.workers!;
    await kill(first.child);
    process.kill(hangs!, "SIGSTOP");
    // It is the one that answers.
    let held: Client | undefined;
    while (held === undefined) {
      const client = await openClient(first.https, first.ready.root, 500);
      if (await client.ask(500)) held = client;
      else client.end();
    }
    held.beginToAsk();
    const second = await serve(first.https, first.http);
    const startedMs = performance.now();
    await until(async () => !await isAlive(hangs!));
    expect(performance.now() - startedMs).toBeLessThan(20_000);
    expect(await isAlive(drains!)).toBe(true);
    held.end();
    await until(async () => !await isAlive(drains!));
    expect(await page(second)).toBe("first");
  });

  test("issue 4: one process takes the place of orphans, and workers that of one process", async () => {
    await site("first");
    const first = await serve();
    await kill(first.child);
    await site("second");
    const second = await serve(first.https, first.http, "--workers", "1");
    await until(async () => !(await Promise.all(first.ready.workers!.map(isAlive))).some(Boolean));
    expect(await pages(second)).toEqual(new Set(["second"]));
    const third = await serve(first.https, first.http, "--takeover");
    expect((await second.ended).code).toBe(0);
    expect(third.ready.workers).toHaveLength(2);
    expect(await page(third)).toBe("second");
  });

  test("Of two starts at once one serves, and the other says why not", async () => {
    await site("served");
    const { https, http, child, ended } = await serve();
    process.kill(child.pid!, "SIGTERM");
    await ended;
    for (let i = 0; i < 2; i++) {
      const rivals = [0, 1].map(() => {
        const file = join(folder, `rival-${programs.length}`);
        return { file, ...begin(https, http, "--ready-file", file) };
      });
      const outcomes = await Promise.all(rivals.map(async (rival) => {
        try {
          return { rival, ready: await whenReady(rival, rival.file) };
        } catch {
          return { rival, ready: undefined };
        }
      }));
      const winners = outcomes.filter(({ ready }) => ready !== undefined);
      expect(winners.length, rivals.map((rival) => rival.stderr()).join()).toBe(1);
      const loser = outcomes.find(({ ready }) => ready === undefined)!.rival;
      expect((await loser.ended).stderr).toMatch(
        /Cannot (serve|listen) on 127\.0\.0\.1:\d+: (sotto with process id|another process)/,
      );
      const [{ ready, rival }] = winners as [{ ready: Ready; rival: (typeof rivals)[number] }];
      expect(new Set(marked())).toEqual(new Set(ready.workers));
      expect(await curl("--cacert", ready.root, `https://localhost:${https}/`)).toBe("served");
      process.kill(rival.child.pid!, "SIGTERM");
      expect((await rival.ended).code).toBe(0);
    }
  });

  test("A supervisor that is killed while it writes snapshots leaves nothing that a start minds", async () => {
    await site("first");
    const first = await serve();
    // One after the other, so that a write is under way whenever it ends.
    for (let i = 0; i < 20; i++) {
      await site(`text ${i} ${"x".repeat(2_000)}`);
      process.kill(first.child.pid!, "SIGHUP");
      if (i === 15) break;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await kill(first.child);
    expect((await page(first)).length).toBeGreaterThan(0);
    await site("last");
    const second = await serve(first.https, first.http);
    expect(events(second, "warning").filter(({ what }) => /snapshot/.test(String(what)))).toEqual(
      [],
    );
    await until(async () => !(await Promise.all(first.ready.workers!.map(isAlive))).some(Boolean));
    expect(await pages(second)).toEqual(new Set(["last"]));
    const states = readdirSync(join(folder, "data/instances"), {
      recursive: true,
      encoding: "utf8",
    })
      .filter((name) => name.endsWith(".states"));
    expect(states.map((name) => /(\d+)-\w+\.states$/.exec(name)?.[1])).toEqual([
      `${second.ready.pid}`,
    ]);
  });

  test("design 12: a second signal ends supervisor and workers at once", async () => {
    await site("served");
    const served = await serve();
    const { https, ready } = served;
    // A request that is never finished keeps a worker from ending.
    const held = startHeld(https, ready.root);
    await until(async () => {
      const counters = JSON.parse(await ask(ready.health!, "/counters")) as { live?: number };
      return counters.live === 1;
    });
    process.kill(served.child.pid!, "SIGTERM");
    await until(() => events(served, "stopping").length === 1);
    await delay(SAME_WISH_MS);
    process.kill(served.child.pid!, "SIGTERM");
    expect((await served.ended).code).toBe(1);
    await until(async () => !(await Promise.all(ready.workers!.map(isAlive))).some(Boolean));
    held.abort();
  });
});

interface Client {
  /** False: no answer within this time. */
  ask(timeoutMs?: number): Promise<boolean>;
  /** Half a request: who is to end waits for the rest. */
  beginToAsk(): void;
  end(): void;
}

/** A connection that stays, and asks again and again. */
async function openClient(port: string, root: string, timeoutMs = 10_000): Promise<Client> {
  const socket = connect({
    port: Number(port),
    host: "127.0.0.1",
    servername: "localhost",
    ca: await readFile(root),
  });
  socket.on("error", () => {});
  await Promise.race([
    new Promise((resolve) => void socket.once("secureConnect", resolve)),
    new Promise((resolve) => setTimeout(resolve, timeoutMs)),
  ]);
  return {
    ask: (timeoutMs = 10_000) =>
      new Promise((resolve) => {
        const timer = setTimeout(() => done(false), timeoutMs);
        const onData = () => done(true);
        const onClose = () => done(false);
        const done = (has: boolean) => {
          clearTimeout(timer);
          socket.off("data", onData).off("close", onClose);
          resolve(has);
        };
        socket.on("data", onData).on("close", onClose);
        socket.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
      }),
    beginToAsk: () => void socket.write("GET / HTTP/1.1\r\n"),
    end: () => void socket.destroy(),
  };
}

/** A connection that has said half a request. */
function startHeld(port: string, root: string): AbortController {
  const controller = new AbortController();
  void (async () => {
    const socket = connect({
      port: Number(port),
      host: "127.0.0.1",
      servername: "localhost",
      ca: await readFile(root),
    }, () => void socket.write("GET / HTTP/1.1\r\n"));
    socket.on("error", () => {});
    controller.signal.addEventListener("abort", () => socket.destroy());
  })();
  return controller;
}
