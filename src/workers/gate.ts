/**
 * Where workers report to their supervisor: a unix socket that its owner alone can open. Who does not say soon which
 * awaited process it is, is shown out.
 * @module
 */
import { randomBytes } from "node:crypto";
import { chmod, mkdir, mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

import { Channel } from "./channel.ts";
import { type DownMessage, MAX_UP_BYTES, type UpMessage, upMessage } from "./messages.ts";

export type WorkerChannel = Channel<UpMessage, DownMessage>;

/** Of one worker that is there. */
export interface Guest {
  arrived(channel: WorkerChannel): void;
  said(message: UpMessage): void;
  left(why: string | undefined): void;
}

export class Gate {
  readonly path: string;
  readonly #server: Server;
  readonly #awaited = new Map<number, Guest>();
  readonly #cleanUp: () => Promise<void>;
  #strangers = 0;

  private constructor(path: string, server: Server, cleanUp: () => Promise<void>) {
    this.path = path;
    this.#server = server;
    this.#cleanUp = cleanUp;
  }

  /**
   * In the folder, or where its path is too long or it cannot be written to, in a temporary one.
   *
   * @throws {Error} of the system
   */
  static async open(folder: string): Promise<Gate> {
    const name = `${process.pid}-${randomBytes(3).toString("hex")}.gate`;
    const path = join(folder, name);
    try {
      if (Buffer.byteLength(path) > MAX_PATH_BYTES) throw new RangeError("the path is too long");
      await mkdir(folder, { recursive: true, mode: 0o700 });
      // One that was there may be open to others: who gets in before the socket's own mode is set would get the keys.
      await chmod(folder, 0o700);
      return await Gate.#listen(path, () => rm(path, { force: true }));
    } catch {
      const own = await mkdtemp(join(tmpdir(), "sotto-"));
      return await Gate.#listen(
        join(own, name),
        () => rm(own, { recursive: true, force: true }),
      );
    }
  }

  static async #listen(path: string, cleanUp: () => Promise<void>): Promise<Gate> {
    const server = createServer();
    const gate = new Gate(path, server, cleanUp);
    server.on("connection", (socket) => gate.#welcome(socket));
    try {
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject);
        server.listen({ path }, resolve);
      });
      await chmod(path, 0o600);
    } catch (error) {
      server.close();
      await cleanUp();
      throw error;
    }
    server.on("error", () => {}); // out of descriptors: the next worker tries again
    return gate;
  }

  /** @returns gives it up */
  await(pid: number, guest: Guest): () => void {
    this.#awaited.set(pid, guest);
    return () => {
      if (this.#awaited.get(pid) === guest) this.#awaited.delete(pid);
    };
  }

  async close(): Promise<void> {
    this.#server.close();
    await this.#cleanUp().catch(() => {});
  }

  #welcome(socket: Socket): void {
    if (this.#strangers >= MAX_STRANGERS) return void socket.destroy();
    this.#strangers++;
    let guest: Guest | undefined;
    const known = () => {
      clearTimeout(timer);
      this.#strangers--;
    };
    const timer = setTimeout(() => channel.close("it does not say who it is"), STRANGER_MS);
    const channel: WorkerChannel = new Channel({
      socket,
      maxBytes: MAX_UP_BYTES,
      parse: (value) => upMessage.parse(value),
      onMessage: (message) => {
        if (guest !== undefined) return guest.said(message);
        const found = message.kind === "hello" ? this.#awaited.get(message.pid) : undefined;
        if (found === undefined) return channel.close("nobody waits for it");
        this.#awaited.delete((message as { pid: number }).pid);
        known();
        guest = found;
        guest.arrived(channel);
      },
      onClose: (why) => {
        if (guest === undefined) known();
        else guest.left(why);
      },
    });
  }
}

/** Linux takes 108 with the zero behind it, macOS 104. */
const MAX_PATH_BYTES = 103;
const MAX_STRANGERS = 512;
const STRANGER_MS = 5_000;
