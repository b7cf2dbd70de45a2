import { describe, expect, test } from "vitest";
import { NamedGroup } from "../../src/tls/wire/code-points.ts";
import { joined } from "../support/hello-builder.ts";
import { Pair, type PairOptions } from "../support/pair.ts";

/**
 * The grid: every state against every handshake message that it does not take. Each cell is a handshake in memory that
 * is stopped in the state, and then one message of the type under the keys in force.
 */
const MESSAGES = {
  hello_request: 0,
  client_hello: 1,
  server_hello: 2,
  new_session_ticket: 4,
  end_of_early_data: 5,
  encrypted_extensions: 8,
  certificate: 11,
  certificate_request: 13,
  certificate_verify: 15,
  finished: 20,
  key_update: 24,
  compressed_certificate: 25,
  message_hash: 254,
} as const;

interface Row {
  readonly state: string;
  readonly takes: readonly (keyof typeof MESSAGES)[];
  readonly options: PairOptions;
  /** The client's handshake message with which it is in the state: nothing of the client's goes out from there. */
  readonly stopBefore: number | undefined;
}

const rows: readonly Row[] = [
  {
    state: "ExpectClientHello",
    takes: ["client_hello"],
    options: {},
    stopBefore: MESSAGES.client_hello,
  },
  {
    state: "ExpectSecondClientHello",
    takes: ["client_hello"],
    options: { client: { groups: [NamedGroup.x25519], keyShares: [] } },
    stopBefore: MESSAGES.client_hello,
  },
  {
    state: "ExpectCertificate",
    takes: ["certificate", "compressed_certificate"],
    options: { server: { clientAuth: "request" } },
    stopBefore: MESSAGES.certificate,
  },
  { state: "ExpectFinished", takes: ["finished"], options: {}, stopBefore: MESSAGES.finished },
  { state: "Traffic", takes: ["key_update"], options: {}, stopBefore: undefined },
];

describe("tls13 16: what a state does not list is unexpected_message", () => {
  for (const row of rows) {
    for (const [name, type] of Object.entries(MESSAGES)) {
      if (row.takes.includes(name as keyof typeof MESSAGES)) continue;
      test(`${row.state} refuses ${name}`, async () => {
        const pair = await inState(row, Uint8Array.of(type, 0, 0, 1, 0));
        expect(pair.serverError?.reason).toBe("unexpected message");
        expect(pair.alert).toBe("unexpected_message");
      });
    }
  }

  test("a certificate_verify that no Certificate came before is one of them", async () => {
    const pair = await Pair.attempt({
      server: { clientAuth: "request" },
      client: { hooks: { beforeSend: (message, type) => type === 11 ? swap(message) : undefined } },
    });
    expect([pair.serverError?.reason, pair.alert]).toEqual([
      "unexpected message",
      "unexpected_message",
    ]);
  });
});

describe("ServerConnection after its first error", () => {
  test("throws the same error for ever and sends one alert", async () => {
    const pair = await inState(rows[3]!, Uint8Array.of(24, 0, 0, 1, 0));
    const first = pair.serverError;
    const flights = pair.output.sent.length;
    for (
      const call of [
        () => pair.server.receive(Uint8Array.of(22, 3, 3, 0, 1, 0), pair.nowMs),
        () => pair.server.send(Uint8Array.of(1), 0, 1),
      ]
    ) expect(call).toThrow(first);
    pair.server.closeWrite();
    pair.server.fail("internal error");
    expect(pair.output.sent.length).toBe(flights);
    expect(pair.server.wantsInput).toBe(false);
  });
});

/** The client goes as far as the row says; then `message` comes in a record of its own, under the keys in force. */
async function inState(row: Row, message: Uint8Array): Promise<Pair> {
  let left = row.state === "ExpectSecondClientHello" ? 1 : 0;
  const pair = await Pair.open({
    ...row.options,
    client: {
      ...row.options.client,
      hooks: {
        beforeSend(sent, type) {
          if (type !== row.stopBefore || left-- > 0) return sent;
          expect(pair.server.state).toBe(row.state);
          return message;
        },
      },
    },
  });
  await pair.handshake();
  if (row.stopBefore === undefined) {
    expect(pair.server.state).toBe(row.state);
    pair.client.records.queue(22, message);
    await pair.client.records.flush();
    await pair.settle();
  }
  return pair;
}

function swap(message: Uint8Array): Uint8Array {
  return joined([Uint8Array.of(15), message.subarray(1)]);
}
