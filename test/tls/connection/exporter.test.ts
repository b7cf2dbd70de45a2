import { describe, expect, test } from "vitest";
import { Pair, type PairOptions } from "../../support/pair.ts";
import { testServer } from "../../support/server-config.ts";
import { clientCertificate, sessionsOf } from "./kit.ts";

const NOTHING = new Uint8Array(0);
const CONTEXT = Uint8Array.of(1, 2, 3);

describe("exportKeyingMaterial", () => {
  test("tls13 6: both sides export the same, whatever the handshake was", async () => {
    const server = await testServer({ ech: true });
    const sessions = await sessionsOf(server);
    const cases: PairOptions[] = [
      {},
      { client: { suites: [0x1302] } },
      { client: { keyShares: [] } },
      { server: { ech: true }, client: { ech: true } },
      { server: { ech: true }, client: { ech: true, keyShares: [] } },
      { server, client: { sessions } },
      { server: { clientAuth: "require" }, client: { certificate: await clientCertificate() } },
    ];
    for (const options of cases) {
      const pair = await Pair.connect(options);
      for (
        const [label, context, length] of [
          ["EXPORTER-Channel-Binding", NOTHING, 32],
          ["EXPORTER-x", CONTEXT, 1],
          ["EXPORTER-x", CONTEXT, 100],
        ] as const
      ) {
        const ours = pair.server.exportKeyingMaterial(label, context, length);
        expect(ours.length).toBe(length);
        expect(ours).toEqual(pair.client.exportKeyingMaterial(label, context, length));
      }
    }
  });

  test("tls13 6: label, context and length all count, KeyUpdate does not", async () => {
    const pair = await Pair.connect();
    const values = [
      pair.server.exportKeyingMaterial("a", NOTHING, 32),
      pair.server.exportKeyingMaterial("b", NOTHING, 32),
      pair.server.exportKeyingMaterial("a", CONTEXT, 32),
      pair.server.exportKeyingMaterial("a", NOTHING, 33).slice(0, 32),
    ];
    expect(new Set(values.map(String)).size).toBe(4);
    await pair.client.updateKeys(true);
    expect(pair.server.exportKeyingMaterial("a", NOTHING, 32)).toEqual(values[0]);
    const other = await Pair.connect();
    expect(other.server.exportKeyingMaterial("a", NOTHING, 32)).not.toEqual(values[0]);
  });

  test("without keepExporterSecret it works within established, and never again", async () => {
    const pair = await Pair.open({ server: { server: { keepExporterSecret: false } } });
    const { output, server } = pair;
    let within: Uint8Array | undefined;
    const established = output.established.bind(output);
    output.established = (facts) => {
      established(facts);
      within = server.exportKeyingMaterial("a", CONTEXT, 16);
    };
    await pair.handshake();
    expect(within).toEqual(pair.client.exportKeyingMaterial("a", CONTEXT, 16));
    expect(() => server.exportKeyingMaterial("a", CONTEXT, 16)).toThrow(RangeError);
  });

  test("before the handshake is done it is the caller's fault", async () => {
    const pair = await Pair.open();
    expect(() => pair.server.exportKeyingMaterial("a", CONTEXT, 16)).toThrow(RangeError);
  });
});
