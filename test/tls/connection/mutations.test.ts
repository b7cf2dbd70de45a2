import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { NamedGroup } from "../../../src/tls/wire/code-points.ts";
import type { AlertName } from "../../../src/tls/alert.ts";
import { hello, joined, plaintextRecords } from "../../support/hello-builder.ts";
import { Pair, type PairOptions } from "../../support/pair.ts";
import { feed } from "../../support/raw-server.ts";
import { testEchKey, testServer } from "../../support/server-config.ts";
import { clientCertificate, sessionsOf } from "./kit.ts";

type Mutation =
  | { readonly kind: "flip"; readonly at: number; readonly mask: number }
  | { readonly kind: "cut"; readonly at: number }
  | { readonly kind: "insert"; readonly at: number; readonly bytes: Uint8Array }
  | { readonly kind: "again" }
  | { readonly kind: "drop" };

const at = fc.nat(3000);
const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("flip" as const),
      at,
      mask: fc.integer({ min: 1, max: 255 }),
    }),
  },
  fc.record({ kind: fc.constant("cut" as const), at }),
  fc.record({
    kind: fc.constant("insert" as const),
    at,
    bytes: fc.uint8Array({ minLength: 1, maxLength: 20 }),
  }),
  fc.constant({ kind: "again" as const }),
  fc.constant({ kind: "drop" as const }),
);

function mutated(bytes: Uint8Array, change: Mutation): Uint8Array[] {
  switch (change.kind) {
    case "flip": {
      const copy = bytes.slice();
      copy[change.at % copy.length]! ^= change.mask;
      return [copy];
    }
    case "cut":
      return [bytes.slice(0, change.at % bytes.length)];
    case "insert": {
      const where = change.at % (bytes.length + 1);
      return [joined([bytes.slice(0, where), change.bytes, bytes.slice(where)])];
    }
    case "again":
      return [bytes, bytes];
    case "drop":
      return [];
  }
}

/**
 * Whatever happened: the server either waits for more, or is established, or ended with one reason; then the client
 * heard that reason's alert or ended by itself, and the server says and takes no more.
 */
function expectOrder(pair: Pair): void {
  const error = pair.serverError;
  if (error === undefined) {
    expect(pair.server.wantsInput).toBe(true);
    return;
  }
  expect(pair.server.wantsInput).toBe(false);
  const flights = pair.output.sent.length;
  expect(() => pair.server.receive(Uint8Array.of(22, 3, 3), pair.nowMs)).toThrow(error);
  pair.server.closeWrite();
  pair.server.fail("internal error");
  expect(pair.output.sent.length).toBe(flights);
  expect(error.reason).not.toBe("internal error");
  if (pair.alert !== undefined) {
    expect(pair.alert).toBe(error.alert satisfies AlertName | undefined);
  }
}

/** A handshake that cannot go on any more is ended from the client's side, by a FIN in its place. */
async function attempt(options: PairOptions): Promise<Pair> {
  const pair = await Pair.open(options);
  let isOver = false;
  const done = pair.handshake().then(() => isOver = true);
  for (let i = 0; i < 200 && !isOver; i++) await Promise.resolve();
  for (let i = 0; i < 5 && !isOver; i++) await new Promise((resolve) => setTimeout(resolve, 0));
  void done;
  return pair;
}

describe("a message that was tampered with", () => {
  const key = testEchKey();
  const flows: readonly (readonly [string, () => Promise<PairOptions>])[] = [
    ["a full handshake", async () => ({ server: await testServer() })],
    [
      "a HelloRetryRequest",
      async () => ({
        server: await testServer(),
        client: { groups: [NamedGroup.x25519], keyShares: [] },
      }),
    ],
    ["a resumption", async () => {
      const server = await testServer();
      return { server, client: { sessions: await sessionsOf(server) } };
    }],
    ["a client certificate", async () => ({
      server: await testServer({ clientAuth: "require_and_verify", compression: [1] }),
      client: { certificate: { ...await clientCertificate(), compression: 1 } },
    })],
    ["ECH", async () => ({
      server: await testServer({ ech: [key] }),
      client: { ech: { configList: key.configList } },
    })],
    ["ECH and a HelloRetryRequest", async () => ({
      server: await testServer({ ech: [key] }),
      client: { ech: { configList: key.configList }, keyShares: [] },
    })],
  ];

  test.each(flows)("ends %s in order", async (_, make) => {
    const options = await make();
    await fc.assert(
      fc.asyncProperty(fc.nat(3), mutation, async (which, change) => {
        let messages = 0;
        const pair = await attempt({
          ...options,
          client: {
            ...options.client,
            hooks: {
              beforeSend: (message) => messages++ === which ? mutated(message, change) : message,
            },
          },
        });
        expectOrder(pair);
      }),
      { numRuns: 60 },
    );
  });

  test.each(flows)("and so does a record of %s", async (_, make) => {
    const options = await make();
    await fc.assert(
      fc.asyncProperty(fc.nat(5), mutation, async (which, change) => {
        let records = 0;
        const pair = await attempt({
          ...options,
          client: {
            ...options.client,
            hooks: {
              beforeRecord: (record) => records++ === which ? mutated(record, change) : record,
            },
          },
        });
        expectOrder(pair);
      }),
      { numRuns: 40 },
    );
  });

  test("an inner hello, too, first and second", async () => {
    const server = await testServer({ ech: [key] });
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(1, 2), mutation, async (which, change) => {
        const pair = await attempt({
          server,
          client: {
            keyShares: which === 2 ? [] : [NamedGroup.x25519],
            ech: {
              configList: key.configList,
              knobs: {
                encodedInner: (encoded, attempt) =>
                  attempt === which ? mutated(encoded, change)[0] ?? encoded : encoded,
              },
            },
          },
        });
        expectOrder(pair);
      }),
      { numRuns: 80 },
    );
  });
});

test("arbitrary records before, between and behind hellos end in order, however they are cut", async () => {
  const server = await testServer({ ech: true });
  const record = fc.oneof(
    fc.constantFrom(
      plaintextRecords(hello()),
      plaintextRecords(hello({ keyShares: [], groups: [NamedGroup.x25519] })),
      plaintextRecords(hello({ groups: [NamedGroup.x25519] })),
      Uint8Array.of(20, 3, 3, 0, 1, 1),
      Uint8Array.of(21, 3, 3, 0, 2, 1, 90),
      Uint8Array.of(21, 3, 3, 0, 2, 1, 0),
      Uint8Array.of(22, 3, 3, 0, 1, 1),
    ),
    fc.record({
      type: fc.constantFrom(20, 21, 22, 23, 24),
      body: fc.uint8Array({ maxLength: 40 }),
    }).map(({ type, body }) => plaintextRecords(body, { type })),
  );
  fc.assert(
    fc.property(
      fc.array(record, { maxLength: 6 }),
      fc.integer({ min: 1, max: 400 }),
      (records, chunkBytes) => {
        const whole = feed(server, records);
        const cut = feed(server, records, { chunkBytes });
        expect(cut.reason).toBe(whole.reason);
        expect(cut.server.state).toBe(whole.server.state);
        expect(cut.records).toEqual(whole.records);
      },
    ),
    { numRuns: 300 },
  );
});
