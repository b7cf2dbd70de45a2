import { spawn } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";

import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";

import { reload } from "../src/cli/reload.ts";
import { instanceSocket } from "../src/control/instance-lock.ts";
import { thisProcess } from "../src/control/process-identity.ts";
import { Ports } from "../src/ports.ts";
import { thisRuntime } from "../src/runtime/detect.ts";
import type { ListenOptions } from "../src/runtime/runtime.ts";
import { serveUnix, type UnixHttpServer } from "../src/runtime/unix-http.ts";
import { holdLock } from "./support/held-lock.ts";

describe.runIf(process.platform === "linux")("Of a sotto in another container", () => {
  let folder: string;
  let socket: UnixHttpServer;
  let asked: string[];
  /** Has the same process id here as that one has there. */
  let bystander: ReturnType<typeof spawn>;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "sotto-ports-"));
    asked = [];
    bystander = spawn("sleep", ["60"], { stdio: "ignore" });
    const path = instanceSocket(folder, ADDRESS);
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    socket = await serveUnix(path, (request) => {
      asked.push(`${request.method} ${new URL(request.url).pathname}`);
      const outcome = { config: "/etc/sotto/sotto.toml", sites: 2, warnings: [] };
      return Response.json({ pid: bystander.pid, ...outcome });
    });
    const { boot } = await thisProcess();
    const lock = { pid: bystander.pid, began: "1", boot, container: "pid:[1]", address: ADDRESS };
    await writeFile(path.replace(/sock$/, "json"), JSON.stringify(lock));
  });
  afterEach(async () => {
    const gone = new Promise((resolve) => void bystander.once("exit", resolve));
    if (bystander.exitCode === null && bystander.signalCode === null) {
      process.kill(bystander.pid!, "SIGKILL");
      await gone;
    }
    await socket.stop();
    await rm(folder, { recursive: true });
  });

  const isAlive = async () =>
    / S /.test(await readFile(`/proc/${bystander.pid}/stat`, "latin1").catch(() => ""));

  test("a takeover ends it by its socket, and not who has its process id here", async () => {
    const ports = new Ports({
      runtime: await thisRuntime(),
      dataFolder: folder,
      takeover: true,
      privileges: undefined,
    });
    const stop = () => Promise.resolve();
    const listen = (hostname: string, port: number) => Promise.resolve({ hostname, port, stop });
    const wish = { addresses: ["127.0.0.1"], ports: [PORT], option: "" };
    await ports.claim(await ports.bindHttps(wish, listen));
    expect(asked).toEqual(["POST /stop"]);
    expect(await isAlive()).toBe(true);
    await ports.release();
  });

  test("a reload asks it by its socket, and sends nobody a signal", async () => {
    const said = vi.spyOn(process.stdout, "write").mockReturnValue(true);
    await reload({ config: undefined, data: folder });
    expect(said.mock.lastCall?.[0]).toBe(
      `reloaded: 2 sites from /etc/sotto/sotto.toml, on ${ADDRESS}\n`,
    );
    said.mockRestore();
    expect(asked).toEqual(["POST /reload"]);
    expect(await isAlive()).toBe(true);
  });
});

describe.runIf(process.platform === "linux")("Where a sotto is followed", () => {
  /** Addresses that are tried first, as somebody else may have them. */
  async function tried(held: string, addresses: readonly string[]): Promise<readonly string[]> {
    const folder = await mkdtemp(join(tmpdir(), "sotto-ports-"));
    const other = spawn("sleep", ["60"], { stdio: "ignore" });
    onTestFinished(async () => {
      other.kill("SIGKILL");
      await rm(folder, { recursive: true });
    });
    await holdLock(folder, `${held}:${PORT}`, other.pid!);
    const probed: string[] = [];
    const stop = () => Promise.resolve();
    const runtime = {
      ...await thisRuntime(),
      reusesPorts: true,
      joinsFamilies: false,
      listen({ hostname, port }: ListenOptions) {
        probed.push(hostname);
        return Promise.resolve({ hostname, port, stop });
      },
    };
    const ports = new Ports({ runtime, dataFolder: folder, takeover: true, privileges: undefined });
    const listen = (hostname: string, port: number) => Promise.resolve({ hostname, port, stop });
    const bound = await ports.bindHttps({ addresses, ports: [PORT], option: "" }, listen);
    expect(bound.map(({ hostname }) => hostname).toSorted()).toEqual(addresses.toSorted());
    return probed;
  }

  test("its [::] may be its 0.0.0.0 too, which is shared then", async () => {
    expect(await tried("[::]", ["0.0.0.0", "::"])).toEqual([]);
  });

  test("another address is not shared: a stranger may have it", async () => {
    expect(await tried("127.0.0.1", ["127.0.0.1", "127.0.0.2"])).toEqual(["127.0.0.2"]);
    expect(await tried("[::]", ["::", "::1"])).toEqual(["::1"]);
  });
});

/** Nobody listens there: nothing is bound. */
const PORT = 44_399;
const ADDRESS = `127.0.0.1:${PORT}`;
