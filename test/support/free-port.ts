/**
 * A port for who has to know it before anybody listens there.
 * @module
 */
import { randomInt } from "node:crypto";
import net from "node:net";

/**
 * Free now, and below the ports from which connections are made (`net.ipv4.ip_local_port_range`): a client that starts
 * meanwhile cannot get it, only another server.
 */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const port = randomInt(FIRST, LAST);
    if (await isFree(port)) return port;
  }
  throw new Error(`No free port after ${MAX_ATTEMPTS} attempts`);
}

async function isFree(port: number): Promise<boolean> {
  const server = net.createServer();
  const isListening = await new Promise<boolean>((resolve) => {
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => resolve(true));
  });
  if (isListening) await new Promise<void>((resolve) => server.close(() => resolve()));
  return isListening;
}

const FIRST = 10_000;
const LAST = 32_768;
const MAX_ATTEMPTS = 100;
