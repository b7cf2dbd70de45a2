import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

const LIMIT = 500;

it("out of descriptors: open connections go on, no core is burnt, and accepting resumes", async () => {
  const server = startLimited("echo-server.ts");
  try {
    const [line] = await once(server.stdout, "data");
    const port = Number(String(line).trim());
    const first = await open(port);
    expect(await ask(first, "ping")).toBe("ping");

    const flood = await Promise.all(Array.from({ length: LIMIT + 100 }, () => open(port)));
    const before = Number(await ask(first, "cpu"));
    await new Promise((resolve) => setTimeout(resolve, 500));
    const spent = Number(await ask(first, "cpu")) - before;
    expect(spent).toBeLessThan(250_000);

    for (const client of flood) client.destroy();
    for (;;) {
      const client = await open(port);
      const answer = await ask(client, "again");
      client.destroy();
      if (answer === "again") break;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    first.destroy();
  } finally {
    server.kill();
  }
});

it("out of descriptors: connecting fails for that reason, and not as if nobody were there", async () => {
  const folder = mkdtempSync(join(tmpdir(), "sotto-descriptors-"));
  const path = join(folder, "a.sock");
  const listeners = [net.createServer(), net.createServer()] as const;
  await new Promise<void>((resolve) => listeners[0].listen(0, "127.0.0.1", resolve));
  await new Promise<void>((resolve) => listeners[1].listen(path, resolve));
  const { port } = listeners[0].address() as net.AddressInfo;
  const child = startLimited("connect-in-vain.ts", String(port), path);
  try {
    const [line] = await once(child.stdout, "data");
    expect(JSON.parse(String(line))).toEqual(["EMFILE", "EMFILE"]);
  } finally {
    child.kill();
    for (const listener of listeners) listener.close();
    rmSync(folder, { recursive: true, force: true });
  }
});

/** A fixture, under this runtime, with few descriptors. */
function startLimited(fixture: string, ...args: readonly string[]) {
  const script = fileURLToPath(new URL(`./fixtures/${fixture}`, import.meta.url));
  const flags = "Deno" in globalThis ? ["run", "-A"] : [];
  const command = `ulimit -n ${LIMIT}; exec "$0" "$@"`;
  return spawn("bash", ["-c", command, process.execPath, ...flags, script, ...args], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, DENO_NO_UPDATE_CHECK: "1" },
  });
}

/** Connected, or closed by a server that has no room. */
async function open(port: number): Promise<net.Socket> {
  const client = net.connect(port, "127.0.0.1");
  client.on("error", () => {});
  await new Promise<void>((resolve) => {
    client.once("connect", resolve);
    client.once("close", () => resolve());
  });
  return client;
}

/** The answer; undefined where the connection closes instead. */
function ask(client: net.Socket, question: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    if (client.destroyed) return resolve(undefined);
    client.once("data", (answer) => resolve(String(answer)));
    client.once("close", () => resolve(undefined));
    client.write(question);
  });
}
