/**
 * What each server sends in one connection with one request, so that a reader can see where they do not do the same work:
 * flights of different length, more or fewer tickets, a longer head before the same page.
 *
 * @module
 */
import { type ClientConnection, connect } from "../src/client/client.ts";
import { connectTcp } from "../src/client/tcp-transport.ts";
import type { Transport } from "../src/client/transport.ts";
import { chooseCrypto } from "../src/crypto/choose.ts";
import { CipherSuite, NamedGroup } from "../src/tls/wire/code-points.ts";
import { NAME, type Server } from "./setup.ts";

export interface Sent {
  /** Bytes up to and with Finished, record headers and padding included. */
  readonly flight: number;
  /** … behind it, to the end. */
  readonly rest: number;
  readonly alpn: string | undefined;
  readonly tickets: number;
  /** Bytes of head and page. */
  readonly answer: number;
}

/** @throws {Error} it does not serve */
export async function whatIsSent({ addr }: Pick<Server, "addr">): Promise<Sent> {
  const [, host, port] = /^(.*):(\d+)$/.exec(addr)!;
  const counted = counting(await connectTcp(host!, Number(port), { timeoutMs: 10_000 }));
  const connection = await connect(counted, {
    crypto: chooseCrypto(),
    serverName: NAME,
    alpn: ["http/1.1"],
    groups: [NamedGroup.x25519],
    suites: [CipherSuite.TLS_AES_128_GCM_SHA256],
  });
  const flight = counted.received;
  const request = `GET / HTTP/1.1\r\nHost: ${NAME}\r\nConnection: close\r\n\r\n`;
  await connection.write(new TextEncoder().encode(request));
  const answer = await lengthOf(connection);
  await connection.close();
  return {
    flight,
    rest: counted.received - flight,
    alpn: connection.negotiated.alpn,
    tickets: connection.sessions.length,
    answer,
  };
}

async function lengthOf(connection: ClientConnection): Promise<number> {
  let length = 0;
  for (;;) {
    const bytes = await connection.read();
    if (bytes === undefined) return length;
    length += bytes.length;
  }
}

function counting(transport: Transport): Transport & { received: number } {
  return {
    received: 0,
    write: (bytes) => transport.write(bytes),
    async read() {
      const bytes = await transport.read();
      this.received += bytes?.length ?? 0;
      return bytes;
    },
    close: () => transport.close(),
  };
}

/** A sentence for all of them. */
export function sentNote(sent: readonly (readonly [label: string, sent: Sent])[]): string {
  const parts = sent.map(([label, { flight, tickets, alpn, answer }]) =>
    `${label} ${flight}, ${tickets}, ${answer}${alpn === undefined ? ", no ALPN" : ""}`
  );
  return `Bytes of the first flight, tickets, bytes of head and page: ${parts.join("; ")}.`;
}
