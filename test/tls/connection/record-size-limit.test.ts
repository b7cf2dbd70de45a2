import { describe, expect, test } from "vitest";
import { NamedGroup } from "../../../src/tls/wire/code-points.ts";
import { Pair, type PairOptions } from "../../support/pair.ts";
import { testServer } from "../../support/server-config.ts";
import {
  clientCertificate,
  clientSends,
  DATA,
  echo,
  expectEnd,
  recordSizes,
  sessionsOf,
} from "./kit.ts";

/** Sealed records of the server: what is in them, type and padding counted. */
const inner = (pair: Pair): number[] =>
  recordSizes(pair.serverWire).filter((size) => size > 6).slice(1).map((size) => size - 5 - 16);

describe("record_size_limit", () => {
  const flows: readonly (readonly [string, PairOptions])[] = [
    ["a full handshake", {}],
    ["a long chain", { server: { credentials: ["rsa"] } }],
    ["a HelloRetryRequest", { client: { keyShares: [] } }],
    ["ECH", { server: { ech: true }, client: { ech: true } }],
    ["padding", { server: { server: { flightPadding: 4096 } } }],
    ["a CertificateRequest", { server: { clientAuth: "request" } }],
    ["a compressed certificate", { server: { compression: [1] }, client: { compression: [1] } }],
  ];
  for (const limit of [64, 65, 512, 4097]) {
    test.each(flows)(
      `tls13 10: with ${limit}, %s keeps to it, from its first sealed record on`,
      async (_, options) => {
        const pair = await Pair.connect({
          ...options,
          client: { ...options.client, recordSizeLimit: limit, groups: [NamedGroup.x25519] },
        });
        expect(pair.client.negotiated.recordSizeLimit).toBe(16385);
        expect(Math.max(...inner(pair).slice(options.client?.keyShares ? 1 : 0)))
          .toBeLessThanOrEqual(limit);
        pair.serverSays(new Uint8Array(1000));
        pair.server.flushTickets();
        expect((await pair.client.readExactly(1000)).length).toBe(1000);
        await pair.settle();
        await echo(pair);
        const asks = options.server !== undefined && "clientAuth" in options.server;
        expect(pair.client.sessions.length).toBe(asks ? 0 : 2);
      },
    );
  }

  test("tls13 10: what we say does not bind a client to whom we did not say it", async () => {
    const pair = await Pair.connect({ server: { limits: { recordSizeLimit: 64 } } });
    await pair.client.write(new Uint8Array(16384));
    expect(pair.output.plaintextReceived.length).toBe(16384);
    expect(pair.client.negotiated.encryptedExtensions).not.toContain(28);
  });

  test("tls13 10: padding counts", async () => {
    for (const [padding, reason] of [[60, undefined], [61, "record overflow"]] as const) {
      const pair = await Pair.connect({
        server: { limits: { recordSizeLimit: 64 } },
        client: { recordSizeLimit: 64 },
      });
      pair.client.records.queuePadded(23, DATA, padding);
      await pair.client.records.flush();
      await pair.settle();
      if (reason === undefined) expect(pair.output.plaintextReceived.length).toBe(3);
      else expectEnd(pair, reason, "record_overflow", "application");
    }
  });

  test("tls13 10: a client that keeps to ours can show a certificate", async () => {
    const certificate = await clientCertificate();
    const pair = await Pair.attempt({
      server: { clientAuth: "require", limits: { recordSizeLimit: 64 } },
      client: { certificate, recordSizeLimit: 16385, hooks: {} },
    });
    // The client learns it in EncryptedExtensions and keeps to it.
    expect(pair.serverError).toBeUndefined();
    await echo(pair);
  });

  test("tls13 10: it is fresh on a resumption", async () => {
    const server = await testServer();
    const sessions = await sessionsOf(server, { client: { recordSizeLimit: 64 } });
    const pair = await Pair.connect({ server, client: { sessions } });
    expect(pair.negotiated?.resumed).toBe(true);
    pair.serverSays(new Uint8Array(5000));
    expect(Math.max(...inner(pair))).toBe(5001);
    const again = await Pair.connect({ server, client: { sessions, recordSizeLimit: 64 } });
    again.serverSays(new Uint8Array(5000));
    expect(Math.max(...inner(again))).toBe(64);
  });

  test.each([16385, 16386, 65535])("tls13 10: %i is no more than 2^14 + 1", async (limit) => {
    const pair = await Pair.connect({ client: { recordSizeLimit: limit } });
    pair.serverSays(new Uint8Array(40_000));
    expect(Math.max(...inner(pair))).toBe(16385);
    await pair.client.readExactly(40_000);
  });

  test("tls13 10: KeyUpdate and alerts fit any limit", async () => {
    const pair = await Pair.connect({ client: { recordSizeLimit: 64 } });
    await pair.client.updateKeys(true);
    await echo(pair);
    await clientSends(pair, 22, Uint8Array.of(24, 0, 0, 1, 7));
    expectEnd(pair, "bad KeyUpdate", "illegal_parameter", "application");
  });
});
