/**
 * A client's handshake, from ClientHello to Finished (RFC 9846 §4, RFC 9849 §6.1).
 *
 *     offer ─→ [HelloRetryRequest ─→ offer] ─→ ServerHello ─→ server's flight ─→ client's flight
 *
 * With a real offer of ECH two handshakes begin, the inner and the outer; the server's first message tells which of
 * them goes on.
 *
 * @module
 */
import type { ApplicationSecrets, HashName, RunningHash, Suite } from "../crypto/crypto.ts";
import { TlsError } from "../tls/error.ts";
import { SUITES } from "../tls/suites.ts";
import { ContentType, ExtensionType, HandshakeType, TLS13 } from "../tls/wire/code-points.ts";
import { decodeServerHello } from "../tls/wire/server-hello.ts";
import { sendClientFlight } from "./client-flight.ts";
import { echConfigFromDns } from "./ech-config.ts";
import { EchSender } from "./ech-offer.ts";
import { refuse } from "./error.ts";
import type { Extension } from "./extensions.ts";
import { encodeClientHello, type HelloFields, withExtension, withoutExtension } from "./hello.ts";
import { DEFAULT_SUITES, HelloMaker, type Retry } from "./hello-maker.ts";
import type { Attempt, ClientOptions } from "./options.ts";
import { ClientRecords, plaintext } from "./records.ts";
import {
  type EchState,
  endRejectedEch,
  receiveServerFlight,
  type ServerFlight,
} from "./server-flight.ts";
import { bind, type ClientSession } from "./session.ts";

type ServerHello = ReturnType<typeof decodeServerHello>;

/** What a connection goes on with. */
export interface Established {
  readonly cipherSuite: number;
  readonly suite: Suite;
  readonly group: number;
  readonly secrets: ApplicationSecrets;
  readonly resumptionSecret: Uint8Array;
  readonly flight: ServerFlight;
  readonly resumed: boolean;
  readonly helloRetried: boolean;
  readonly ech: EchState;
}

/** One of the two hellos, or the only one: its bytes and what stands for the transcript before it. */
interface Path {
  readonly fields: HelloFields;
  readonly message: Uint8Array;
}

export class ClientHandshake {
  readonly #records: ClientRecords;
  readonly #options: ClientOptions;
  readonly #nowMs: number;
  #maker!: HelloMaker;
  #sender: EchSender | undefined;
  #ech: EchState = "not-offered";
  #echExtension: Extension | undefined;
  #sessions: readonly ClientSession[];
  /** The hello that goes over the wire, and the inner one where ECH is offered for real. */
  #sent!: Path;
  #inner: Path | undefined;
  /** The first hello of the path that was chosen by a HelloRetryRequest, and that request. */
  #before: { readonly hello: Uint8Array; readonly retry: Uint8Array } | undefined;
  #sentChangeCipherSpec = false;

  constructor(records: ClientRecords, options: ClientOptions) {
    this.#records = records;
    this.#options = options;
    this.#nowMs = (options.now ?? Date.now)();
    this.#sessions = options.sessions ?? [];
  }

  async run(): Promise<Established> {
    await this.#prepare();
    await this.#sendHello(1);
    let message = await this.#serverHello();
    let hello = decodeServerHello(message);
    let retried: ServerHello | undefined;
    if (hello.isRetry) {
      retried = hello;
      await this.#answerRetry(hello, message);
      message = await this.#serverHello();
      hello = decodeServerHello(message);
      if (hello.isRetry) refuse("second HelloRetryRequest");
      if (hello.cipherSuite !== retried.cipherSuite) {
        refuse("cipher suite differs from HelloRetryRequest");
      }
    }
    return await this.#goOn(hello, message, retried !== undefined);
  }

  async #prepare(): Promise<void> {
    const { ech } = this.#options;
    if (ech === "grease") this.#ech = "grease";
    else if (ech !== undefined) {
      const chosen = echConfigFromDns(ech.configList, ech.suite);
      this.#sender = await EchSender.open(chosen, ech);
      this.#ech = "offered";
    }
    this.#maker = new HelloMaker(this.#options, this.#sender?.chosen.config);
  }

  async #sendHello(attempt: Attempt, retry?: Retry): Promise<void> {
    const sender = this.#sender;
    let message: Uint8Array;
    if (sender === undefined) {
      const fields = this.#bound("plain", attempt, retry);
      message = encodeClientHello(fields);
      this.#sent = { fields, message };
    } else {
      const outer = this.#maker.fields("outer", attempt, this.#sessions, this.#nowMs, retry);
      if (this.#ech === "rejected") { // the extension goes again as it was (§6.1.6)
        const fields = this.#echExtension === undefined
          ? withoutExtension(outer, ExtensionType.encrypted_client_hello)
          : withExtension(outer, this.#echExtension);
        message = encodeClientHello(fields);
      } else {
        const inner = this.#bound("inner", attempt, retry);
        const sealed = await sender.seal(inner, outer, attempt);
        message = sealed.outer;
        this.#inner = { fields: inner, message: sealed.inner };
        if (attempt === 1) this.#echExtension = sealed.extension;
      }
      this.#sent = { fields: outer, message };
    }
    await this.#sendHelloMessage(message, attempt);
  }

  async #sendHelloMessage(message: Uint8Array, attempt: Attempt): Promise<void> {
    const { earlyDataBytes, hooks, crypto } = this.#options;
    if (attempt === 2) this.#queueChangeCipherSpec();
    const said = hooks?.beforeSend?.(message, HandshakeType.client_hello) ?? message;
    for (const part of Array.isArray(said) ? said : [said]) {
      this.#records.queue(ContentType.handshake, part);
      if (part[0] === HandshakeType.client_hello) this.#sent = { ...this.#sent, message: part };
    }
    if (earlyDataBytes !== undefined && attempt === 1) {
      this.#queueChangeCipherSpec();
      const suite = SUITES.get(0x1301)!;
      this.#records.writeWith(suite, { key: crypto.random(16), iv: crypto.random(12) });
      this.#records.queue(ContentType.application_data, new Uint8Array(earlyDataBytes));
      this.#records.writePlaintext();
    }
    await this.#records.flush();
  }

  #bound(role: "plain" | "inner", attempt: Attempt, retry: Retry | undefined): HelloFields {
    const fields = this.#maker.fields(role, attempt, this.#sessions, this.#nowMs, retry);
    const last = fields.extensions?.at(-1)?.[0];
    if (this.#sessions.length === 0 || last !== ExtensionType.pre_shared_key) return fields;
    return bind(
      this.#options.crypto,
      fields,
      this.#sessions,
      this.#nowMs,
      (hash) => this.#transcriptBefore(hash),
    );
  }

  /** The transcript up to the hello that comes next: empty, or message_hash and HelloRetryRequest (§4.1). */
  #transcriptBefore(hash: HashName): RunningHash {
    const { crypto } = this.#options;
    const running = crypto.hash(hash);
    if (this.#before !== undefined) {
      const digest = crypto.digest(hash, this.#before.hello);
      running.update(Uint8Array.of(HandshakeType.message_hash, 0, 0, digest.length));
      running.update(digest);
      running.update(this.#before.retry);
    }
    return running;
  }

  async #serverHello(): Promise<Uint8Array> {
    const incoming = await this.#records.next();
    if (incoming.kind === "message" && incoming.type === HandshakeType.server_hello) {
      return incoming.bytes;
    }
    if (incoming.kind === "message" || incoming.kind === "data") {
      throw new TlsError("unexpected message");
    }
    return refuse("truncated", { detail: "before ServerHello" });
  }

  /** The path that counts: inner if ECH was accepted. */
  get #path(): Path {
    return this.#ech === "accepted" ? this.#inner! : this.#sent;
  }

  #check(hello: ServerHello): Suite {
    const { versions = [TLS13], suites = DEFAULT_SUITES } = this.#options;
    if (hello.selectedVersion !== TLS13 || !versions.includes(TLS13)) {
      refuse("another version than TLS 1.3");
    }
    if (!equalBytes(hello.sessionId, this.#path.fields.sessionId)) {
      refuse("legacy_session_id_echo differs");
    }
    const suite = SUITES.get(hello.cipherSuite);
    if (suite === undefined || !suites.includes(hello.cipherSuite)) {
      refuse("unoffered cipher suite");
    }
    this.#checkExtensions(hello);
    return suite;
  }

  /** RFC 9846 §4.3: what is answered was asked, and is answered here. A cookie comes unasked. */
  #checkExtensions(hello: ServerHello): void {
    const offered = (this.#sent.fields.extensions ?? []).map(([type]) => type);
    const allowed = hello.isRetry ? IN_RETRY : IN_SERVER_HELLO;
    for (const type of hello.extensionTypes) {
      if (type !== ExtensionType.cookie && !offered.includes(type)) {
        refuse("unsolicited extension", { detail: `${type}` });
      }
      if (!allowed.includes(type)) throw new TlsError("extension not allowed here", `${type}`);
    }
  }

  async #answerRetry(hello: ServerHello, message: Uint8Array): Promise<void> {
    const suite = this.#check(hello);
    if (this.#ech === "offered") this.#judgeRetry(hello, message, suite);
    const group = hello.keyShare?.group;
    if (group !== undefined) {
      if (!this.#maker.groups.includes(group)) refuse("unoffered group");
      if (this.#maker.hasShare(group)) refuse("HelloRetryRequest changes nothing");
    } else if (hello.cookie === undefined) refuse("HelloRetryRequest changes nothing");
    this.#before = { hello: this.#path.message, retry: message };
    this.#sessions = this.#sessions.filter((session) =>
      SUITES.get(session.suite)!.hash === suite.hash
    );
    await this.#sendHello(2, { group, cookie: hello.cookie });
  }

  /** RFC 9849 §6.1.4 for a HelloRetryRequest. */
  #judgeRetry(hello: ServerHello, message: Uint8Array, suite: Suite): void {
    const { crypto } = this.#options;
    this.#ech = "rejected";
    if (hello.ech === undefined) return;
    const zeroed = message.slice();
    const at = extensionAt(zeroed, ExtensionType.encrypted_client_hello);
    zeroed.fill(0, at, at + 8);
    const digest = crypto.digest(suite.hash, this.#inner!.message);
    const running = crypto.hash(suite.hash);
    running.update(Uint8Array.of(HandshakeType.message_hash, 0, 0, digest.length));
    running.update(digest);
    running.update(zeroed);
    const signal = crypto.schedule.echConfirmation(
      suite.hash,
      this.#inner!.fields.random,
      "hrr ech accept confirmation",
      running.digest(),
    );
    if (equalBytes(signal, hello.ech)) this.#ech = "accepted";
  }

  /** RFC 9849 §6.1.4 for a ServerHello. */
  #judgeHello(message: Uint8Array, suite: Suite): void {
    const zeroed = message.slice();
    zeroed.fill(0, 30, 38);
    const running = this.#transcriptBefore(suite.hash);
    running.update(this.#inner!.message);
    running.update(zeroed);
    const signal = this.#options.crypto.schedule.echConfirmation(
      suite.hash,
      this.#inner!.fields.random,
      "ech accept confirmation",
      running.digest(),
    );
    const isConfirmed = equalBytes(signal, message.subarray(30, 38));
    if (this.#ech === "accepted" && !isConfirmed) refuse("ECH acceptance not confirmed");
    this.#ech = isConfirmed ? "accepted" : "rejected";
  }

  async #goOn(
    hello: ServerHello,
    message: Uint8Array,
    helloRetried: boolean,
  ): Promise<Established> {
    const { crypto } = this.#options;
    const suite = this.#check(hello);
    if (this.#ech === "offered" || this.#ech === "accepted") this.#judgeHello(message, suite);
    const session = this.#chosenSession(hello, suite);
    if (hello.keyShare === undefined) refuse("ServerHello without a key share");
    const { group, keyExchange } = hello.keyShare;
    if (!this.#maker.hasShare(group)) refuse("unoffered group");
    const shared = this.#maker.agree(group, keyExchange);
    if (shared === undefined) throw new TlsError("bad key share");

    const transcript = this.#transcriptBefore(suite.hash);
    transcript.update(this.#path.message);
    transcript.update(message);
    const keys = crypto.schedule.handshake(suite, session?.psk, shared, transcript.digest());
    this.#log("CLIENT_HANDSHAKE_TRAFFIC_SECRET", keys.clientTraffic);
    this.#log("SERVER_HANDSHAKE_TRAFFIC_SECRET", keys.serverTraffic);
    this.#records.readWith(suite, keys.serverKeys, "handshake");
    this.#queueChangeCipherSpec();
    this.#records.writeWith(suite, keys.clientKeys);

    const isRejected = this.#ech === "rejected";
    const flight = await receiveServerFlight(this.#records, {
      options: this.#options,
      suite,
      transcript,
      finishedKey: keys.serverFinishedKey,
      resumed: session !== undefined,
      offered: (this.#path.fields.extensions ?? []).map(([type]) => type),
      ech: this.#ech,
      name: isRejected ? this.#sender!.chosen.config.publicName : this.#options.serverName,
      nowMs: this.#nowMs,
    });
    const secrets = crypto.schedule.application(suite, keys.main, transcript.digest());
    this.#log("CLIENT_TRAFFIC_SECRET_0", secrets.clientTraffic);
    this.#log("SERVER_TRAFFIC_SECRET_0", secrets.serverTraffic);
    this.#log("EXPORTER_SECRET", secrets.exporter);
    this.#records.readWith(suite, secrets.serverKeys, "application");
    sendClientFlight(this.#records, {
      options: this.#options,
      suite,
      transcript,
      finishedKey: keys.clientFinishedKey,
      request: flight.certificateRequest,
      certificate: isRejected ? undefined : this.#options.certificate,
    });
    this.#records.writeWith(suite, secrets.clientKeys);
    if (isRejected) endRejectedEch(flight);
    await this.#records.flush();
    return {
      cipherSuite: hello.cipherSuite,
      suite,
      group,
      secrets,
      resumptionSecret: crypto.schedule.resumption(suite.hash, keys.main, transcript.digest()),
      flight,
      resumed: session !== undefined,
      helloRetried,
      ech: this.#ech,
    };
  }

  #chosenSession(hello: ServerHello, suite: Suite): ClientSession | undefined {
    if (hello.selectedIdentity === undefined) return undefined;
    if (this.#ech === "rejected") refuse("pre_shared_key on rejected ECH");
    const session = this.#sessions[hello.selectedIdentity];
    if (session === undefined || SUITES.get(session.suite)!.hash !== suite.hash) {
      refuse("unoffered PSK");
    }
    return session;
  }

  #queueChangeCipherSpec(): void {
    if (this.#sentChangeCipherSpec || this.#options.compatibilityMode === false) return;
    this.#sentChangeCipherSpec = true;
    this.#records.queueRecord(plaintext(ContentType.change_cipher_spec, Uint8Array.of(1)));
  }

  #log(label: string, secret: Uint8Array): void {
    this.#options.keyLog?.(`${label} ${hex(this.#path.fields.random)} ${hex(secret)}`);
  }
}

const IN_SERVER_HELLO: readonly number[] = [
  ExtensionType.supported_versions,
  ExtensionType.key_share,
  ExtensionType.pre_shared_key,
];

const IN_RETRY: readonly number[] = [
  ExtensionType.supported_versions,
  ExtensionType.key_share,
  ExtensionType.cookie,
  ExtensionType.encrypted_client_hello,
];

/** Where the body of an extension begins in a ServerHello or HelloRetryRequest that has it. */
function extensionAt(message: Uint8Array, type: number): number {
  const u16 = (at: number) => (message[at]! << 8) | message[at + 1]!;
  let at = 4 + 2 + 32 + 1 + message[38]! + 2 + 1 + 2;
  while (u16(at) !== type) at += 4 + u16(at + 2);
  return at + 4;
}

function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
