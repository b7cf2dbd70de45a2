import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { Crypto, RunningHash } from "../../../src/crypto/crypto.ts";
import type { ServerConfig, SiteConfig } from "../../../src/tls/config.ts";
import { ServerConnection } from "../../../src/tls/connection.ts";
import { ServerCredential } from "../../../src/tls/credential.ts";
import type { TicketKeys } from "../../../src/tls/tickets.ts";
import { NamedGroup } from "../../../src/tls/wire/code-points.ts";
import { decodeServerHello } from "../../../src/tls/wire/server-hello.ts";
import { joined } from "../../support/hello-builder.ts";
import { recordsOf } from "../../support/raw-server.ts";
import { RecordingOutput } from "../../support/recording-output.ts";
import { START_MS, testCrypto, testServer } from "../../support/server-config.ts";
import { firstMessage, hexBytes, messagesOf, opened, SecretLog } from "./kit.ts";

/**
 * The traces of RFC 8448 played to the core. Its server words its messages otherwise than ours (order of extensions,
 * other EncryptedExtensions), so what ours puts into its transcript is replaced by the trace's message of that type:
 * then every secret, both Finished and every record of the client must come out as in the trace.
 */
interface Trace {
  readonly section: number;
  readonly records: readonly {
    readonly from: "client" | "server";
    readonly record: string;
    readonly protection?: string;
    readonly content_type?: string;
    readonly content?: string;
    readonly messages?: readonly { readonly type: string; readonly data: string }[];
  }[];
  readonly keys: Readonly<Record<string, { readonly public: string }>>;
  readonly secrets: Readonly<Record<string, string>>;
}

const file = join(import.meta.dirname, "../../fixtures/rfc8448.json");
const { traces } = JSON.parse(readFileSync(file, "utf8")) as { traces: readonly Trace[] };

function messages(trace: Trace, from: "client" | "server"): Uint8Array[] {
  return trace.records.filter((record) => record.from === from)
    .flatMap((record) => record.messages ?? []).map(({ data }) => hexBytes(data));
}

const sameBytes = (a: Uint8Array, b: Uint8Array) =>
  a.length === b.length && a.every((byte, i) => byte === b[i]);

/** A transcript that holds the trace's messages whatever it is given. */
class TraceHash implements RunningHash {
  readonly #trace: Trace;
  readonly #real: RunningHash;

  constructor(trace: Trace, real: RunningHash) {
    this.#trace = trace;
    this.#real = real;
  }

  update(bytes: Uint8Array): void {
    const helloEnd = bytes[0] === 1 ? 4 + ((bytes[2]! << 8) | bytes[3]!) : 0;
    if (helloEnd > 0 && helloEnd < bytes.length) {
      this.update(bytes.subarray(0, helloEnd));
      return this.update(bytes.subarray(helloEnd));
    }
    // A hello, whole or truncated; or one of the two parts of message_hash.
    const isOne = bytes[0] === 1 || bytes[0] === 254 || bytes.length === 32;
    for (const message of isOne ? [bytes] : messagesOf(bytes)) {
      const isClients = isOne ||
        messages(this.#trace, "client").some((theirs) => sameBytes(theirs, message));
      this.#real.update(
        isClients
          ? message
          : messages(this.#trace, "server").find((ours) => ours[0] === message[0])!,
      );
    }
  }

  digest(): Uint8Array {
    return this.#real.digest();
  }

  clone(): RunningHash {
    return new TraceHash(this.#trace, this.#real.clone());
  }
}

/** The trace's randoms and ephemeral keys; all else is real. */
function traceCrypto(trace: Trace): Crypto {
  let randoms = 0;
  const injected: Partial<Crypto> = {
    random(length) {
      const hello = messages(trace, "server").find((message) => message[0] === 2)!;
      return randoms++ === 0 ? hello.slice(6, 38) : testCrypto.random(length);
    },
    hash: (name) => new TraceHash(trace, testCrypto.hash(name)),
    digest(name, bytes) {
      if (bytes[0] !== 1) return testCrypto.digest(name, bytes); // no transcript
      const hash = new TraceHash(trace, testCrypto.hash(name));
      hash.update(bytes);
      return hash.digest();
    },
    answerShare: (group) => ({
      share: hexBytes(
        trace.keys[group === "x25519" ? "server_x25519" : "server_p256"]!.public,
      ),
      secret: hexBytes(trace.secrets["shared_secret"]!),
    }),
  };
  return new Proxy(testCrypto, {
    get(target, key: keyof Crypto) {
      const value = injected[key] ?? target[key];
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

async function serverOf(
  trace: Trace,
  more: { config?: Partial<ServerConfig>; site?: Partial<SiteConfig> } = {},
) {
  const secrets = new SecretLog();
  const verify = messages(trace, "server").find((message) => message[0] === 15);
  const scheme = verify === undefined ? 0x0804 : (verify[4]! << 8) | verify[5]!;
  const base = await testServer({ tickets: false, groups: [NamedGroup.x25519] });
  const credential = new ServerCredential({
    id: "trace",
    chain: [Uint8Array.of(0x30, 0)],
    schemes: [scheme],
    sign: () => verify!.slice(8),
    notAfterMs: START_MS,
  });
  const config = {
    ...base.config,
    crypto: traceCrypto(trace),
    keyLog: secrets.add,
    ...more.config,
  };
  const site = { ...base.site, credentials: [credential], ...more.site };
  const output = new RecordingOutput(site);
  const server = output.connection = new ServerConnection(config, output);
  const clientSays = () => {
    for (const { from, record } of trace.records) {
      if (from === "client") server.receive(hexBytes(record), START_MS);
    }
  };
  return { server, output, secrets, clientSays };
}

const LABELS = {
  CLIENT_HANDSHAKE_TRAFFIC_SECRET: "client_handshake_traffic_secret",
  SERVER_HANDSHAKE_TRAFFIC_SECRET: "server_handshake_traffic_secret",
  CLIENT_TRAFFIC_SECRET_0: "client_application_traffic_secret_0",
  SERVER_TRAFFIC_SECRET_0: "server_application_traffic_secret_0",
  EXPORTER_SECRET: "exporter_secret",
} as const;

function expectSecrets(trace: Trace, secrets: SecretLog): void {
  for (const [label, name] of Object.entries(LABELS)) {
    expect(trace.secrets[name], name).toBeDefined();
    expect(secrets.get(label), label).toEqual(hexBytes(trace.secrets[name]!));
  }
}

const section = (number: number): Trace => traces.find((trace) => trace.section === number)!;

describe.each([3, 6, 7])("RFC 8448 §%i", (number) => {
  const trace = section(number);
  const site = number === 6
    ? { clientAuth: { mode: "request", authorities: [] } as const, tickets: false }
    : {};

  test("tls13 19: every secret is the trace's, and so is our Finished", async () => {
    const { server, output, secrets } = await serverOf(trace, { site });
    server.receive(hexBytes(trace.records[0]!.record), START_MS);
    expectSecrets(trace, secrets);
    const theirs = messages(trace, "server").find((message) => message[0] === 2)!;
    const ours = firstMessage(output.sent[0]!);
    expect({ ...decodeServerHello(ours), extensionTypes: [] })
      .toEqual({ ...decodeServerHello(theirs), extensionTypes: [] });
    const flight = recordsOf(output.sent[0]!)[2]!;
    const { content } = opened(
      hexBytes(trace.secrets["server_handshake_traffic_secret"]!),
      0,
      flight.fragment,
    );
    const finished = messagesOf(content).at(-1);
    expect(finished).toEqual(messages(trace, "server").find((message) => message[0] === 20));
  });

  test("tls13 19: the client's records are taken, its data and its close_notify heard", async () => {
    const { server, output, clientSays } = await serverOf(trace, { site });
    clientSays();
    expect(output.negotiated).toMatchObject({ cipherSuite: 0x1301, serverName: "server" });
    const data = trace.records.filter(({ from, content_type }) =>
      from === "client" && content_type === "application_data"
    ).map(({ content }) => hexBytes(content!));
    expect(output.plaintextReceived).toEqual(joined(data));
    expect(output.isClosed).toBe(true);
    expect(server.state).toBe("Traffic");
    if (number === 6) expect(output.negotiated?.client?.chain.length).toBe(1);
  });

  test("tls13 19: what we seal for it is the trace's to the byte", async () => {
    const { server, output, clientSays } = await serverOf(trace, { site });
    clientSays();
    const theirs = trace.records.filter(({ from, protection }) =>
      from === "server" && protection === "application"
    );
    for (const { content_type, content, record } of theirs) {
      if (content_type === "alert") server.closeWrite();
      else if (content_type === "application_data") {
        const bytes = hexBytes(content!);
        server.send(bytes, 0, bytes.length);
      } else {
        server.send(Uint8Array.of(1), 0, 1); // in the place of a ticket, which is random
        continue;
      }
      expect(output.sent.at(-1)).toEqual(hexBytes(record));
    }
  });

  test("tls13 19: the session id is echoed, one change_cipher_spec goes each way", async () => {
    const { output, clientSays } = await serverOf(trace, { site });
    clientSays();
    expect(recordsOf(output.sent[0]!).map(({ type }) => type)).toEqual([22, 20, 23]);
    const hello = messages(trace, "client")[0]!;
    const { sessionId } = decodeServerHello(firstMessage(output.sent[0]!));
    expect(sessionId).toEqual(hello.slice(39, 39 + hello[38]!));
    expect(sessionId.length).toBe(number === 7 ? 32 : 0);
  });
});

describe("RFC 8448 §4", () => {
  test("tls13 19: the binder is good and every secret the trace's; its 0-RTT is dropped", async () => {
    const trace = section(4);
    const psk = hexBytes(trace.secrets["psk"]!);
    const name = Uint8Array.from("server", (character) => character.charCodeAt(0));
    const tickets = {
      lifetimeSeconds: 30,
      open: () => ({
        suite: 0x1301,
        psk,
        createdMs: START_MS,
        authenticatedSeconds: START_MS / 1000,
        lifetimeSeconds: 30,
        ageAdd: 0,
        serverNameHash: testCrypto.digest("sha256", name),
        alpn: undefined,
        policyId: 1,
        echAccepted: false,
      }),
    } as unknown as TicketKeys;
    const { server, output, secrets } = await serverOf(trace, {
      config: { tickets },
      site: { tickets: true },
    });
    server.receive(hexBytes(trace.records[0]!.record), START_MS);
    expectSecrets(trace, secrets);
    expect(decodeServerHello(firstMessage(output.sent[0]!)).selectedIdentity).toBe(0);

    // Its client's Finished covers an EndOfEarlyData, since its server took what ours drops.
    const again = await serverOf(trace, { config: { tickets }, site: { tickets: true } });
    expect(() => again.clientSays()).toThrow(
      expect.objectContaining({ reason: "incorrect Finished" }),
    );
  });
});

describe("RFC 8448 §5", () => {
  test("tls13 19: the same group is asked for; the cookie in answer is not ours", async () => {
    const trace = section(5);
    const { server, output } = await serverOf(trace, { site: { groups: [NamedGroup.secp256r1] } });
    const [first, second] = trace.records.filter(({ from }) => from === "client");
    server.receive(hexBytes(first!.record), START_MS);
    const retry = decodeServerHello(firstMessage(output.sent[0]!));
    expect(retry).toMatchObject({ isRetry: true, keyShare: { group: NamedGroup.secp256r1 } });
    expect(() => server.receive(hexBytes(second!.record), START_MS))
      .toThrow(expect.objectContaining({ reason: "second ClientHello with a cookie" }));
  });
});
