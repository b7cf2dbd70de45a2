/**
 * The five traces of RFC 8448 against every provider: key agreement, transcript, key schedule, record protection,
 * CertificateVerify. Every secret in the file is compared, or named here with why it is not.
 */
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { Crypto } from "../../src/crypto/crypto.ts";
import { bytes, hex, PRIMITIVES, PROVIDERS, SUITES } from "./providers.ts";

interface Message {
  readonly type: string;
  readonly data: string;
}

interface Trace {
  readonly section: number;
  readonly title: string;
  readonly keys: Readonly<Record<string, { readonly private: string; readonly public: string }>>;
  readonly records: readonly {
    readonly from: "client" | "server";
    readonly record: string;
    readonly protection: "plaintext" | "early" | "handshake" | "application";
    readonly seq?: number;
    readonly content_type: "handshake" | "application_data" | "alert" | "change_cipher_spec";
    readonly content?: string;
    readonly messages?: readonly Message[];
  }[];
  readonly message_hash?: string;
  readonly ticket_nonce?: string;
  readonly truncated_client_hello_len?: number;
  readonly transcript_hashes: Readonly<Record<string, string>>;
  readonly secrets: Readonly<Record<string, string>>;
}

const { traces } = JSON.parse(
  readFileSync(new URL("../fixtures/rfc8448.json", import.meta.url), "utf8"),
) as { traces: readonly Trace[] };

const SUITE = SUITES.TLS_AES_128_GCM_SHA256;

/** Inside one step of the interface, seen through what is derived from them; or 0-RTT, which is refused. */
const NOT_COMPARED = [
  ["early_secret", "derived_early", "handshake_secret", "derived_handshake"],
  ["binder_key", "binder_finished_key"],
  ["client_early_traffic_secret", "early_exporter_secret", "client_early_key", "client_early_iv"],
].flat();

for (const { name, crypto } of PROVIDERS) {
  describe.each(traces)(`RFC 8448 §$section, $title, with ${name}`, (trace) => {
    const transcript = hashes(crypto, trace);

    test("tls13 6: every secret, key and IV of the schedule is the trace's", () => {
      expect({ ...schedule(crypto, trace, transcript), ...notCompared(trace) }).toEqual(
        trace.secrets,
      );
    });

    test("tls13 6: a running hash gives the transcript hashes on the way", () => {
      const { afterServerHello, afterServerFinished, afterClientFinished } = transcript;
      expect({
        "ClientHello..ServerHello": hex(afterServerHello),
        "ClientHello..server Finished": hex(afterServerFinished),
        "ClientHello..client Finished": hex(afterClientFinished),
      }).toEqual(
        Object.fromEntries(
          Object.entries(trace.transcript_hashes).filter(([span]) => span.startsWith("Client")),
        ),
      );
    });

    test("tls13 6: both Finished are the trace's", () => {
      const { secrets } = trace;
      const [server, client] = handshakeMessages(trace).filter(({ type }) => type === "finished");
      const verifyData = (key: string, transcriptHash: Uint8Array): string | undefined =>
        hex(crypto.schedule.finished("sha256", bytes(secrets[key]!), transcriptHash));
      expect(verifyData("server_finished_key", transcript.beforeServerFinished))
        .toBe(server!.data.slice(8));
      expect(verifyData("client_finished_key", transcript.beforeClientFinished))
        .toBe(client!.data.slice(8));
    });

    test("tls13 1: every protected record opens, and seals to the same bytes", () => {
      for (
        const { from, record, protection, seq, content, messages, content_type } of trace.records
      ) {
        if (protection === "plaintext") continue;
        const prefix = `${from}_${protection}`;
        const aead = crypto.aead("aes-128-gcm", bytes(trace.secrets[`${prefix}_key`]!));
        const nonce = bytes(trace.secrets[`${prefix}_iv`]!);
        nonce[11] = nonce[11]! ^ seq!;
        const whole = bytes(record);
        const inner = aead.open(nonce, whole.subarray(0, 5), whole.subarray(5))!;
        const type = { handshake: 22, application_data: 23, alert: 21, change_cipher_spec: 20 };
        const plaintext = content ?? messages!.map(({ data }) => data).join("");
        expect(hex(inner)).toBe(plaintext + type[content_type].toString(16));
        const sealed = new Uint8Array(whole.length);
        sealed.set(whole.subarray(0, 5));
        expect(aead.seal(nonce, whole.subarray(0, 5), inner, sealed, 5)).toBe(whole.length);
        expect(hex(sealed)).toBe(record);
      }
    });

    test("tls13 3: the signature of every CertificateVerify verifies, and not over another hash", () => {
      const sent: Message[] = [];
      for (const message of handshakeMessages(trace)) {
        if (message.type === "certificate_verify") {
          const certificate = sent.findLast(({ type }) => type === "certificate")!;
          const signer = sent.some(({ type }) => type === "finished") ? "client" : "server";
          const transcriptHash = crypto.digest("sha256", bytes(dataOf(trace, sent)));
          checkSignature(crypto, certificate, message, signer, transcriptHash);
        }
        sent.push(message);
      }
    });
  });
}

for (const { name, primitives } of PRIMITIVES.filter(({ primitives }) => primitives.x25519)) {
  test.each(traces)(
    `tls13 3: both ends of RFC 8448 §$section agree on its secret, with ${name}`,
    ({ keys, secrets }) => {
      const group = keys["server_p256"] === undefined ? "x25519" : "p256";
      const dh = primitives[group === "p256" ? "secp256r1" : "x25519"]!;
      const server = dh.from(bytes(keys[`server_${group}`]!.private));
      const client = dh.from(bytes(keys[`client_${group}`]!.private));
      expect(hex(server.share)).toBe(keys[`server_${group}`]!.public);
      expect(hex(client.share)).toBe(keys[`client_${group}`]!.public);
      expect(hex(server.agree(client.share))).toBe(secrets["shared_secret"]);
      expect(hex(client.agree(server.share))).toBe(secrets["shared_secret"]);
    },
  );
}

function schedule(
  crypto: Crypto,
  trace: Trace,
  transcript: ReturnType<typeof hashes>,
): Record<string, string | undefined> {
  const { schedule } = crypto;
  const { secrets } = trace;
  const psk = secrets["psk"] === undefined ? undefined : bytes(secrets["psk"]);
  const shared = bytes(secrets["shared_secret"]!);
  const first = schedule.handshake(SUITE, psk, shared, transcript.afterServerHello);
  const second = schedule.application(SUITE, first.main, transcript.afterServerFinished);
  const resumption = schedule.resumption("sha256", first.main, transcript.afterClientFinished);
  return {
    shared_secret: hex(shared),
    client_handshake_traffic_secret: hex(first.clientTraffic),
    server_handshake_traffic_secret: hex(first.serverTraffic),
    client_handshake_key: hex(first.clientKeys.key),
    client_handshake_iv: hex(first.clientKeys.iv),
    server_handshake_key: hex(first.serverKeys.key),
    server_handshake_iv: hex(first.serverKeys.iv),
    client_finished_key: hex(first.clientFinishedKey),
    server_finished_key: hex(first.serverFinishedKey),
    main_secret: hex(first.main),
    client_application_traffic_secret_0: hex(second.clientTraffic),
    server_application_traffic_secret_0: hex(second.serverTraffic),
    client_application_key: hex(second.clientKeys.key),
    client_application_iv: hex(second.clientKeys.iv),
    server_application_key: hex(second.serverKeys.key),
    server_application_iv: hex(second.serverKeys.iv),
    exporter_secret: hex(second.exporter),
    resumption_secret: hex(resumption),
    ...(trace.ticket_nonce === undefined ? {} : {
      ticket_psk: hex(schedule.ticketPsk("sha256", resumption, bytes(trace.ticket_nonce))),
    }),
    ...(psk === undefined ? {} : resumed(crypto, trace, psk)),
  };
}

function resumed(
  crypto: Crypto,
  trace: Trace,
  psk: Uint8Array,
): Record<string, string | undefined> {
  const hello = bytes(handshakeMessages(trace)[0]!.data);
  const truncated = crypto.digest("sha256", hello.subarray(0, trace.truncated_client_hello_len));
  return {
    psk: hex(psk),
    binder_transcript_hash: hex(truncated),
    binder: hex(crypto.schedule.binder("sha256", psk, truncated)),
  };
}

function notCompared({ secrets }: Trace): Record<string, string> {
  return Object.fromEntries(
    NOT_COMPARED.filter((name) => name in secrets).map((name) => [name, secrets[name]!]),
  );
}

function handshakeMessages(trace: Trace): readonly Message[] {
  return trace.records.flatMap(({ messages }) => messages ?? []);
}

/** The transcript of these messages; message_hash stands for the first hello after a HelloRetryRequest. */
function dataOf(trace: Trace, messages: readonly Message[]): string {
  const first = trace.message_hash === undefined ? [] : [trace.message_hash];
  const rest = trace.message_hash === undefined ? messages : messages.slice(1);
  return [...first, ...rest.map(({ data }) => data)].join("");
}

function hashes(crypto: Crypto, trace: Trace) {
  const running = crypto.hash("sha256");
  const at = new Map<string, Uint8Array>();
  let finished = "Server";
  handshakeMessages(trace).forEach(({ type, data }, index) => {
    if (type === "finished") at.set(`before${finished}Finished`, running.clone().digest());
    running.update(bytes(index === 0 ? trace.message_hash ?? data : data));
    if (type === "server_hello") at.set("afterServerHello", running.digest());
    if (type === "finished") {
      at.set(`after${finished}Finished`, running.digest());
      finished = "Client";
    }
  });
  return Object.fromEntries(at) as Record<
    | "afterServerHello"
    | `${"before" | "after"}${"Server" | "Client"}Finished`,
    Uint8Array
  >;
}

function checkSignature(
  crypto: Crypto,
  certificate: Message,
  message: Message,
  signer: string,
  transcriptHash: Uint8Array,
): void {
  const list = Buffer.from(certificate.data, "hex");
  const leafAt = 4 + 1 + list[4]! + 3;
  const leaf = list.subarray(leafAt + 3, leafAt + 3 + list.readUIntBE(leafAt, 3));
  const spki = new X509Certificate(leaf).publicKey.export({ format: "der", type: "spki" });
  const scheme = ({ "0403": "ecdsa_secp256r1_sha256", "0804": "rsa_pss_rsae_sha256" } as const)[
    message.data.slice(8, 12) as "0403" | "0804"
  ];
  const signature = bytes(message.data.slice(16));
  const content = Buffer.concat([
    Buffer.alloc(64, 0x20),
    Buffer.from(`TLS 1.3, ${signer} CertificateVerify\0`),
    transcriptHash,
  ]);
  expect(crypto.verify(scheme, spki, content, signature)).toBe(true);
  content[content.length - 1]! ^= 1;
  expect(crypto.verify(scheme, spki, content, signature)).toBe(false);
}
