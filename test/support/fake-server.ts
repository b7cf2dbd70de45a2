/**
 * A server that says what a test wants said, for the rules that bind a client. It plays the handshake by the book but
 * where its script says otherwise.
 *
 * @module
 */
import type { Transport } from "../../src/client/client.ts";
import type { Extension } from "../../src/client/extensions.ts";
import { ClientError } from "../../src/client/error.ts";
import { ClientRecords } from "../../src/client/records.ts";
import { type EchSession, openEch, openSecondEch } from "../../src/tls/ech.ts";
import { EchKeySet } from "../../src/tls/ech-keys.ts";
import { TlsError } from "../../src/tls/error.ts";
import { DEFAULT_LIMITS } from "../../src/tls/limits.ts";
import { GROUP_NAMES, schemeCode, SUITES } from "../../src/tls/suites.ts";
import { encodeCertificate } from "../../src/tls/wire/certificate.ts";
import { encodeCertificateRequest } from "../../src/tls/wire/certificate-request.ts";
import {
  certificateVerifyContent,
  encodeCertificateVerify,
} from "../../src/tls/wire/certificate-verify.ts";
import { type ClientHello, parseClientHello } from "../../src/tls/wire/client-hello.ts";
import { ContentType, HandshakeType } from "../../src/tls/wire/code-points.ts";
import { encodeFinished } from "../../src/tls/wire/finished.ts";
import { HELLO_RETRY_REQUEST_RANDOM } from "../../src/tls/wire/server-hello.ts";
import { Writer } from "../../src/tls/wire/writer.ts";
import type { TestCertificate } from "./certificates.ts";
import { testCrypto, type TestEchKey } from "./server-config.ts";

export interface Script {
  readonly certificate: TestCertificate;
  /** Opens offers sealed to it; others are rejected. */
  readonly ech?: TestEchKey;
  /** Extensions of a HelloRetryRequest besides supported_versions; undefined: none is sent. */
  readonly retry?: {
    readonly extensions: readonly Extension[];
    /** encrypted_client_hello, behind those: the true signal, or these bytes. */
    readonly ech?: "signal" | Uint8Array;
  };
  /** The signal in ServerHello.random. Default: where ECH was accepted. */
  readonly signal?: boolean;
  /** Extensions of ServerHello besides supported_versions and key_share. */
  readonly serverHello?: readonly Extension[];
  readonly sessionId?: Uint8Array;
  readonly suite?: number;
  readonly version?: number;
  readonly encryptedExtensions?: readonly Extension[];
  readonly certificateRequest?: readonly number[];
  /** Any message of the encrypted flight before it is sent and hashed. */
  readonly flight?: (message: Uint8Array, type: number) => Uint8Array;
  /** Application data, in the same flight as Finished. */
  readonly data?: Uint8Array;
}

export interface Heard {
  /** ClientHello messages as they came, and the inner ones. */
  readonly hellos: Uint8Array[];
  readonly inner: Uint8Array[];
  /** The client's messages behind the server's flight. */
  readonly messages: Uint8Array[];
  /** Bytes of application data that came. */
  data: number;
  alert: string | undefined;
  /** What the server could not make sense of. */
  error: TlsError | undefined;
}

export interface FakeServer {
  readonly transport: Transport;
  /** All that the client said, once it has closed. */
  readonly heard: Promise<Heard>;
}

export function fakeServer(script: Script): FakeServer {
  const toServer = new Pipe();
  const toClient = new Pipe();
  const heard = new Player(script, {
    write: (bytes) => toClient.push(bytes),
    read: () => toServer.shift(),
    close: () => toClient.push(undefined),
  }).play();
  heard.catch(() => undefined); // whoever awaits it hears of it
  return {
    transport: {
      write: (bytes) => toServer.push(bytes),
      read: () => toClient.shift(),
      close: () => toServer.push(undefined),
    },
    heard,
  };
}

class Player {
  readonly #script: Script;
  readonly #records: ClientRecords;
  readonly #heard: Heard = {
    hellos: [],
    inner: [],
    messages: [],
    data: 0,
    alert: undefined,
    error: undefined,
  };
  readonly #transcript: Uint8Array[] = [];
  #session: EchSession | undefined;
  #outer!: ClientHello;

  constructor(script: Script, transport: Transport) {
    this.#script = script;
    this.#records = new ClientRecords(transport, { crypto: testCrypto });
  }

  get #code(): number {
    return this.#script.suite ?? 0x1301;
  }
  get #suite() {
    return SUITES.get(this.#code) ?? SUITES.get(0x1301)!;
  }
  get #hash(): Uint8Array {
    return this.#hashWith();
  }

  async play(): Promise<Heard> {
    try {
      await this.#play();
    } catch (error) {
      if (error instanceof ClientError) this.#heard.alert = error.alertReceived;
      else if (error instanceof TlsError) this.#heard.error = error;
      else throw error;
    } finally {
      this.#records.close();
    }
    return this.#heard;
  }

  async #play(): Promise<void> {
    const { retry } = this.#script;
    let hello = await this.#clientHello();
    if (retry !== undefined) {
      const first = testCrypto.digest(this.#suite.hash, hello.bytes);
      this.#transcript.splice(0);
      this.#transcript.push(Uint8Array.of(HandshakeType.message_hash, 0, 0, first.length), first);
      this.#sendRetry(hello);
      hello = await this.#clientHello();
    }
    await this.#answer(hello);
  }

  /** The hello that counts. */
  async #clientHello(): Promise<ClientHello> {
    const incoming = await this.#records.next();
    if (incoming.kind !== "message") {
      throw new TlsError("unexpected message", incoming.kind);
    }
    this.#heard.hellos.push(incoming.bytes);
    this.#outer = parseClientHello(incoming.bytes);
    const inner = this.#open(this.#outer);
    if (inner !== undefined) this.#heard.inner.push(inner.bytes.slice());
    const hello = inner ?? this.#outer;
    hello.checkExtensions();
    this.#transcript.push(hello.bytes);
    return hello;
  }

  #open(outer: ClientHello): ClientHello | undefined {
    if (this.#heard.hellos.length === 2) {
      return this.#session && openSecondEch(outer, this.#session);
    }
    if (this.#script.ech === undefined) return undefined;
    const keys = new EchKeySet([this.#script.ech.key], "active");
    const result = openEch(outer, keys, { limits: DEFAULT_LIMITS, strictOuterSni: false });
    if (result.outcome !== "accepted") return undefined;
    this.#session = result.session;
    return result.inner;
  }

  #sendRetry(hello: ClientHello): void {
    const { extensions, ech } = this.#script.retry!;
    const echExtension: Extension[] = ech === undefined
      ? []
      : [[0xfe0d, ech === "signal" ? new Uint8Array(8) : ech]];
    const message = this.#hello(HELLO_RETRY_REQUEST_RANDOM, [...extensions, ...echExtension]);
    if (ech === "signal") {
      message.set(
        testCrypto.schedule.echConfirmation(
          this.#suite.hash,
          hello.random,
          "hrr ech accept confirmation",
          this.#hashWith(message),
        ),
        message.length - 8,
      );
    }
    this.#transcript.push(message);
    this.#records.queue(ContentType.handshake, message);
    void this.#records.flush();
  }

  async #answer(hello: ClientHello): Promise<void> {
    const script = this.#script;
    const group = [...GROUP_NAMES.keys()].find((code) => hello.keyShare(code) !== undefined)!;
    const shared = testCrypto.answerShare(GROUP_NAMES.get(group)!, hello.keyShare(group)!)!;
    const keyShare: Extension = [
      51,
      Uint8Array.of(
        group >> 8,
        group,
        shared.share.length >> 8,
        shared.share.length,
        ...shared.share,
      ),
    ];
    const random = testCrypto.random(32);
    random.fill(0, 24);
    const serverHello = this.#hello(random, [keyShare, ...(script.serverHello ?? [])]);
    const signal = script.signal ?? this.#session !== undefined
      ? testCrypto.schedule.echConfirmation(
        this.#suite.hash,
        hello.random,
        "ech accept confirmation",
        this.#hashWith(serverHello),
      )
      : testCrypto.random(8);
    serverHello.set(signal, 30);
    this.#transcript.push(serverHello);
    this.#records.queue(ContentType.handshake, serverHello);

    const { schedule } = testCrypto;
    const suite = this.#suite;
    const keys = schedule.handshake(suite, undefined, shared.secret, this.#hash);
    this.#records.writeWith(suite, keys.serverKeys);
    this.#flight(keys.serverFinishedKey);
    const secrets = schedule.application(suite, keys.main, this.#hash);
    this.#records.writeWith(suite, secrets.serverKeys);
    if (script.data !== undefined) this.#records.queue(ContentType.application_data, script.data);
    await this.#records.flush();

    this.#records.readWith(suite, keys.clientKeys, "handshake");
    for (;;) {
      const incoming = await this.#records.next();
      if (incoming.kind === "fin" || incoming.kind === "close_notify") return;
      if (incoming.kind === "data") this.#heard.data += incoming.bytes.length;
      else {
        this.#heard.messages.push(incoming.bytes);
        if (incoming.type === HandshakeType.finished) {
          this.#records.readWith(suite, secrets.clientKeys, "application");
        }
      }
    }
  }

  #flight(finishedKey: Uint8Array): void {
    const { certificate, certificateRequest, encryptedExtensions = [] } = this.#script;
    this.#send((w) => {
      w.u8(HandshakeType.encrypted_extensions).vector24(() =>
        writeExtensions(w, encryptedExtensions)
      );
    });
    if (certificateRequest !== undefined) {
      this.#send((w) =>
        encodeCertificateRequest(w, {
          signatureSchemes: certificateRequest,
          authorities: [],
          compression: [],
        })
      );
    }
    this.#send((w) =>
      encodeCertificate(w, { chain: certificate.chain, ocspResponse: undefined, scts: undefined })
    );
    const key = testCrypto.signingKey(certificate.keyPem);
    const scheme = key.schemes[0]!;
    const signature = key.sign(scheme, certificateVerifyContent("server", this.#hash));
    this.#send((w) => encodeCertificateVerify(w, schemeCode(scheme), signature));
    const { hash } = this.#suite;
    const verifyData = testCrypto.schedule.finished(hash, finishedKey, this.#hash);
    this.#send((w) => encodeFinished(w, verifyData));
  }

  #send(encode: (w: Writer) => void): void {
    const w = new Writer(512);
    encode(w);
    const message = w.copy();
    const said = this.#script.flight?.(message, message[0]!) ?? message;
    this.#transcript.push(said);
    this.#records.queue(ContentType.handshake, said);
  }

  #hello(random: Uint8Array, extensions: readonly Extension[]): Uint8Array {
    const { version = 0x0304, sessionId = this.#outer.sessionId } = this.#script;
    const w = new Writer(256);
    w.u8(HandshakeType.server_hello).vector24(() => {
      w.u16(0x0303).bytes(random).vector8(() => void w.bytes(sessionId)).u16(this.#code).u8(0);
      writeExtensions(w, [[43, Uint8Array.of(version >> 8, version)], ...extensions]);
    });
    return w.copy();
  }

  #hashWith(...more: Uint8Array[]): Uint8Array {
    const running = testCrypto.hash(this.#suite.hash);
    for (const part of [...this.#transcript, ...more]) running.update(part);
    return running.digest();
  }
}

function writeExtensions(w: Writer, extensions: readonly Extension[]): void {
  w.vector16(() => {
    for (const [type, body] of extensions) w.u16(type).vector16(() => void w.bytes(body));
  });
}

/** One direction in memory. */
class Pipe {
  readonly #chunks: (Uint8Array | undefined)[] = [];
  #wake: (() => void) | undefined;

  push(chunk: Uint8Array | undefined): void {
    this.#chunks.push(chunk);
    this.#wake?.();
  }

  async shift(): Promise<Uint8Array | undefined> {
    while (this.#chunks.length === 0) await new Promise<void>((resolve) => this.#wake = resolve);
    return this.#chunks[0] === undefined ? undefined : this.#chunks.shift();
  }
}
