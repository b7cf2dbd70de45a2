import { spawn } from "node:child_process";
import { once } from "node:events";
import net from "node:net";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

const LIMIT = 500;

it("out of descriptors: open connections go on, no core is burnt, and accepting resumes", async () => {
  const script = fileURLToPath(new URL("./fixtures/echo-server.ts", import.meta.url));
  const flags = "Deno" in globalThis ? "run -A" : "";
  const server = spawn(
    "bash",
    ["-c", `ulimit -n ${LIMIT}; exec "${process.execPath}" ${flags} "${script}"`],
    {
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, DENO_NO_UPDATE_CHECK: "1" },
    },
  );
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
