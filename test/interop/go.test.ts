import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { staleConfigList } from "./support/ech.ts";
import { words } from "./support/run.ts";
import { SERVER } from "./support/server.ts";
import { greeting } from "./support/names.ts";
import { type InteropServer, startInteropServer } from "./support/site.ts";
import { go } from "./support/tools.ts";

let server: InteropServer;
beforeAll(async () => {
  server = await startInteropServer();
});
afterAll(() => server?.stop());

/** What the Go client prints of one connection. */
interface Connection {
  readonly error?: string;
  readonly rejected: boolean;
  readonly retryList?: string;
  readonly version?: string;
  readonly cipherSuite?: string;
  readonly group?: string;
  readonly alpn?: string;
  readonly echAccepted: boolean;
  readonly resumed: boolean;
  readonly helloRetry: boolean;
  readonly status?: number;
  readonly body?: string;
}

/** @param names one connection each, by comma */
function get(names: string, args: readonly string[] = [], root: string = server.caFile) {
  return go<Connection>(words`get -addr 127.0.0.1:${server.port} -root ${root} -names ${names}
    ${args}`);
}

function configList(): string {
  const { ech } = server.ready;
  if (ech === null) throw new Error("the server has no ECH key");
  return ech.configList;
}

const served = (name: string) => ({ status: 200, body: greeting(name) });

describe(`Go is answered by ${SERVER}`, () => {
  test("over TLS 1.3 with X25519MLKEM768", async () => {
    const [connection] = await get("a.test");
    expect(connection).toMatchObject({
      ...served("a.test"),
      version: "TLS 1.3",
      group: "X25519MLKEM768",
      alpn: "http/1.1",
      helloRetry: false,
    });
  });

  test.each(["X25519MLKEM768", "X25519", "P256", "P384"])("with %s alone", async (group) => {
    const [connection] = await get("a.test", ["-groups", group]);
    expect(connection).toMatchObject({ ...served("a.test"), helloRetry: false });
    expect(connection?.group).toContain(group);
  });

  test("after a HelloRetryRequest", async () => {
    const [connection] = await get("only-p384.test");
    expect(connection).toMatchObject({ ...served("only-p384.test"), helloRetry: true });
  });

  test.each(["a.test", "large.test"])(
    "by %s after it has closed its own direction",
    async (name) => {
      const [connection] = await get(name, ["-half-close"]);
      expect(connection).toMatchObject({ status: 200 });
      expect(connection).not.toHaveProperty("error");
    },
  );

  test("by an app after it has closed its own direction", async () => {
    const [connection] = await get("localhost", ["-half-close"], root());
    expect(connection).toMatchObject({ status: 200 });
    expect(connection).not.toHaveProperty("error");
  });

  test("again, by a ticket", async () => {
    const [first, second] = await get("a.test,a.test", ["-resume"]);
    expect(first).toMatchObject({ ...served("a.test"), resumed: false });
    expect(second).toMatchObject({ ...served("a.test"), resumed: true });
  });

  test("with a full handshake, where the ticket is another site's", async () => {
    const [, second] = await get("a.test,b.test", ["-resume"]);
    expect(second).toMatchObject({ ...served("b.test"), resumed: false });
  });
});

describe("Go with ECH", () => {
  test("is accepted", async () => {
    const [connection] = await get("a.test", ["-ech", configList()]);
    expect(connection).toMatchObject({ ...served("a.test"), echAccepted: true });
  });

  test("is accepted after a HelloRetryRequest", async () => {
    const [connection] = await get("only-p384.test", ["-ech", configList()]);
    expect(connection).toMatchObject({
      ...served("only-p384.test"),
      echAccepted: true,
      helloRetry: true,
    });
  });

  test("resumes", async () => {
    const [first, second] = await get("a.test,a.test", ["-ech", configList(), "-resume"]);
    expect(first).toMatchObject({ ...served("a.test"), echAccepted: true, resumed: false });
    expect(second).toMatchObject({ ...served("a.test"), echAccepted: true, resumed: true });
  });

  test("resumes after a HelloRetryRequest", async () => {
    const name = "only-p384.test";
    const [, second] = await get(`${name},${name}`, ["-ech", configList(), "-resume"]);
    expect(second).toMatchObject({
      ...served(name),
      echAccepted: true,
      resumed: true,
      helloRetry: true,
    });
  });

  test("gets a full handshake, where the ticket is another site's", async () => {
    const [, second] = await get("a.test,b.test", ["-ech", configList(), "-resume"]);
    expect(second).toMatchObject({ ...served("b.test"), echAccepted: true, resumed: false });
  });

  test.each([false, true])(
    "and a stale key (config_id known: %s) gets a retry list that works",
    async (known) => {
      const stale = staleConfigList(configList(), known);
      // The public name's certificate comes from the local CA.
      const [first, second] = await get("localhost,localhost", ["-ech", stale, "-retry"], root());
      expect(first).toMatchObject({ rejected: true, retryList: configList() });
      expect(second).toMatchObject({ status: 200, echAccepted: true });
    },
  );

  test("is told of a name that no site has, under handshake keys", async () => {
    const [connection] = await get("nobody.example", ["-ech", configList()]);
    expect(connection?.rejected).toBe(false);
    expect(connection?.error).toContain("unrecognized name");
  });
});

/** Of the local CA. */
const root = () => server.ready.root;

test("200 handshakes with ECH, one after the other, all succeed", async () => {
  const [result] = await go<{ ok: number; echAccepted: number }>(
    words`load -addr 127.0.0.1:${server.port} -root ${root()} -name localhost
    -ech ${configList()} -n 200`,
  );
  expect(result).toMatchObject({ ok: 200, echAccepted: 200, failed: 0 });
});

test("60 idle connections at once, and a 61st is served", async () => {
  const connections = 60;
  let served: Promise<Connection[]> | undefined;
  await go(words`hold -addr 127.0.0.1:${server.port} -root ${root()} -n ${connections}`, {
    input(soFar, input) {
      if (served !== undefined || !soFar.includes(`"open":${connections}`)) return;
      served = get("a.test").finally(() => input.end());
    },
  });
  expect(await served).toMatchObject([{ status: 200 }]);
});
