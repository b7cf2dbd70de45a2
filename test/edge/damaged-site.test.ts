import { expect, it } from "vitest";

import { ClientError } from "../../src/client/client.ts";
import { decodeSnapshot, encodeSnapshot } from "../../src/snapshot/codec.ts";
import type { PackedSites } from "../../src/snapshot/packed-sites.ts";
import { Snapshot } from "../../src/snapshot/snapshot.ts";
import { testCrypto } from "../support/server-config.ts";
import { get, readText, TestEdge, until } from "./edge-kit.ts";

it("A site that cannot be read ends the connections that ask for it, with a line in the log, and no other", async () => {
  const edge = await TestEdge.start({
    sites: [
      { names: ["a.example"], hosts: { sniHost: "any" } },
      { names: ["b.example"] },
    ],
    rethrow: false,
  });
  const { server } = edge.snapshot;
  const facts = { createdMs: 0, configHash: "", rootKey: "", authorities: "", flightPadding: 0 };
  const encoding = encodeSnapshot(testCrypto, edge.snapshot, { ...facts, ech: undefined });
  const { table } = decodeSnapshot(testCrypto, new Uint8Array(Buffer.concat([...encoding])));
  const damaged = new Snapshot({ server, sites: [], fallbackSni: "a.example" }, table);
  (damaged.slots.base as PackedSites).siteBytes(damaged.slotOf("b.example")!)!.fill(0xff);
  edge.server.useSnapshot(damaged);

  const error = await edge.connect({ serverName: "b.example" }).catch((error: unknown) => error);
  expect(error).toBeInstanceOf(ClientError);
  expect((error as ClientError).alertReceived).toBe("internal_error");
  await until(() => edge.server.liveConnections === 0);
  expect(edge.log).toEqual([{
    level: "error",
    event: "exception_ended_connection",
    err: "DamagedSiteError",
    where: expect.stringContaining("snapshot.ts") as string,
    site: undefined,
  }]);

  for (const [host, status] of [["a.example", "200"], ["b.example", "421"]] as const) {
    const client = await edge.connect({ serverName: "a.example" });
    await client.write(get(host, "/", "Connection: close"));
    expect(await readText(client)).toContain(`HTTP/1.1 ${status}`);
    await client.close();
  }
  expect(edge.server.counters.exceptions).toBe(1);
});
