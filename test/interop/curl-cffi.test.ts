import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { must } from "./support/run.ts";
import { type RunningServer, SERVER, startServer } from "./support/server.ts";
import { pythonWithCurlCffi } from "./support/tools.ts";
import { staleConfigList } from "./support/ech.ts";

const TOML = `[ech]
public_name = "cover.localhost"

[[site]]
names = ["localhost", "second.localhost"]
`;

let server: RunningServer;
let python: string;
beforeAll(async () => {
  [server, python] = await Promise.all([startServer({ toml: TOML }), pythonWithCurlCffi()]);
}, 300_000);
afterAll(() => server?.stop());

interface Answer {
  readonly error: number;
  readonly status?: number;
  readonly message?: string;
  readonly body: string;
}

async function get(ech: string, name = "localhost", browser = "none"): Promise<Answer> {
  const script = join(import.meta.dirname, "support/curl_cffi_get.py");
  const { ready, port } = server;
  const { stdout } = await must(python, [script, String(port), name, ready.root, ech, browser]);
  return JSON.parse(stdout) as Answer;
}

function configList(): string {
  const { ech } = server.ready;
  if (ech === null) throw new Error("the server has no ECH key");
  return ech.configList;
}

/** What the welcome page says of the connection. */
const facts = (answer: Answer) => JSON.parse(answer.body) as Record<string, string>;

describe(`curl-cffi (BoringSSL) is answered by ${SERVER}`, () => {
  test("without ECH", async () => {
    const answer = await get("none");
    expect(answer).toMatchObject({ error: 0, status: 200 });
    expect(facts(answer)).toMatchObject({ "Encrypted Client Hello": "not offered" });
  });

  test.each(["localhost", "second.localhost"])("with ECH accepted, for %s", async (name) => {
    const answer = await get(`ecl:${configList()}`, name);
    expect(answer).toMatchObject({ error: 0, status: 200 });
    expect(facts(answer)).toMatchObject({
      "Encrypted Client Hello": "accepted",
      "Server name": name,
    });
  });

  // Their hellos: GREASE everywhere, permuted extensions, ALPS, compressed certificates.
  test.each(["chrome152", "safari270", "firefox155"])("with the hello of %s", async (browser) => {
    const answer = await get("none", "localhost", browser);
    expect(answer).toMatchObject({ error: 0, status: 200 });
    expect(facts(answer)).toMatchObject({ "TLS version": "TLS 1.3" });
  });

  test("with the hello of Chrome, ECH accepted", async () => {
    const answer = await get(`ecl:${configList()}`, "localhost", "chrome152");
    expect(answer).toMatchObject({ error: 0, status: 200 });
    expect(facts(answer)).toMatchObject({
      "Encrypted Client Hello": "accepted",
      "Key exchange": "X25519MLKEM768",
    });
  });

  test("with GREASE", async () => {
    const outcomes: (string | undefined)[] = [];
    // Its config_id is drawn by lot, and once in 256 times the server's own: then it reads as a config that is out of date.
    while (outcomes.length < 4 && outcomes.at(-1) !== "GREASE") {
      const answer = await get("grease");
      expect(answer).toMatchObject({ error: 0, status: 200 });
      outcomes.push(facts(answer)["Encrypted Client Hello"]);
      expect(["GREASE", "rejected"]).toContain(outcomes.at(-1));
    }
    expect(outcomes.at(-1)).toBe("GREASE");
  });

  test.each([false, true])("that its ECH key is stale, its config_id known: %s", async (known) => {
    const answer = await get(`ecl:${staleConfigList(configList(), known)}`);
    // CURLE_ECH_REQUIRED: the handshake with the public name's certificate was genuine.
    expect(answer).toMatchObject({ error: 101, body: "" });
  });
});
