import { describe, expect, it } from "vitest";
import type { Transport } from "../../src/client/client.ts";
import { connectWithRetry, type EchTry } from "../../src/client/retry.ts";
import { testCertificate } from "../support/certificates.ts";
import { fakeServer, type Script } from "../support/fake-server.ts";
import { testCrypto, testEchKey } from "../support/server-config.ts";

const [stale, current, other] = [1, 2, 3].map((configId) => testEchKey({ configId }));
const ECH = 0xfe0d;
const sends = (key = current!): Partial<Script> => ({
  encryptedExtensions: [[ECH, key.configList]],
});

describe("connectWithRetry", () => {
  it("ech 15: one connection where ECH is accepted", async () => {
    expect(await run([{ ech: stale! }])).toEqual(["configured ok"]);
  });

  it("ech 15: a new connection with retry_configs", async () => {
    expect(await run([sends(), { ech: current! }])).toEqual([
      "configured ECH rejected",
      "retry ok",
    ]);
  });

  it("ech 15: a new connection without ECH where it is securely off", async () => {
    expect(await run([{}, {}])).toEqual(["configured ECH rejected", "none ok"]);
    expect(await run([sends(), {}, {}])).toEqual([
      "configured ECH rejected",
      "retry ECH rejected",
      "none ok",
    ]);
  });

  it("ech 15: a list received in a retry is not used", async () => {
    expect(await run([sends(), sends(other), { ech: other! }])).toEqual([
      "configured ECH rejected",
      "retry ECH rejected",
    ]);
  });

  it("ech 15: any other failure is final, and nothing goes out in clear", async () => {
    const certificate = await testCertificate({ names: ["elsewhere.example"] });
    expect(await run([{ ...sends(), certificate }, {}])).toEqual([
      "configured certificate for another name",
    ]);
  });
});

/** How each connection ended. */
async function run(scripts: Partial<Script>[]): Promise<string[]> {
  const certificate = await testCertificate({ names: ["a.example", "public.example"] });
  const left = [...scripts];
  const tries: EchTry[] = [];
  const open = async (): Promise<Transport> => {
    const script = left.shift();
    if (script === undefined) throw new Error("one connection too many");
    return fakeServer({ certificate, ...script }).transport;
  };
  const root = await testCertificate({ issuer: "self", isCa: true, subject: "CN=Test Root" });
  await connectWithRetry(open, {
    crypto: testCrypto,
    serverName: "a.example",
    roots: [root.pem],
    ech: { configList: stale!.configList },
  }, tries).then(({ connection }) => connection.close(), () => undefined);
  return tries.map(({ offered, error }) => `${offered} ${error?.reason ?? "ok"}`);
}
