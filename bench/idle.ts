/**
 * Memory of the server per connection that is established and idle: sotto beside the runtime's own TLS server.
 *
 * A server that is warm and holds a tenth of the connections is compared with itself holding them all, after a full
 * collection each: what a first connection brings with it (code, arenas) is in neither. Nor is V8's young generation,
 * which a load makes grow, up to a size of its own, and which is empty after a collection and kept: 5,000 connections
 * on Deno, one behind the other, leave 51 MB of it with 1 kB in use.
 *
 * @module
 */
import type { Clients } from "./client.ts";
import type { BenchOptions, RuntimeName } from "./options.ts";
import { residentBytes } from "./processes.ts";
import { ours, reference, startServer } from "./servers.ts";
import { type Server, type Setup, type Subject } from "./setup.ts";
import { type Estimate, estimate } from "./statistics.ts";

export interface IdleResult {
  readonly runtime: RuntimeName;
  readonly connections: number;
  /** kB per connection. */
  readonly ours: Estimate;
  readonly native: Estimate;
}

export async function measureIdle(
  runtime: RuntimeName,
  options: BenchOptions,
  setup: Setup,
  clients: Clients,
  say: (line: string) => void,
): Promise<IdleResult> {
  const kilobytes = async (subject: Subject): Promise<Estimate> => {
    const values: number[] = [];
    for (let round = 1; round <= options.rounds; round++) {
      // A server of its own each time: memory that was once used comes back only in part.
      const server = await startServer(subject, setup);
      try {
        values.push(await bytesPerConnection(server, options, clients) / 1000);
      } finally {
        await server.stop();
      }
      say(`${subject.id}: ${values.at(-1)!.toFixed(2)} kB (round ${round} of ${options.rounds})`);
    }
    return estimate(values);
  };
  const own = await kilobytes(ours(runtime, options));
  const other = await kilobytes(reference(runtime, options));
  return {
    runtime,
    connections: options.connections,
    ours: own,
    native: other,
  };
}

async function bytesPerConnection(
  server: Server,
  options: BenchOptions,
  clients: Clients,
): Promise<number> {
  const startedAt = performance.now();
  const client = clients.go === undefined ? "own" : options.client ?? "go";
  const flags = ["-n", String(options.warmUp), "-groups", "X25519", "-get"];
  const warm = await clients.load(client, server, flags);
  if (warm.ok !== options.warmUp) {
    throw new Error(`${server.subject.id}: ${JSON.stringify(warm.errors)}`);
  }
  const few = await clients.hold(client, server, Math.ceil(options.connections / 10));
  if (server.subject.runtime === "bun") await sleep(CODE_AGES_MS - performance.now() + startedAt);
  const before = await residentAfterCollection(server);
  const many = await clients.hold(client, server, options.connections);
  const after = await residentAfterCollection(server);
  await many.release();
  await few.release();
  return (after - before) / options.connections;
}

async function residentAfterCollection(server: Server): Promise<number> {
  // Tickets that found no data to ride with go out after a moment.
  await sleep(TICKETS_ARE_OUT_MS);
  await server.collect(true);
  await server.collect(true);
  return residentBytes(server.pid);
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

const TICKETS_ARE_OUT_MS = 1500;
/**
 * Bun's collector drops compiled code that is so old and has not run of late: what only the start ran, 3 to 5 MB of it,
 * must be gone before the first reading, else the connections seem to take 1 kB less than they do.
 */
const CODE_AGES_MS = 21_000;
