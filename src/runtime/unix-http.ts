/**
 * A fetch function behind a unix socket that its owner alone can open, the same on Bun, Deno and Node.
 * @module
 */
import { randomBytes } from "node:crypto";
import { chmod, mkdir, rename, rm } from "node:fs/promises";
import { type Server } from "node:http";
import { dirname, join } from "node:path";

import { createAdaptorServer } from "@hono/node-server";

export interface UnixHttpServer {
  readonly path: string;
  /**
   * Ends it. What lies at `path` is left: that may be a successor's by now, and to look and to remove are two things.
   */
  stop(): Promise<void>;
}

/**
 * Takes the place of whatever socket lies at `path`. The folder comes about, 0700, where it is missing.
 *
 * @throws {Error} of the system, or where the path is longer than a socket's may be
 */
export async function serveUnix(
  path: string,
  fetch: (request: Request) => Response | Promise<Response>,
): Promise<UnixHttpServer> {
  const folder = dirname(path);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  // Bound beside its place and renamed, so that the place is never empty while one follows another.
  const temporary = join(folder, `${randomBytes(3).toString("hex")}~`);
  const longest = Math.max(Buffer.byteLength(path), Buffer.byteLength(temporary));
  if (longest > MAX_PATH_BYTES) {
    throw new RangeError(
      `Cannot listen on ${path}: a socket's path has at most ${MAX_PATH_BYTES} bytes, and this ` +
        `has ${longest}. Choose a data folder with a shorter path`,
    );
  }
  const server = createAdaptorServer({ fetch, overrideGlobalObjects: false }) as Server;
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ path: temporary }, resolve);
    });
    await chmod(temporary, 0o600);
    await rename(temporary, path);
  } catch (error) {
    server.close();
    await rm(temporary, { force: true });
    throw error;
  }
  return {
    path,
    async stop() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => void server.close(() => resolve()));
    },
  };
}

/** Linux takes 108 with the zero behind it, macOS 104. */
const MAX_PATH_BYTES = 103;
