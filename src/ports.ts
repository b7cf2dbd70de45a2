/**
 * Has the ports of this process and its workers to itself, or follows another sotto on them without losing a connection:
 * one that lives, or workers whose supervisor is dead.
 *
 * Listeners are opened so that a successor may bind beside them. Since that lets anybody of the same user do so, a
 * port is first taken for a moment without: that fails where any other process has it, as it should.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import process from "node:process";

import { postToInstance } from "./control/ask-instance.ts";
import {
  type Instance,
  InstanceError,
  type InstanceLock,
  instanceOn,
  instanceSocket,
  takeInstanceLock,
} from "./control/instance-lock.ts";
import {
  isInOtherContainer,
  isSameProcess,
  type ProcessIdentity,
} from "./control/process-identity.ts";
import { orphansOn } from "./control/worker-marks.ts";
import { ANY_IPV6, bind, BindError, type BindWish, type Listen } from "./edge/bind.ts";
import type { Privileges } from "./runtime/privileges.ts";
import type { Listener, Runtime } from "./runtime/runtime.ts";

export interface PortsParts {
  readonly runtime: Runtime;
  readonly dataFolder: string;
  /**
   * Follow the sotto that serves on the same addresses from the same folder, if there is one; undefined: no, and that
   * cannot be asked for.
   */
  readonly takeover: boolean | undefined;
  /** Of who binds as root. */
  readonly privileges: Privileges | undefined;
}

export class Ports {
  readonly #parts: PortsParts;
  readonly #followed = new Map<number, Instance>();
  /** By process id. */
  readonly #orphans = new Map<number, ProcessIdentity>();
  #orphanTimer: ReturnType<typeof setTimeout> | undefined;
  #locks: readonly InstanceLock[] = [];
  /** Whom we follow has `::`, and may have IPv4 by that, of which no lock says so. */
  #sharesAny = false;

  constructor(parts: PortsParts) {
    this.#parts = parts;
  }

  /**
   * HTTPS: guarded by the locks in the data folder.
   *
   * @throws {BindError}
   */
  async bindHttps(wish: BindWish, listen: Listen): Promise<Listener[]> {
    return await this.#bind(wish, async (hostname, port) => {
      const isShared = await this.#isShared(placeOf({ hostname, port }), port);
      if (isShared && hostname === ANY_IPV6) this.#sharesAny = true;
      return await this.#listen(
        listen,
        hostname,
        port,
        isShared || (this.#sharesAny && !hostname.includes(":")),
      );
    });
  }

  /** HTTP, after HTTPS. @throws {BindError} */
  async bindHttp(wish: BindWish, listen: Listen): Promise<Listener[]> {
    return await this.#bind(
      wish,
      (hostname, port) =>
        this.#listen(listen, hostname, port, this.#followed.size + this.#orphans.size > 0),
    );
  }

  /**
   * Everything is ready: the locks become ours, and whom we follow is told to end.
   *
   * @throws {BindError} another process was faster
   * @throws {StorageError} the data folder cannot be written to
   */
  async claim(https: readonly Listener[]): Promise<void> {
    const { dataFolder, takeover } = this.#parts;
    const locks: InstanceLock[] = [];
    this.#locks = locks;
    try {
      for (const listener of https) {
        locks.push(await takeInstanceLock(dataFolder, placeOf(listener), { takeover }));
      }
    } catch (error) {
      await this.release();
      if (error instanceof InstanceError) throw bindErrorOf(error);
      throw error;
    }
    for (const instance of this.#followed.values()) await end(instance, dataFolder);
    for (const pid of this.#orphans.keys()) send(pid, "SIGTERM");
    if (this.#orphans.size === 0) return;
    this.#orphanTimer = setTimeout(() => {
      this.#killOrphans(https).catch(() => {}); // the folder cannot be looked at: they stay
    }, ORPHAN_TIMEOUT_MS);
    this.#orphanTimer.unref();
  }

  /** Who heard that it is to end has taken its mark away by now, and has its own time to finish connections. */
  async #killOrphans(https: readonly Listener[]): Promise<void> {
    for (const listener of https) {
      for (const orphan of await orphansOn(this.#parts.dataFolder, placeOf(listener))) {
        const told = this.#orphans.get(orphan.pid);
        if (told !== undefined && isSameProcess(told, orphan)) send(orphan.pid, "SIGKILL");
      }
    }
  }

  /** Others may have the addresses. Never rejects: a lock that cannot be removed counts for nothing once we have ended. */
  async release(): Promise<void> {
    clearTimeout(this.#orphanTimer);
    await Promise.all(this.#locks.map((lock) => lock.release().catch(() => {})));
  }

  async #bind(wish: BindWish, listen: Listen): Promise<Listener[]> {
    const { privileges, runtime: { joinsFamilies } } = this.#parts;
    const bindAll = () => bind(listen, wish, { joinsFamilies });
    return await (privileges?.raised(bindAll) ?? bindAll());
  }

  /** Does somebody listen on `address` whom we follow? */
  async #isShared(address: string, port: number): Promise<boolean> {
    const { dataFolder, takeover, runtime } = this.#parts;
    if (port === 0) return false;
    const holder = await instanceOn(dataFolder, address);
    if (holder !== undefined) {
      if (takeover !== true) {
        throw bindErrorOf(new InstanceError(address, holder, takeover !== undefined));
      }
      this.#followed.set(holder.pid, holder);
    }
    const orphans = await orphansOn(dataFolder, address);
    for (const orphan of orphans) this.#orphans.set(orphan.pid, orphan);
    if (holder === undefined && orphans.length === 0) return false;
    if (!runtime.reusesPorts) {
      throw new BindError("EADDRINUSE", `Cannot take ${address} over: ${WITHOUT_REUSE}`);
    }
    return true;
  }

  async #listen(
    listen: Listen,
    hostname: string,
    port: number,
    isShared: boolean,
  ): Promise<Listener> {
    if (isShared || !this.#parts.runtime.reusesPorts) return await listen(hostname, port);
    const probe = await this.#parts.runtime.listen({ hostname, port }, (socket) => {
      socket.terminate();
      return NO_EVENTS;
    });
    await probe.stop();
    return await listen(hostname, probe.port);
  }
}

export function placeOf({ hostname, port }: Pick<Listener, "hostname" | "port">): string {
  return hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;
}

const WITHOUT_REUSE =
  "two processes cannot share a port here. That takes Linux, and with Deno the flag --unstable-net";

/** An orphan still listens so long after it was told to end: its loop is stuck, it is killed. */
const ORPHAN_TIMEOUT_MS = 15_000;

const NO_EVENTS = { data() {}, drain() {}, end() {}, close() {} };

function bindErrorOf(cause: InstanceError): BindError {
  return new BindError("EADDRINUSE", cause.message, { cause });
}

/**
 * By a signal, or by its socket where no signal of ours gets: into another container, or with few permissions (Deno
 * without --allow-run).
 */
async function end(instance: Instance, dataFolder: string): Promise<void> {
  if (!await isInOtherContainer(instance) && send(instance.pid, "SIGTERM")) return;
  const socketPath = instanceSocket(dataFolder, instance.address);
  try {
    await postToInstance(socketPath, "/stop", STOP_TIMEOUT_MS);
  } catch (cause) {
    const message = `Cannot end the sotto with process id ${instance.pid}: both serve now. ` +
      `End it with: kill ${instance.pid}`;
    throw new BindError("EADDRINUSE", message, { cause });
  }
}

/** It answers before it ends anything: who has not by then is stuck. */
const STOP_TIMEOUT_MS = 10_000;

/** False: it lives on. */
function send(pid: number, signal: "SIGTERM" | "SIGKILL"): boolean {
  if (!isOfOurUser(pid)) return false;
  try {
    process.kill(pid, signal);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ESRCH";
  }
}

/**
 * With a way back to root, signals reach root's processes too, and what is in the data folder is only the user's word.
 */
function isOfOurUser(pid: number): boolean {
  const user = process.geteuid?.();
  if (process.getuid?.() !== 0 || user === 0) return true;
  try {
    const status = readFileSync(`/proc/${pid}/status`, "latin1");
    // Real and effective; a supervisor may have kept its way back as well.
    const [real, effective] = /^Uid:\s*(\d+)\s+(\d+)/m.exec(status)?.slice(1).map(Number) ?? [];
    return effective === user && (real === user || real === 0);
  } catch {
    return false;
  }
}
