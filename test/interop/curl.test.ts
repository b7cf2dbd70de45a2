import { readFileSync } from "node:fs";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { KEY_KINDS } from "./support/certificates.ts";
import { must, run, words } from "./support/run.ts";
import { SERVER } from "./support/server.ts";
import { authName, greeting, nameFor } from "./support/names.ts";
import { type InteropServer, LARGE_BYTES, startInteropServer } from "./support/site.ts";

let server: InteropServer;
beforeAll(async () => {
  server = await startInteropServer();
});
afterAll(() => server?.stop());

const at = (name: string) =>
  words`--silent --show-error --cacert ${server.caFile}
  --resolve ${name}:${server.port}:127.0.0.1 https://${name}:${server.port}/`;

/** As the server counts them. */
async function resumptions(): Promise<number> {
  const health = ["--unix-socket", server.ready.health!, "http://localhost/counters"];
  const { stdout } = await must("curl", ["-sS", ...health]);
  const { handshakes } = JSON.parse(stdout) as { handshakes: Record<string, number> };
  return handshakes["resumed"] ?? 0;
}

describe(`curl gets its answer from ${SERVER}`, () => {
  test("plain and simple", async () => {
    const { stdout } = await must("curl", at("a.test"));
    expect(stdout.trim()).toBe(greeting("a.test"));
  });

  test("from the welcome page, trusting the root that the ready file names", async () => {
    const { port, ready } = server;
    const { stdout } = await must(
      "curl",
      words`--silent --show-error --cacert ${ready.root} --resolve
      localhost:${port}:127.0.0.1 https://localhost:${port}/`,
    );
    expect(stdout).toContain("TLS 1.3");
  });

  test.each(["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"])(
    "with the suite %s",
    async (suite) => {
      const finished = await must("curl", [...at("a.test"), "-v", "--tls13-ciphers", suite]);
      expect(finished.stdout.trim()).toBe(greeting("a.test"));
      expect(finished.stderr).toContain(`TLSv1.3 / ${suite}`);
    },
  );

  test.each(["X25519", "P-256", "P-384", "P-521:P-384"])("with the groups %s", async (groups) => {
    const { stdout } = await must("curl", [...at("a.test"), "--curves", groups]);
    expect(stdout.trim()).toBe(greeting("a.test"));
  });

  test.each(KEY_KINDS)("with a certificate for a key of kind %s", async (kind) => {
    const { stdout } = await must("curl", at(nameFor(kind)));
    expect(stdout.trim()).toBe(greeting(nameFor(kind)));
  });

  test("twice, resuming the first connection by the second", async () => {
    const urls = [...at("a.test"), ...at("a.test")];
    const before = await resumptions();
    const { stdout } = await must("curl", ["-H", "Connection: close", ...urls]);
    expect(stdout.split(greeting("a.test"))).toHaveLength(3);
    // This curl says that it offers a session, not whether it was taken.
    expect(await resumptions()).toBe(before + 1);
  });

  test("five times over one connection", async () => {
    const urls = Array<string[]>(5).fill(at("a.test")).flat();
    const { stderr, stdout } = await must("curl", ["-v", ...urls]);
    expect(stdout.split(greeting("a.test"))).toHaveLength(6);
    expect(stderr.match(/Re-using existing connection/g)).toHaveLength(4);
  });

  test("whole, when it is large", async () => {
    const { stdout } = await must("curl", at("large.test"));
    expect(stdout.length).toBeGreaterThanOrEqual(LARGE_BYTES);
    expect(stdout.slice(0, LARGE_BYTES)).toBe("0123456789".repeat(LARGE_BYTES / 10));
  });

  test("whole, when it reads slowly", async () => {
    const { stdout } = await must("curl", [...at("large.test"), "--limit-rate", "400k"]);
    expect(stdout.slice(0, LARGE_BYTES)).toBe("0123456789".repeat(LARGE_BYTES / 10));
  });

  test("with a client certificate", async () => {
    const { good } = server.clients;
    const name = authName("require_and_verify");
    const { stdout } = await must("curl", [
      ...at(name),
      "--cert",
      good.certificate,
      "--key",
      good.key,
    ]);
    expect(stdout.trim()).toBe(greeting(name));
  });

  test("over HTTP/1.1 though it would like HTTP/2", async () => {
    const { stderr } = await must("curl", [...at("a.test"), "-v", "--http2"]);
    expect(stderr).toContain("ALPN: server accepted http/1.1");
  });
});

describe("curl does not get an answer", () => {
  test("where it trusts another CA", async () => {
    const result = await run("curl", [...at("a.test"), "--cacert", server.ready.root]);
    expect(result.code).toBe(60);
  });

  test("for a name that no site has", async () => {
    const result = await run("curl", at("nobody.example"));
    expect(result.code).toBe(35);
    expect(result.stderr).toContain("unrecognized name");
  });

  test("without the client certificate that the site requires", async () => {
    const result = await run("curl", at(authName("require")));
    expect(result.code).not.toBe(0);
    expect(result.stdout).toBe("");
    expect(result.stderr).toContain("certificate required");
  });

  test("over plain HTTP, but a redirect", async () => {
    const { stdout } = await must(
      "curl",
      words`--silent -i --resolve a.test:${server.httpPort}:127.0.0.1
      http://a.test:${server.httpPort}/path?query`,
    );
    expect(stdout).toMatch(/^HTTP\/1\.1 30[18] /);
    expect(stdout).toMatch(/^location: https:\/\/a\.test(:\d+)?\/path\?query\r$/im);
  });
});

test("the root in the ready file is a certificate that OpenSSL takes for a CA", async () => {
  expect(readFileSync(server.ready.root, "utf8")).toContain("BEGIN CERTIFICATE");
  const { stdout } = await must("openssl", words`x509 -in ${server.ready.root} -noout -purpose`);
  expect(stdout).toContain("SSL server CA : Yes");
});
