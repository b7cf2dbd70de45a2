import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { must, words } from "./support/run.ts";
import { type RunningServer, SERVER, startServer } from "./support/server.ts";
import { go } from "./support/tools.ts";

const TOML = `[[site]]
names = ["echo.localhost"]
`;

let server: RunningServer;
beforeAll(async () => {
  const script = join(import.meta.dirname, "support/test-server.ts");
  server = await startServer({ toml: TOML, script });
});
afterAll(() => server?.stop());

const BYTES = 10_000_000;

describe(`10 MB go both ways through ${SERVER} unchanged`, () => {
  const paths = [["gathered", "/echo"], ["streamed while it comes", "/stream"]] as const;
  const groups = [["ECH", true], ["no ECH", false]] as const;
  for (const [how, path] of paths) {
    for (const [what, withEch] of groups) {
      test(`with Go: ${how}, ${what}`, async () => {
        const ech = withEch ? ["-ech", server.ready.ech?.configList ?? "none"] : [];
        const [result] = await go(
          words`echo -addr 127.0.0.1:${server.port} -root ${server.ready.root}
          -name echo.localhost -path ${path} -bytes ${BYTES}
          ${ech}`,
        );
        expect(result).toMatchObject({ status: 200, sent: BYTES, received: BYTES, same: true });
      });
    }
  }

  test("with curl", async () => {
    const body = "0123456789".repeat(BYTES / 10);
    const { stdout } = await must(
      "curl",
      words`--silent --show-error --cacert ${server.ready.root} --data-binary @-
      --resolve echo.localhost:${server.port}:127.0.0.1
      https://echo.localhost:${server.port}/echo`,
      { input: body },
    );
    expect(stdout.length).toBe(BYTES);
    expect(stdout === body).toBe(true);
  });
});
