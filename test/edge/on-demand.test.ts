/** A name that nobody serves yet, where the snapshot has certificates on demand. */
import { describe, expect, it } from "vitest";

import { Questions } from "../../src/edge/questions.ts";
import { get, readUntil, TestEdge, turn, until } from "./edge-kit.ts";

const REFUSED = { alertReceived: "unrecognized_name" };

async function edgeThat(onDemand: (name: string, client: string) => Promise<boolean>) {
  const asked: string[] = [];
  const edge = await TestEdge.start({
    sites: [{ names: ["a.example"] }],
    snapshot: { onDemand: true },
    onDemand(name, client) {
      asked.push(`${name} ${client}`);
      return onDemand(name, client);
    },
  });
  return { edge, asked };
}

describe("design 2: certificates on demand", () => {
  it("are asked for, and the handshake goes on with what came of it", async () => {
    const { edge, asked } = await edgeThat(async () => {
      await turn();
      const [site] = edge.snapshot.sites;
      const names = ["new.example"];
      const fresh = edge.snapshot.with([[undefined, { ...site!, names }]]);
      edge.server.useSnapshot(fresh);
      return true;
    });
    const client = await edge.connect({ serverName: "NEW.example", roots: undefined! });
    await client.write(get("new.example"));
    await readUntil(client, "HTTP/1.1 200");
    expect(asked).toEqual(["new.example 127.0.0.1"]);
    await client.close();
  });

  it("are asked for with an allowance that nothing came of: refused", async () => {
    const { edge } = await edgeThat(() => Promise.resolve(true));
    await expect(edge.connect({ serverName: "new.example" })).rejects.toMatchObject(REFUSED);
  });

  it("are refused where the control plane says no, or fails", async () => {
    for (const no of [() => Promise.resolve(false), () => Promise.reject(new Error("dead"))]) {
      const { edge } = await edgeThat(no);
      await expect(edge.connect({ serverName: "new.example" })).rejects.toMatchObject(REFUSED);
      await until(() => edge.server.counters.pending === 0);
      expect(edge.server.counters).toMatchObject({ exceptions: 0 });
    }
  });

  it("are asked for once, however many clients come with the name", async () => {
    let count = 0;
    const answer = Promise.withResolvers<boolean>();
    const questions = new Questions({
      onDemand: () => (count++, answer.promise),
      challenge: () => Promise.resolve(undefined),
    });
    const { edge, asked } = await edgeThat((name, client) => questions.onDemand(name, client));
    const clients = [1, 2, 3].map(() =>
      edge.connect({ serverName: "new.example" }).catch((error: unknown) => error)
    );
    await until(() => asked.length === 3);
    answer.resolve(false);
    for (const refused of await Promise.all(clients)) expect(refused).toMatchObject(REFUSED);
    expect(count).toBe(1);
  });

  it("that take for ever are given up after holdTimeout", async () => {
    const { edge, asked } = await edgeThat(() => new Promise(() => {}));
    const connecting = edge.connect({ serverName: "new.example" }).catch((error: unknown) => error);
    await until(() => asked.length === 1);
    edge.clock.advance(60_250);
    expect(await connecting).toMatchObject({ alertReceived: "internal_error" });
  });

  it("are nobody's question for names that are served, and without a name", async () => {
    const { edge, asked } = await edgeThat(() => Promise.resolve(true));
    await (await edge.connect({ serverName: "a.example" })).close();
    expect(asked).toEqual([]);
  });

  it("are off where the snapshot says so: nobody is asked", async () => {
    const asked: string[] = [];
    const edge = await TestEdge.start({
      onDemand: (name) => (asked.push(name), Promise.resolve(true)),
    });
    await expect(edge.connect({ serverName: "new.example" })).rejects.toMatchObject(REFUSED);
    expect(asked).toEqual([]);
  });
});
