import { describe, expect, it } from "vitest";
import { ClientError, type ClientOptions, connect } from "../../src/client/client.ts";
import type { Extension } from "../../src/client/extensions.ts";
import { matchesName } from "../../src/client/verify.ts";
import { HandshakeType } from "../../src/tls/wire/code-points.ts";
import { testCertificate, testRoot } from "../support/certificates.ts";
import { fakeServer, type Script } from "../support/fake-server.ts";
import { Pair } from "../support/pair.ts";
import { testCrypto } from "../support/server-config.ts";

const askP256: Extension = [51, Uint8Array.of(0, 0x17)];
const askX25519: Extension = [51, Uint8Array.of(0, 0x1d)];
const { certificate: CERTIFICATE, certificate_verify, finished } = HandshakeType;
const spoil = (wanted: number, at: number) => (message: Uint8Array, type: number) =>
  type === wanted ? message.map((b, i) => i === at ? b ^ 1 : b) : message;

describe("a client refuses", () => {
  it.each<[string, Partial<Script>, string, string]>([
    ["TLS 1.2", { version: 0x0303 }, "another version than TLS 1.3", "protocol_version"],
    [
      "another session id",
      { sessionId: new Uint8Array(32) },
      "legacy_session_id_echo differs",
      "illegal_parameter",
    ],
    ["a suite it did not offer", { suite: 0x1304 }, "unoffered cipher suite", "illegal_parameter"],
    [
      "a PSK it did not offer",
      { serverHello: [[41, Uint8Array.of(0, 0)]] },
      "unsolicited extension",
      "unsupported_extension",
    ],
    [
      "an extension in the wrong message",
      { encryptedExtensions: [[13, Uint8Array.of(0, 2, 4, 3)]] },
      "extension not allowed here",
      "illegal_parameter",
    ],
    [
      "an answer to nothing",
      { encryptedExtensions: [[0x7777, new Uint8Array(0)]] },
      "unsolicited extension",
      "unsupported_extension",
    ],
    [
      "a group that it has sent",
      { retry: { extensions: [askX25519] } },
      "HelloRetryRequest changes nothing",
      "illegal_parameter",
    ],
    [
      "a group that it does not have",
      { retry: { extensions: [[51, Uint8Array.of(0, 0x19)]] } },
      "unoffered group",
      "illegal_parameter",
    ],
    [
      "an HRR that asks for nothing",
      { retry: { extensions: [] } },
      "HelloRetryRequest changes nothing",
      "illegal_parameter",
    ],
    [
      "a spoilt signature",
      { flight: spoil(certificate_verify, 20) },
      "incorrect CertificateVerify",
      "decrypt_error",
    ],
    ["a spoilt Finished", { flight: spoil(finished, 9) }, "incorrect Finished", "decrypt_error"],
    [
      "no certificate",
      {
        flight: (message, type) =>
          type === CERTIFICATE ? Uint8Array.of(CERTIFICATE, 0, 0, 4, 0, 0, 0, 0) : message,
      },
      "server without a certificate",
      "decode_error",
    ],
    [
      "a certificate that is none",
      {
        flight: (message, type) =>
          type === CERTIFICATE
            ? Uint8Array.of(CERTIFICATE, 0, 0, 10, 0, 0, 0, 6, 0, 0, 1, 5, 0, 0)
            : message,
      },
      "unreadable certificate",
      "bad_certificate",
    ],
  ])("%s", async (_, script, reason, alert) => {
    const { error, heard } = await run(script);
    expect([error?.reason, error?.alertSent]).toEqual([reason, alert]);
    if (heard.alert !== undefined) expect(heard.alert).toBe(alert);
  });

  it("a protocol that it did not offer", async () => {
    const encryptedExtensions: Extension[] = [[16, Uint8Array.of(0, 3, 2, 0x68, 0x33)]];
    const { error } = await run({ encryptedExtensions }, { alpn: ["h2"] });
    expect(error?.reason).toBe("unoffered application protocol");
  });

  it("a record over its record_size_limit", async () => {
    const { error } = await run({}, { recordSizeLimit: 64 });
    expect([error?.reason, error?.alertSent]).toEqual(["record overflow", "record_overflow"]);
  });
});

describe("a client", () => {
  it("echoes a cookie, with or without another group", async () => {
    const cookie: Extension = [44, Uint8Array.of(0, 2, 7, 7)];
    for (const extensions of [[cookie], [cookie, askP256]]) {
      const { error, heard } = await run({ retry: { extensions } });
      expect(error).toBeUndefined();
      expect(Array.from(heard.hellos[1]!).join()).toContain("0,44,0,4,0,2,7,7");
    }
  });

  it("reports the end of a connection without close_notify", async () => {
    const pair = await Pair.connect();
    await pair.client.write(Uint8Array.of(1));
    pair.inject(Uint8Array.of(23, 3, 3, 0, 17, ...new Uint8Array(17))); // the server gives up
    await pair.settle();
    expect(pair.alert).toBe("bad_record_mac");
    const cut = await run({}, {}, (client) => client.read());
    expect(cut.error?.reason).toBe("truncated");
  });

  it("writes the secrets that the server writes", async () => {
    const [client, server]: string[][] = [[], []];
    await Pair.connect({
      server: { ech: true, server: { keyLog: (line) => server!.push(line) } },
      client: { ech: true, keyLog: (line) => client!.push(line) },
    });
    expect(client!.length).toBe(5);
    expect(server).toEqual(expect.arrayContaining(client!));
  });

  it("compares names label by label", () => {
    expect(matchesName("*.a.example", "b.A.example.")).toBe(true);
    expect(matchesName("A.example", "a.example")).toBe(true);
    for (const name of ["a.example", "c.b.a.example", ".a.example", "ba.example"]) {
      expect(matchesName("*.a.example", name)).toBe(false);
    }
    expect(matchesName("*.example", "a.example")).toBe(false);
  });

  it.each(["127.0.0.1", "::1"])("finds address %s in a certificate", async (address) => {
    const certificate = await testCertificate({ names: [address] });
    expect((await run({ certificate }, { serverName: address })).error).toBeUndefined();
    expect((await run({ certificate }, { serverName: "127.0.0.2" })).error?.reason).toBe(
      "certificate for another name",
    );
  });

  it("goes through intermediates, and only through authorities", async () => {
    const authority = await testCertificate({ isCa: true, subject: "CN=Intermediate" });
    const good = await testCertificate({ names: ["a.example"], issuer: authority });
    expect((await run({ certificate: good })).error).toBeUndefined();
    const leaf = await testCertificate({ names: ["a.example"], subject: "CN=No Authority" });
    const bad = await testCertificate({ names: ["a.example"], issuer: leaf });
    expect((await run({ certificate: bad })).error?.reason).toBe("no trusted root");
  });
});

type Client = Awaited<ReturnType<typeof connect>>;

async function run(
  script: Partial<Script>,
  options: Partial<ClientOptions> = {},
  use: (client: Client) => Promise<unknown> = () => Promise.resolve(),
) {
  const certificate = await testCertificate({ names: ["a.example"] });
  const fake = fakeServer({ certificate, ...script });
  let error: ClientError | undefined;
  try {
    const client = await connect(fake.transport, {
      crypto: testCrypto,
      serverName: "a.example",
      roots: [(await testRoot()).pem],
      ...options,
    });
    const used = use(client);
    await client.closeWrite();
    await used;
    await client.close();
  } catch (thrown) {
    if (!(thrown instanceof ClientError)) throw thrown;
    error = thrown;
  }
  return { error, heard: await fake.heard };
}
