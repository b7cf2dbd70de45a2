import { describe, expect, test } from "vitest";
import { Pair } from "../../support/pair.ts";
import { testServer } from "../../support/server-config.ts";
import { echo } from "./kit.ts";

const names = Array.from({ length: 30 }, (_, i) => `site-number-${i}.of.many.example`);
/** A chain that shrinks. */
const SERVER = { names: ["a.example", ...names], credentials: ["rsa"] } as const;

describe("certificate compression", () => {
  test.each([
    [[1], [1], 1],
    [[1], [2, 1, 3], 1],
    [[2, 1], [1, 2], 2],
    [[1, 2], [1, 2], 1],
    [[1], [2, 3], undefined],
    [[1], [0x7777], undefined],
    [[], [1, 2, 3], undefined],
    [[1], undefined, undefined],
  ])("tls13 11: of ours %j and theirs %j it is %s", async (ours, theirs, algorithm) => {
    for (const chunkBytes of [100_000, 1]) {
      const pair = await Pair.connect({
        chunkBytes,
        server: { ...SERVER, compression: ours },
        client: theirs === undefined ? {} : { compression: theirs },
      });
      expect(pair.client.negotiated.certificateCompression).toBe(algorithm);
      expect(pair.client.negotiated.peerChain).toEqual(pair.test.certificates[0]!.chain);
      expect(pair.client.negotiated.encryptedExtensions).not.toContain(27);
      await echo(pair);
    }
  });

  test("tls13 11: a chain that does not shrink goes as it is", async () => {
    const server = await testServer();
    const config = {
      ...server.config,
      compress: new Map([[1, (body: Uint8Array) => new Uint8Array(body.length + 100)]]),
    };
    const pair = await Pair.connect({
      server: { ...server, config },
      client: { compression: [1] },
    });
    expect(pair.client.negotiated.certificateCompression).toBeUndefined();
  });

  test("tls13 11: it is done once for all connections", async () => {
    const server = await testServer({ ...SERVER, compression: [1] });
    let calls = 0;
    const shrink = server.config.compress.get(1)!;
    const config = {
      ...server.config,
      compress: new Map([[1, (body: Uint8Array) => {
        calls++;
        return shrink(body);
      }]]),
    };
    for (let i = 0; i < 3; i++) {
      await Pair.connect({ server: { ...server, config }, client: { compression: [1] } });
    }
    expect(calls).toBe(1);
  });

  test("tls13 11: with staples and ECH", async () => {
    const pair = await Pair.connect({
      server: { ...SERVER, ech: true, compression: [1], ocspResponse: new Uint8Array(500) },
      client: { ech: true, compression: [1], ocsp: true },
    });
    expect(pair.client.negotiated.certificateCompression).toBe(1);
    expect(pair.client.negotiated.ocspResponse).toEqual(new Uint8Array(500));
    await echo(pair);
  });
});
