import { describe, expect, it } from "vitest";
import { chooseEchConfig } from "../../src/client/ech-config.ts";
import { ClientError, type ClientOptions, connect } from "../../src/client/client.ts";
import * as ext from "../../src/client/extensions.ts";
import type { ClientSession } from "../../src/client/session.ts";
import { parseClientHello } from "../../src/tls/wire/client-hello.ts";
import { ExtensionType, HandshakeType, NamedGroup } from "../../src/tls/wire/code-points.ts";
import { testCertificate, testRoot } from "../support/certificates.ts";
import { joined } from "../support/hello-builder.ts";
import { type FakeServer, fakeServer, type Heard, type Script } from "../support/fake-server.ts";
import { Pair } from "../support/pair.ts";
import { testConfigList, testCrypto, testEchKey, testServer } from "../support/server-config.ts";

const { x25519, secp256r1 } = NamedGroup;
const key = testEchKey();
const stale = testEchKey({ configId: 8 });
const ECH = ExtensionType.encrypted_client_hello;
const askX25519: ext.Extension = [51, Uint8Array.of(0, x25519)];
/** A client that must be asked for X25519. */
const viaRetry = { groups: [secp256r1, x25519], keyShares: [secp256r1] };

describe("choosing a config", () => {
  const choose = (...keys: ReturnType<typeof testEchKey>[]) =>
    chooseEchConfig(testConfigList(keys))?.config.configId;
  const usable = testEchKey({ configId: 1 });

  it("ech 15: takes the first that it can use", () => {
    expect(choose(usable, key)).toBe(1);
  });

  it("ech 15: skips an unknown version by its length", () => {
    const unknown = usable.config.slice();
    unknown[0] = 0xab;
    expect(chooseEchConfig(listOf(unknown, key.config))?.config.configId).toBe(7);
  });

  it("ech 15: skips a config with an unknown mandatory extension, not one with another", () => {
    const data = new Uint8Array(0);
    const mandatory = testEchKey({ configId: 2, extensions: [{ type: 0xfafa, data }] });
    const optional = testEchKey({ configId: 3, extensions: [{ type: 0x1a1a, data }] });
    expect(choose(mandatory, optional)).toBe(3);
  });

  it.each([[5, "KEM"], [43, "KDF"], [45, "AEAD"]])("ech 15: at %i skips an unknown %s", (at) => {
    const only = testEchKey({ suites: [{ kdfId: 1, aeadId: 1 }] });
    const config = only.config.slice();
    config[at] = 0xab; // the high byte of kem_id, kdf_id, aead_id
    expect(chooseEchConfig(listOf(config, key.config))?.config.configId).toBe(7);
  });

  it.each(["a.1", "a.0x1f", "-a.example", "a..example"])("ech 15: skips public name %s", (name) => {
    const config = usable.config.slice();
    const at = config.length - 2 - "public.example".length;
    const renamed = joined([
      config.subarray(0, at - 1),
      Uint8Array.of(name.length, ...new TextEncoder().encode(name)),
      Uint8Array.of(0, 0),
    ]);
    renamed[3] = renamed.length - 4;
    expect(chooseEchConfig(listOf(renamed, key.config))?.config.configId).toBe(7);
  });

  it("ech 15: refuses to connect with a list that does not parse or has nothing to use", async () => {
    const cut = key.configList.subarray(0, key.configList.length - 1);
    expect((await run({}, { ech: { configList: cut } })).error.reason).toBe("bad ECHConfigList");
    const none = testEchKey({ extensions: [{ type: 0x8a8a, data: new Uint8Array(0) }] }).configList;
    expect((await run({}, { ech: { configList: none } })).error.reason).toBe(
      "no ECH config to use",
    );
  });
});

describe("the offer", () => {
  it("ech 15: two hellos with randoms of their own, one session id, the public name outside", async () => {
    const { heard } = await offer();
    const [outer, inner] = [parse(heard.hellos[0]!), parse(heard.inner[0]!)];
    expect(outer.serverName && text(outer.serverName)).toBe("public.example");
    expect(inner.serverName && text(inner.serverName)).toBe("a.example");
    expect(outer.random).not.toEqual(inner.random);
    expect(outer.sessionId).toEqual(inner.sessionId);
    expect(inner.body(ECH)).toEqual(Uint8Array.of(1));
    expect(outer.offersAlpn).toBe(false);
    expect(inner.alpnProtocols()).toEqual(["h2"]);
  });

  it("ech 15: pads to the longest name and to 32 bytes", async () => {
    const sizes = new Set<number>();
    for (const serverName of ["a.example", "a-longer-name.wild.example", "abc.example"]) {
      const { heard } = await offer({ serverName });
      sizes.add(parse(heard.hellos[0]!).body(ECH)!.length);
    }
    expect(sizes.size).toBe(1);
  });

  it("ech 15: no real PSK outside, GREASE of the same sizes, early_data outside if inside", async () => {
    const { heard } = await offer({ sessions: [session()], earlyDataBytes: 10 });
    const [outer, inner] = [parse(heard.hellos[0]!), parse(heard.inner[0]!)];
    expect(text(inner.pskIdentity(0))).toBe("ticket");
    expect(outer.pskIdentity(0).length).toBe(6);
    expect(text(outer.pskIdentity(0))).not.toBe("ticket");
    expect(outer.pskBinder(0).length).toBe(32);
    expect(outer.offersPskDheKe).toBe(true);
    expect([outer.offersEarlyData, inner.offersEarlyData]).toEqual([true, true]);
  });

  it("ech 15: GREASE is a random id, a valid enc and a payload of 144 to 240 bytes", async () => {
    const pair = await Pair.connect({ server: { ech: true }, client: { ech: "grease" } });
    const body = parse(helloOf(pair.clientWire[0]!)).body(ECH)!;
    expect(body[0]).toBe(0);
    expect((body[6]! << 8) | body[7]!).toBe(32);
    expect([144, 176, 208, 240]).toContain((body[40]! << 8) | body[41]!);
  });

  it("ech 15: GREASE goes again byte for byte after an HRR", async () => {
    const { heard } = await run({ retry: { extensions: [askX25519] } }, {
      ech: "grease",
      ...viaRetry,
    });
    const [first, second] = heard.hellos.map((hello) => parse(hello).body(ECH));
    expect(second).toEqual(first);
  });
});

describe("the verdict", () => {
  it("ech 15: no signal in ServerHello is a rejection", async () => {
    const { error } = await run({ ech: key, signal: false }, real());
    expect(error.alertSent).not.toBeUndefined(); // the server went on with the inner hello: nothing fits
    expect(error.reason).toBe("bad record MAC");
  });

  it("ech 15: HRR without ECH is a rejection, and the extension goes again unchanged", async () => {
    const { error, heard } = await run(
      { retry: { extensions: [askX25519] }, encryptedExtensions: [[ECH, key.configList]] },
      { ...real(stale), ...viaRetry },
    );
    expect(error).toMatchObject({ reason: "ECH rejected", echVerdict: "replaced" });
    expect(error.retryConfigs).toEqual(key.configList);
    const [first, second] = heard.hellos.map((hello) => parse(hello).body(ECH));
    expect(second).toEqual(first);
  });

  it("ech 15: a wrong signal in an HRR is a rejection", async () => {
    const ech = new Uint8Array(8);
    const { error } = await run({ retry: { extensions: [askX25519], ech } }, {
      ...real(stale),
      ...viaRetry,
    });
    expect(error).toMatchObject({ reason: "ECH rejected", echVerdict: "off" });
  });

  it.each([7, 9])("ech 15: %i bytes of ECH in an HRR are a decode_error", async (length) => {
    for (const ech of [real().ech, "grease" as const]) {
      const { error } = await run({
        retry: { extensions: [askX25519], ech: new Uint8Array(length) },
      }, { ech, ...viaRetry });
      expect(error.alertSent).toBe("decode_error");
    }
  });

  it("ech 15: the signal in an HRR is acceptance; enc is empty then, and the inner hello stays", async () => {
    const { heard, connection } = await run(
      { ech: key, retry: { extensions: [askX25519], ech: "signal" } },
      { ...real(), ...viaRetry },
    );
    expect(connection?.negotiated).toMatchObject({ ech: "accepted", helloRetried: true });
    const body = parse(heard.hellos[1]!).body(ECH)!;
    expect([...body.subarray(6, 8)]).toEqual([0, 0]);
    const [first, second] = heard.inner.map((hello) => parse(hello));
    expect(second!.random).toEqual(first!.random);
    expect(second!.keyShareCount).toBe(1);
  });

  it("ech 15: acceptance in an HRR and no signal in ServerHello is illegal_parameter", async () => {
    const { error } = await run(
      { ech: key, signal: false, retry: { extensions: [askX25519], ech: "signal" } },
      { ...real(), ...viaRetry },
    );
    expect(error).toMatchObject({
      reason: "ECH acceptance not confirmed",
      alertSent: "illegal_parameter",
    });
  });

  it("ech 15: retry_configs after acceptance are unsupported_extension", async () => {
    const { error } = await run(
      { ech: key, encryptedExtensions: [[ECH, key.configList]] },
      real(),
    );
    expect(error).toMatchObject({
      reason: "ECH extension after acceptance",
      alertSent: "unsupported_extension",
    });
  });
});

describe("after a rejection", () => {
  it("ech 15: ech_required, with the list if it has a config to use, before any data", async () => {
    const { error, heard } = await run({
      encryptedExtensions: [[ECH, key.configList]],
      data: Uint8Array.of(1),
    }, real(stale));
    expect(error).toMatchObject({ alertSent: "ech_required", echVerdict: "replaced" });
    expect(heard).toMatchObject({ alert: "ech_required", data: 0 });
    expect(heard.messages.map((message) => message[0])).toEqual([HandshakeType.finished]);
  });

  it("ech 15: no list, or none to use, is 'securely off'", async () => {
    const unknown = key.configList.slice();
    unknown[2] = 0xab;
    for (const encryptedExtensions of [[], [[ECH, unknown] as const]]) {
      const { error } = await run({ encryptedExtensions }, real(stale));
      expect(error).toMatchObject({ reason: "ECH rejected", echVerdict: "off" });
      expect(error.retryConfigs).toBeUndefined();
    }
  });

  it("ech 15: a certificate for the origin but not the public name fails; nothing is to be retried", async () => {
    const certificate = await testCertificate({ names: ["a.example"] });
    const { error } = await run(
      { certificate, encryptedExtensions: [[ECH, key.configList]] },
      real(stale),
    );
    expect(error).toMatchObject({
      reason: "certificate for another name",
      alertSent: "bad_certificate",
    });
    expect([error.retryConfigs, error.echVerdict]).toEqual([undefined, undefined]);
  });

  it("ech 15: a handshake that fails under the public name yields no retry_configs", async () => {
    const { error } = await run({
      encryptedExtensions: [[ECH, key.configList]],
      flight: (message, type) =>
        type === HandshakeType.finished ? message.map((b, i) => i === 9 ? b ^ 1 : b) : message,
    }, real(stale));
    expect(error).toMatchObject({ reason: "incorrect Finished", alertSent: "decrypt_error" });
    expect([error.retryConfigs, error.echVerdict]).toEqual([undefined, undefined]);
  });

  it("ech 15: CertificateRequest is answered with an empty Certificate", async () => {
    const user = await testCertificate({ usage: "client", names: ["user"] });
    const { heard, error } = await run({ certificateRequest: [0x0403] }, {
      ...real(stale),
      certificate: { chain: user.chain, keyPem: user.keyPem },
    });
    expect(error.reason).toBe("ECH rejected");
    expect([...heard.messages[0]!]).toEqual([HandshakeType.certificate, 0, 0, 4, 0, 0, 0, 0]);
  });

  it("ech 15: pre_shared_key in ServerHello is illegal_parameter", async () => {
    const { error } = await run({ serverHello: [[41, Uint8Array.of(0, 0)]] }, {
      ...real(stale),
      sessions: [session()],
    });
    expect(error).toMatchObject({
      reason: "pre_shared_key on rejected ECH",
      alertSent: "illegal_parameter",
    });
  });

  it("ech 15: malformed retry_configs are decode_error, for GREASE as well", async () => {
    const cut = key.configList.subarray(0, key.configList.length - 1);
    for (const ech of [real(stale).ech, "grease" as const]) {
      const { error } = await run({ encryptedExtensions: [[ECH, cut]] }, { ech });
      expect(error).toMatchObject({ reason: "bad retry_configs", alertSent: "decode_error" });
    }
  });

  it("ech 15: GREASE is no offer: no ech_required, sessions and certificates as usual", async () => {
    const server = await testServer({ ech: true });
    const sessions = await (await Pair.connect({ server })).tickets();
    const pair = await Pair.connect({ server, client: { ech: "grease", sessions } });
    expect(pair.client.negotiated).toMatchObject({ ech: "grease", resumed: true });
  });

  it("ech 15: an ECH answer to nothing is unsupported_extension", async () => {
    const { error } = await run({ encryptedExtensions: [[ECH, key.configList]] }, {});
    expect(error.alertSent).toBe("unsupported_extension");
  });
});

/** What a server hears of a real offer that it accepts. */
async function offer(client: Partial<ClientOptions> = {}): Promise<{ heard: Heard }> {
  const fake = await server({ ech: key });
  const connection = await connect(fake.transport, options({ ...real(), alpn: ["h2"], ...client }));
  await connection.close();
  return { heard: await fake.heard };
}

async function run(script: Partial<Script>, client: Partial<ClientOptions>) {
  const fake = await server(script);
  try {
    const connection = await connect(fake.transport, options(client));
    await connection.close();
    return { connection, heard: await fake.heard, error: undefined as unknown as ClientError };
  } catch (error) {
    if (!(error instanceof ClientError)) throw error;
    return { error, heard: await fake.heard, connection: undefined };
  }
}

async function server(script: Partial<Script>): Promise<FakeServer> {
  const names = ["a.example", "*.wild.example", "abc.example", "public.example"];
  return fakeServer({ certificate: await testCertificate({ names }), ...script });
}

function options(client: Partial<ClientOptions>): ClientOptions {
  return { crypto: testCrypto, serverName: "a.example", roots: [root.pem], ...client };
}

function real(of = key): { ech: { configList: Uint8Array } } {
  return { ech: { configList: of.configList } };
}

function session(): ClientSession {
  return {
    suite: 0x1301,
    psk: new Uint8Array(32),
    ticket: new TextEncoder().encode("ticket"),
    ageAdd: 1,
    lifetimeSeconds: 100,
    receivedMs: 0,
    serverName: "a.example",
    alpn: undefined,
    echAccepted: true,
  };
}

function parse(message: Uint8Array) {
  const hello = parseClientHello(message);
  hello.checkExtensions();
  return hello;
}

/** Whatever the configs are. */
function listOf(...configs: Uint8Array[]): Uint8Array {
  const entries = joined(configs);
  return joined([Uint8Array.of(entries.length >> 8, entries.length), entries]);
}

/** The ClientHello of a plaintext record. */
function helloOf(wire: Uint8Array): Uint8Array {
  return wire.subarray(5, 5 + ((wire[3]! << 8) | wire[4]!));
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

const root = await testRoot();
