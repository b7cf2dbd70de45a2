import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { sClient } from "./support/openssl.ts";
import { run, words } from "./support/run.ts";
import { KEY_KINDS } from "./support/certificates.ts";
import { SERVER } from "./support/server.ts";
import { AUTH_MODES, authName, greeting, nameFor } from "./support/names.ts";
import { type InteropServer, startInteropServer } from "./support/site.ts";

let server: InteropServer;
beforeAll(async () => {
  server = await startInteropServer();
});
afterAll(() => server?.stop());

const connect = (name: string, args: readonly string[] = [], input?: string) =>
  sClient({
    port: server.port,
    name,
    caFile: server.caFile,
    args,
    ...input === undefined ? {} : { input },
  });

describe(`OpenSSL s_client gets its answer from ${SERVER}`, () => {
  test.each(["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"])(
    "with the suite %s",
    async (suite) => {
      const result = await connect("a.test", ["-ciphersuites", suite]);
      expect(result).toMatchObject({ cipherSuite: suite, body: greeting("a.test"), code: 0 });
    },
  );

  test.each([["X25519", "X25519"], ["P-256", "ECDH prime256v1"], ["P-384", "ECDH secp384r1"]])(
    "with the group %s",
    async (group, shown) => {
      const result = await connect("a.test", ["-groups", group]);
      expect(result.body).toBe(greeting("a.test"));
      expect(`ECDH ${result.group}`).toContain(shown.replace(/^ECDH /, ""));
      expect(result.retried).toBe(false);
    },
  );

  test.each(KEY_KINDS)("with a certificate for a key of kind %s", async (kind) => {
    const result = await connect(nameFor(kind));
    expect(result).toMatchObject({ verified: true, body: greeting(nameFor(kind)) });
    expect(result.signature).toBe(
      {
        "ecdsa-p256": "ECDSA SHA256",
        "ecdsa-p384": "ECDSA SHA384",
        "rsa-2048": "RSA-PSS SHA256",
        "rsa-3072": "RSA-PSS SHA256",
        "rsa-4096": "RSA-PSS SHA256",
        "rsa-pss": "RSA-PSS SHA256",
        "ed25519": "ed25519",
      }[kind],
    );
  });

  test.each([
    ["ecdsa_secp256r1_sha256", "ECDSA SHA256"],
    ["rsa_pss_rsae_sha256", "RSA-PSS SHA256"],
    ["rsa_pss_rsae_sha384", "RSA-PSS SHA384"],
    ["rsa_pss_rsae_sha512", "RSA-PSS SHA512"],
    ["ed25519", "ed25519"],
  ])("with that certificate of several which fits %s", async (scheme, signature) => {
    // The certificates themselves are signed by the CA with ecdsa_secp256r1_sha256.
    const result = await connect("several.test", ["-sigalgs", `${scheme}`]);
    expect(result.body).toBe(greeting("several.test"));
    expect(result.signature).toBe(signature);
  });

  test("under a wildcard", async () => {
    const result = await connect("any.wild.test");
    expect(result).toMatchObject({ verified: true, body: greeting("*.wild.test") });
  });

  test.each(["P-521:X25519", "P-521:P-256", "P-521:P-384"])(
    "after a HelloRetryRequest, with the groups %s",
    async (groups) => {
      const result = await connect("a.test", ["-groups", groups]);
      expect(result).toMatchObject({ retried: true, body: greeting("a.test") });
    },
  );

  test("after a HelloRetryRequest for the only group that the site takes", async () => {
    const result = await connect("only-p384.test", ["-groups", "X25519:P-256:P-384"]);
    expect(result).toMatchObject({ retried: true, body: greeting("only-p384.test") });
  });

  test.each([
    ["-max_send_frag", "512"],
    ["-split_send_frag", "512"],
    ["-record_padding", "4096"],
    ["-maxfraglen", "512"],
  ])("with %s %s", async (...args) => {
    const input = `GET / HTTP/1.1\r\nHost: a.test\r\nX-Long: ${"x".repeat(3000)}\r\n` +
      "Connection: close\r\n\r\n";
    const result = await connect("a.test", args, input);
    expect(result.body).toBe(greeting("a.test"));
  });

  test("with an OCSP request, for which there is no staple", async () => {
    const result = await connect("a.test", ["-status"]);
    expect(result.body).toBe(greeting("a.test"));
  });
});

describe("OpenSSL s_client resumes", () => {
  const sessionFile = (name: string) => join(server.folder, `${name}.session`);

  test.each(["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"])(
    "a session under %s",
    async (suite) => {
      const file = sessionFile(suite);
      const first = await connect("a.test", ["-ciphersuites", suite, "-sess_out", file]);
      expect(first).toMatchObject({ resumed: false, body: greeting("a.test") });
      expect(existsSync(file), "a ticket came with the reply").toBe(true);
      const second = await connect("a.test", ["-ciphersuites", suite, "-sess_in", file]);
      expect(second).toMatchObject({ resumed: true, body: greeting("a.test"), cipherSuite: suite });
    },
  );

  test("through a HelloRetryRequest", async () => {
    const file = sessionFile("retried");
    await connect("a.test", ["-sess_out", file]);
    const second = await connect("a.test", ["-sess_in", file, "-groups", "P-521:P-384"]);
    expect(second).toMatchObject({ resumed: true, retried: true, body: greeting("a.test") });
  });

  test("not where the ticket is another site's", async () => {
    const file = sessionFile("other");
    await connect("a.test", ["-sess_out", file]);
    const second = await connect("b.test", ["-sess_in", file]);
    expect(second).toMatchObject({ resumed: false, body: greeting("b.test") });
  });

  test("not where the hash of the suite is another", async () => {
    const file = sessionFile("hash");
    await connect("a.test", ["-sess_out", file, "-ciphersuites", "TLS_AES_128_GCM_SHA256"]);
    const suites = "TLS_AES_256_GCM_SHA384";
    const second = await connect("a.test", ["-sess_in", file, "-ciphersuites", suites]);
    expect(second).toMatchObject({ resumed: false, cipherSuite: suites });
  });

  test("nothing on a site that wants a client's certificate: it gives no ticket", async () => {
    const file = sessionFile("client");
    const { good } = server.clients;
    const args = ["-cert", good.certificate, "-key", good.key];
    const name = authName("require_and_verify");
    const first = await connect(name, [...args, "-sess_out", file]);
    expect(first).toMatchObject({ verified: true, body: greeting(name) });
    expect(existsSync(file)).toBe(false);
    // Nor does it take another site's.
    const ticket = sessionFile("for another");
    await connect("a.test", ["-sess_out", ticket]);
    const second = await connect(name, [...args, "-sess_in", ticket]);
    expect(second).toMatchObject({ resumed: false, body: greeting(name) });
  });

  test("not with a session that holds no certificate where one is required", async () => {
    const file = sessionFile("none");
    await connect("a.test", ["-sess_out", file]);
    const second = await connect(authName("require"), ["-sess_in", file]);
    expect(second).toMatchObject({ resumed: false, alert: 116, body: undefined });
  });
});

describe("OpenSSL s_client is told", () => {
  test("unrecognized_name for a name that no site has", async () => {
    expect(await connect("nobody.example")).toMatchObject({ alert: 112, code: 1 });
  });

  test("handshake_failure where no suite, group or signature is common", async () => {
    expect(await connect("a.test", ["-groups", "P-521"])).toMatchObject({ alert: 40 });
    expect(await connect("a.test", ["-sigalgs", "rsa_pss_rsae_sha256"])).toMatchObject({
      alert: 40,
    });
  });

  test("protocol_version where it speaks no TLS 1.3", async () => {
    const result = await run(
      "openssl",
      words`s_client -connect 127.0.0.1:${server.port} -servername a.test -tls1_2`,
    );
    expect(result.stderr).toContain("alert number 70");
  });

  test("its protocol, where one is common, and no_application_protocol where none is", async () => {
    expect(await connect("a.test", ["-alpn", "h2,http/1.1"])).toMatchObject({ alpn: "http/1.1" });
    expect(await connect("a.test", ["-alpn", "imap"])).toMatchObject({ alert: 120 });
  });

  test("nothing about protocols by a site that ignores them", async () => {
    const result = await connect("no-alpn.test", ["-alpn", "imap"]);
    expect(result).toMatchObject({ alpn: undefined, body: greeting("no-alpn.test") });
  });
});

describe("OpenSSL s_client shows a certificate", () => {
  const certificate_expired = 45;
  const certificate_required = 116;
  const unknown_ca = 48;
  /** What each mode answers, undefined: it serves. */
  const ANSWERS = {
    request: { good: undefined, none: undefined, foreign: undefined, expired: undefined },
    require: {
      good: undefined,
      none: certificate_required,
      foreign: undefined,
      expired: undefined,
    },
    verify_if_given: {
      good: undefined,
      none: undefined,
      foreign: unknown_ca,
      expired: certificate_expired,
    },
    require_and_verify: {
      good: undefined,
      none: certificate_required,
      foreign: unknown_ca,
      expired: certificate_expired,
    },
  } as const;

  for (const mode of AUTH_MODES) {
    for (const shown of ["good", "none", "foreign", "expired"] as const) {
      const alert = ANSWERS[mode][shown];
      const answer = alert === undefined ? "is served" : `gets alert ${alert}`;
      test(`and ${answer}: ${mode}, ${shown}`, async () => {
        const pair = shown === "none" ? undefined : server.clients[shown];
        const args = pair === undefined ? [] : ["-cert", pair.certificate, "-key", pair.key];
        const name = authName(mode);
        const result = await connect(name, args);
        expect(result.alert).toBe(alert);
        expect(result.body).toBe(alert === undefined ? greeting(name) : undefined);
      });
    }
  }

  test("and is served after a HelloRetryRequest", async () => {
    const { good } = server.clients;
    const name = authName("require_and_verify");
    const args = ["-cert", good.certificate, "-key", good.key, "-groups", "P-521:P-256"];
    expect(await connect(name, args)).toMatchObject({ retried: true, body: greeting(name) });
  });

  test.each(["ecdsa-p384", "rsa-2048", "rsa-pss", "ed25519"] as const)(
    "and is served: require_and_verify, with a key of kind %s",
    async (kind) => {
      const { certificate, key } = server.clients.kinds[kind];
      const name = authName("require_and_verify");
      const result = await connect(name, ["-cert", certificate, "-key", key]);
      expect(result).toMatchObject({ alert: undefined, body: greeting(name) });
    },
  );
});

describe("OpenSSL s_client updates keys", () => {
  // In s_client "K" on a line of its own updates its keys and asks for the server's, "k" updates its own only.
  test.each([["k", 1], ["K", 2]])("by %s, and goes on", async (command, updates) => {
    let step = 0;
    const name = "a.test";
    const request = `GET / HTTP/1.1\r\nHost: ${name}\r\n\r\n`;
    const result = await run(
      "openssl",
      words`s_client -connect 127.0.0.1:${server.port} -servername ${name}
      -CAfile ${server.caFile} -tls1_3 -msg`,
      {
        timeoutMs: 15_000,
        input(soFar, input) {
          const answers = soFar.split(greeting(name)).length - 1;
          if (step === 0 && soFar.includes("Verify return code")) {
            step = 1;
            input.write(request);
          } else if (step === 1 && answers === 1) {
            step = 2;
            input.write(`${command}\n`);
          } else if (step === 2 && soFar.includes(", KeyUpdate")) {
            step = 3;
            input.write(request);
          } else if (step === 3 && answers === 2) {
            step = 4;
            input.end();
          }
        },
      },
    );
    expect(result.timedOut).toBe(false);
    expect(result.stdout.split(greeting(name))).toHaveLength(3);
    expect(result.stdout.match(/, KeyUpdate/g)).toHaveLength(updates);
  });
});

describe("the key log", () => {
  test("has the secrets that OpenSSL has", async () => {
    const ours = join(server.folder, "server.keys");
    const theirs = join(server.folder, "client.keys");
    const logging = await startInteropServer({ args: ["--key-log", ours] });
    try {
      await sClient({
        port: logging.port,
        name: "a.test",
        caFile: logging.caFile,
        args: ["-keylogfile", theirs],
      });
      const secrets = (file: string) =>
        readFileSync(file, "utf8").split("\n").filter((line) => /^[A-Z]/.test(line)).sort();
      expect(secrets(theirs).length).toBeGreaterThanOrEqual(5);
      expect(secrets(ours)).toEqual(secrets(theirs));
    } finally {
      await logging.stop();
    }
  });
});
