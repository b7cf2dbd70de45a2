/**
 * Handshakes without end, from a process of its own: `handshake-load.ts PORT ROOT_PEM_FILE NAME…`. Writes a line per 20.
 * @module
 */
import { readFileSync } from "node:fs";
import process from "node:process";

import { connect } from "../../src/client/client.ts";
import { connectTcp } from "../../src/client/tcp-transport.ts";
import { chooseCrypto } from "../../src/crypto/choose.ts";

const [port, file, ...names] = process.argv.slice(2);
const crypto = chooseCrypto();
const roots = [readFileSync(file!, "utf8")];
for (let done = 0;; done++) {
  const serverName = names[done % names.length]!;
  const transport = await connectTcp("127.0.0.1", Number(port));
  const client = await connect(transport, { crypto, serverName, roots });
  client.close();
  if (done % 20 === 0) process.stdout.write(`${done}\n`);
}
