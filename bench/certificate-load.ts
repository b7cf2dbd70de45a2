/**
 * The client of `certificates`: handshakes one after the other, or several at once, each with the name it is told, each
 * certificate checked to be the one for it. Orders come by standard input, one a line; an answer goes out for each.
 *
 *     {"port": 1, "names": ["a.example"], "untilMs": 0, "atOnce": 1}       untilMs: go on trying for so long
 *
 * @module
 */
import { readFileSync } from "node:fs";
import process from "node:process";
import { createInterface } from "node:readline";

import { connect } from "../src/client/client.ts";
import { connectTcp } from "../src/client/tcp-transport.ts";
import { chooseCrypto } from "../src/crypto/choose.ts";
import { CipherSuite, NamedGroup } from "../src/tls/wire/code-points.ts";

export interface LoadOrder {
  readonly port: number;
  readonly root: string;
  readonly names: readonly string[];
  readonly untilMs?: number;
  readonly atOnce?: number;
}

const crypto = chooseCrypto();

async function handshake({ port, root }: LoadOrder, serverName: string): Promise<void> {
  const transport = await connectTcp("127.0.0.1", port);
  const roots = [readFileSync(root, "utf8")];
  const client = await connect(transport, {
    crypto,
    serverName,
    roots,
    groups: [NamedGroup.x25519],
    suites: [CipherSuite.TLS_AES_128_GCM_SHA256],
  });
  await client.close();
}

async function serve(order: LoadOrder): Promise<void> {
  const giveUpMs = performance.now() + (order.untilMs ?? 0);
  const names = order.names.values();
  const worker = async (): Promise<void> => {
    for (const name of names) {
      for (;;) {
        try {
          await handshake(order, name);
          break;
        } catch (error) {
          if (performance.now() > giveUpMs) throw error;
          await new Promise((resolve) => setTimeout(resolve, 2));
        }
      }
    }
  };
  await Promise.all(Array.from({ length: order.atOnce ?? 1 }, worker));
}

if (import.meta.main) {
  process.stdout.write("ready\n");
  for await (const line of createInterface({ input: process.stdin })) {
    try {
      await serve(JSON.parse(line) as LoadOrder);
      process.stdout.write("done\n");
    } catch (error) {
      process.stdout.write(`failed ${(error as Error).message.split("\n")[0]}\n`);
    }
  }
}
