/**
 * A TLS 1.3 client with ECH, for the probe and for tests.
 *
 * It speaks over any `Transport`, verifies what it is told to verify, and can be made to misbehave by `Hooks` and
 * `EchKnobs`. It is no general client: it has no TLS 1.2, no session store, no policy.
 *
 * @module
 */
import { TlsError } from "../tls/error.ts";
import { ContentType, HandshakeType } from "../tls/wire/code-points.ts";
import { decodeKeyUpdate, encodeKeyUpdate } from "../tls/wire/key-update.ts";
import { decodeNewSessionTicket } from "../tls/wire/new-session-ticket.ts";
import { Writer } from "../tls/wire/writer.ts";
import { ClientError, refuse } from "./error.ts";
import { ClientHandshake, type Established } from "./handshake.ts";
import type { ClientOptions } from "./options.ts";
import { ClientRecords, type Incoming } from "./records.ts";
import type { ClientSession } from "./session.ts";
import type { Transport } from "./transport.ts";

export { ClientError } from "./error.ts";
export type { ClientOptions } from "./options.ts";
export type { ClientSession } from "./session.ts";
export type { Transport } from "./transport.ts";

/**
 * Makes a connection. Resolves when our Finished is sent: what a server says to it (a refused certificate, say) comes
 * with the first `read`.
 *
 * @throws {ClientError} the transport is closed then
 */
export async function connect(
  transport: Transport,
  options: ClientOptions,
): Promise<ClientConnection> {
  const records = new ClientRecords(transport, options);
  try {
    const established = await new ClientHandshake(records, options).run();
    return new ClientConnection(records, established, options);
  } catch (error) {
    throw await fail(records, error);
  }
}

/** What both sides agreed on. */
export interface ClientNegotiated {
  readonly cipherSuite: number;
  readonly group: number;
  readonly signatureScheme: number | undefined;
  readonly alpn: string | undefined;
  readonly resumed: boolean;
  readonly helloRetried: boolean;
  readonly ech: "not-offered" | "grease" | "accepted";
  /** DER, leaf first; empty on a resumption. */
  readonly peerChain: readonly Uint8Array[];
  readonly ocspResponse: Uint8Array | undefined;
  readonly scts: Uint8Array | undefined;
  /** Algorithm of a CompressedCertificate. */
  readonly certificateCompression: number | undefined;
  readonly certificateRequested: boolean;
  /** The server acknowledged server_name. */
  readonly serverNameUsed: boolean;
  readonly recordSizeLimit: number | undefined;
  readonly expectedTickets: number | undefined;
  /** retry_configs sent to a GREASE offer: of interest to tests, of no use otherwise. */
  readonly retryConfigs: Uint8Array | undefined;
  /** Extension types of EncryptedExtensions in wire order. */
  readonly encryptedExtensions: readonly number[];
}

export class ClientConnection {
  readonly negotiated: ClientNegotiated;
  /** Tickets received so far, in order. They come with reads. */
  readonly sessions: ClientSession[] = [];
  /** For tests that send what no client sends. */
  readonly records: ClientRecords;
  readonly #options: ClientOptions;
  readonly #established: Established;
  readonly #received: Uint8Array[] = [];
  #readSecret: Uint8Array;
  #writeSecret: Uint8Array;
  #isEnded = false;
  #failure: ClientError | undefined;
  /** KeyUpdates received and sent. */
  readonly keyUpdates: { received: number; sent: number } = { received: 0, sent: 0 };

  constructor(records: ClientRecords, established: Established, options: ClientOptions) {
    this.records = records;
    this.#options = options;
    this.#established = established;
    this.#readSecret = established.secrets.serverTraffic;
    this.#writeSecret = established.secrets.clientTraffic;
    this.negotiated = negotiatedFrom(established);
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (bytes.length > 0) this.records.queue(ContentType.application_data, bytes);
    await this.records.flush();
  }

  /** The next application data, in pieces as they come; undefined at close_notify. @throws {ClientError} */
  async read(): Promise<Uint8Array | undefined> {
    await this.poll();
    while (this.#received.length === 0) {
      if (this.#isEnded) return undefined;
      await this.step();
    }
    return this.#received.shift();
  }

  /** Reads until `length` bytes are there. @throws {ClientError} "truncated" if the server ends before */
  async readExactly(length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(length);
    let at = 0;
    while (at < length) {
      const part = await this.read() ?? refuse("truncated");
      const taken = part.subarray(0, length - at);
      bytes.set(taken, at);
      at += taken.length;
      if (taken.length < part.length) this.#received.unshift(part.subarray(taken.length));
    }
    return bytes;
  }

  /** The server's close_notify has come. */
  get isEnded(): boolean {
    return this.#isEnded;
  }

  /** What ended the connection, if it did not end well. */
  get failure(): ClientError | undefined {
    return this.#failure;
  }

  /** Takes one chunk from the transport and all that is whole in it: tickets, KeyUpdates, data for `read`. */
  async step(): Promise<void> {
    await this.poll();
    if (this.#isEnded) return;
    await this.#guard(async () => {
      if (!(await this.records.fill())) refuse("truncated", { detail: "FIN without close_notify" });
    });
    await this.poll();
  }

  /** The same with what has come already. */
  async poll(): Promise<void> {
    await this.#guard(async () => {
      for (let incoming; !this.#isEnded && (incoming = this.records.take()) !== undefined;) {
        await this.#handle(incoming);
      }
    });
  }

  /** New keys for what we send; `requestUpdate`: and for what the server sends (RFC 9846 §4.7.3). */
  async updateKeys(requestUpdate: boolean = false): Promise<void> {
    const w = new Writer(8);
    encodeKeyUpdate(w, requestUpdate);
    this.records.queue(ContentType.handshake, w.copy());
    this.useNextWriteKeys();
    await this.records.flush();
  }

  /** The next write keys without a word to the server. */
  useNextWriteKeys(): void {
    const { suite } = this.#established;
    const next = this.#options.crypto.schedule.update(suite, this.#writeSecret);
    this.#writeSecret = next.secret;
    this.records.writeWith(suite, next.keys);
    this.keyUpdates.sent++;
  }

  /** close_notify; reading goes on. */
  async closeWrite(): Promise<void> {
    this.records.queueAlert("close_notify");
    await this.records.flush();
  }

  /** close_notify, and the transport goes. */
  async close(): Promise<void> {
    if (this.#failure === undefined) await this.closeWrite();
    this.records.close();
  }

  /** RFC 9846 §7.5. */
  exportKeyingMaterial(label: string, context: Uint8Array, length: number): Uint8Array {
    const { suite, secrets } = this.#established;
    const { schedule } = this.#options.crypto;
    return schedule.exporter(suite.hash, secrets.exporter, label, context, length);
  }

  /** The first failure is also the last; what came before it can still be read. */
  async #guard(work: () => Promise<void>): Promise<void> {
    if (this.#failure !== undefined) {
      if (this.#received.length > 0) return;
      throw this.#failure;
    }
    try {
      await work();
    } catch (error) {
      const failure = await fail(this.records, error);
      this.#failure = failure;
      if (this.#received.length === 0) throw failure;
    }
  }

  async #handle(incoming: Incoming): Promise<void> {
    switch (incoming.kind) {
      case "data":
        this.#received.push(incoming.bytes);
        return;
      case "close_notify":
      case "fin":
        this.#isEnded = true;
        return;
      case "message":
        if (incoming.type === HandshakeType.new_session_ticket) this.#keep(incoming.bytes);
        else if (incoming.type === HandshakeType.key_update) await this.#update(incoming.bytes);
        else throw new TlsError("unexpected message");
    }
  }

  #keep(message: Uint8Array): void {
    const ticket = decodeNewSessionTicket(message);
    const { suite, cipherSuite, resumptionSecret } = this.#established;
    const { crypto, now = Date.now } = this.#options;
    this.sessions.push({
      suite: cipherSuite,
      psk: crypto.schedule.ticketPsk(suite.hash, resumptionSecret, ticket.nonce),
      ticket: ticket.ticket.slice(),
      ageAdd: ticket.ageAdd,
      lifetimeSeconds: ticket.lifetimeSeconds,
      receivedMs: now(),
      serverName: this.#options.serverName,
      alpn: this.negotiated.alpn,
      echAccepted: this.negotiated.ech === "accepted",
    });
  }

  async #update(message: Uint8Array): Promise<void> {
    const isRequested = decodeKeyUpdate(message);
    const { suite } = this.#established;
    const next = this.#options.crypto.schedule.update(suite, this.#readSecret);
    this.#readSecret = next.secret;
    this.records.readWith(suite, next.keys, "application");
    this.keyUpdates.received++;
    if (isRequested) await this.updateKeys();
  }
}

function negotiatedFrom(established: Established): ClientNegotiated {
  const { cipherSuite, group, resumed, helloRetried, ech, flight } = established;
  const { extensions, certificate } = flight;
  return {
    cipherSuite,
    group,
    resumed,
    helloRetried,
    ech: ech === "accepted" || ech === "grease" ? ech : "not-offered",
    signatureScheme: flight.signatureScheme,
    alpn: extensions.alpn,
    peerChain: certificate?.chain ?? [],
    ocspResponse: certificate?.ocspResponse,
    scts: certificate?.scts,
    certificateCompression: flight.compression,
    certificateRequested: flight.certificateRequest !== undefined,
    serverNameUsed: extensions.serverName,
    recordSizeLimit: extensions.recordSizeLimit,
    expectedTickets: extensions.expectedTickets,
    retryConfigs: extensions.retryConfigs,
    encryptedExtensions: extensions.types,
  };
}

/** Tells the server what is wrong, closes the transport and returns the error for the caller. */
async function fail(records: ClientRecords, error: unknown): Promise<ClientError> {
  const failure = error instanceof TlsError
    ? new ClientError(error.reason, error.alert, { cause: error, detail: error.message })
    : error;
  if (!(failure instanceof ClientError)) {
    records.close();
    throw error;
  }
  if (failure.alertSent !== undefined) records.queueAlert(failure.alertSent);
  await records.flush().catch(() => undefined); // a broken transport says so by its read
  records.close();
  return failure;
}
